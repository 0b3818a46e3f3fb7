"""The stand-ins keep to the contracts of the systems they stand for, and fail only as told."""

from __future__ import annotations

import base64
import http.client
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from bridge.testing.stil_export import Knobs, write_export
from bridge.testing.stil_municipality import Churn, Makeup, Municipality
from bridge.testing.stil_server import StilServer
from tests.support.simulators import Answer, call, export_of, parse, records_of, small_town, truth_in

C3 = "{https://brugerdatabasen.stil.dk/bpi/common/3}"
E7 = "{https://brugerdatabasen.stil.dk/bpi/wsieksport/7}"
E7C = "{https://brugerdatabasen.stil.dk/bpi/wsieksport/7/common}"
FM = "{https://brugerdatabasen.stil.dk/bpi/wsieksport/7/fullmyndighed}"
SOAP = "{http://www.w3.org/2003/05/soap-envelope}"
WSA = "{http://www.w3.org/2005/08/addressing}"
SCHOOL = "101001"
SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, 32 bytes!").decode()
WITH_CPR = "<e:filtre><e:cprFilter><e:inkluderCpr>true</e:inkluderCpr></e:cprFilter></e:filtre>"


class TestMunicipality:
    def test_the_same_seed_gives_the_same_town_on_every_day(self) -> None:
        one, other = small_town(), small_town()
        for _ in range(3):
            assert [one.institution(n) for n in one.institutions()] == [
                other.institution(n) for n in other.institutions()
            ]
            one.advance()
            other.advance()

    def test_another_seed_gives_another_town(self) -> None:
        assert small_town(1).truth() != small_town(2).truth()

    def test_a_day_changes_some_people_and_leaves_most(self) -> None:
        town = small_town()
        before = town.truth()
        town.advance()
        after = town.truth()
        for kind in ("person", "affiliation", "membership", "guardianship"):
            assert after[kind] != before[kind]
            assert len(after[kind] & before[kind]) > 0.9 * len(before[kind])

    def test_a_day_without_churn_moves_only_the_clock(self) -> None:
        town = Municipality(7, schools=2, pupils=60, churn=Churn(0, 0, 0, 0, 0, 0))
        people, export_time, source_time = town.institution(SCHOOL).records, town.export_time, town.source_time
        town.advance()
        assert town.day == 1
        assert town.institution(SCHOOL).records == people
        assert town.export_time - export_time == town.source_time - source_time == timedelta(days=1)

    def test_an_institution_once_taken_does_not_change(self) -> None:
        town = small_town()
        taken = town.institution(SCHOOL)
        document = write_export(taken)
        town.advance()
        assert write_export(taken) == document != write_export(town.institution(SCHOOL))

    def test_siblings_at_different_schools_share_their_parents(self) -> None:
        schools_of: dict[str, set[str]] = {}
        for number, _, contact in small_town().truth()["guardianship"]:
            schools_of.setdefault(contact, set()).add(number)
        assert any(len(numbers) > 1 for numbers in schools_of.values())

    def test_some_staff_work_at_two_institutions(self) -> None:
        staff = [user_id for _, user_id, kind in Municipality(7).truth()["affiliation"] if kind == "employee"]
        assert len(set(staff)) < len(staff)

    @pytest.mark.parametrize(("schools", "pupils", "tracks"), [(0, 9, "AB"), (3, 2, "AB"), (1, 9, "A")])
    def test_a_town_that_cannot_be_is_refused(self, schools: int, pupils: int, tracks: str) -> None:
        with pytest.raises(ValueError, match="a municipality needs"):
            Municipality(7, schools, pupils, makeup=Makeup(tracks=tracks))


class TestExport:
    def test_the_documents_hold_the_truth_today_and_tomorrow(self) -> None:
        town = small_town()
        for _ in range(2):
            documents = [write_export(town.institution(number)) for number in town.institutions()]
            assert truth_in([parse(document) for document in documents]) == town.truth()
            town.advance()

    def test_the_root_says_when_and_how_much(self) -> None:
        town = small_town()
        export = export_of(town)
        source = export.find(f"{E7C}ImportSource")
        assert export.tag == f"{FM}UNILoginExportFullMyndighed"
        assert datetime.fromisoformat(export.attrib["exportDateTime"]) == town.export_time
        assert export.attrib["accessLevel"] == "full"
        assert source is not None
        assert source.attrib["schoolYear"] == "2026-2027"

    def test_children_stand_in_the_order_and_namespace_of_the_schema(self) -> None:
        student = next(
            r for r in records_of(export_of(small_town())) if len(r.findall(f"{FM}Student/{FM}ContactPerson"))
        )
        assert [child.tag for child in student] == [f"{C3}LocalPersonId", f"{FM}Person", f"{FM}Student"]
        tags = list(dict.fromkeys(child.tag for child in student.iterfind(f"{FM}Student/*")))
        common = [f"{E7C}{name}" for name in ("Role", "StudentNumber", "Level", "MainGroupId")]
        assert tags == [*common, f"{C3}GroupId", f"{FM}ContactPerson"]

    def test_a_protected_person_has_an_alias_and_nobody_else_has(self) -> None:
        people = list(export_of(Municipality(7, schools=1, pupils=300)).iter(f"{FM}Person"))
        assert {person.attrib["protected"] for person in people} == {"true", "false"}
        for person in people:
            assert (person.find(f"{FM}AliasFirstName") is not None) == (person.attrib["protected"] == "true")

    def test_manual_users_have_no_local_person_id(self) -> None:
        records = records_of(export_of(small_town()))
        manual = [record for record in records if record.attrib["source"] == "HUGO Brugeradministrationen"]
        assert manual
        assert [r for r in records if r.find(f"{C3}LocalPersonId") is None] == manual

    def test_every_name_survives_escaping(self) -> None:
        names = [name.text for name in export_of(small_town()).iter(f"{E7C}GroupName")]
        assert "Matematik & It <valgfag>" in names

    def test_an_empty_export_has_neither_groups_nor_persons(self) -> None:
        institution = export_of(small_town(), Knobs(empty=True)).find(f"{FM}Institution")
        assert institution is not None
        assert [child.tag for child in institution] == [f"{E7C}InstitutionNumber", f"{E7C}InstitutionName"]

    def test_pupils_can_go_missing_while_the_staff_stays(self) -> None:
        town = small_town()
        whole, less = records_of(export_of(town)), records_of(export_of(town, Knobs(drop_pupils_percent=60)))
        assert len(whole) - len(less) == 24
        assert len([r for r in less if r.find(f"{FM}Student") is not None]) == 16

    def test_an_export_can_carry_the_number_of_another_institution(self) -> None:
        export = export_of(small_town(), Knobs(as_institution="101002"))
        assert export.findtext(f"{FM}Institution/{E7C}InstitutionNumber") == "101002"

    def test_an_export_can_be_older_than_the_last(self) -> None:
        town = small_town()
        export = export_of(town, Knobs(older_by=timedelta(days=2)))
        assert datetime.fromisoformat(export.attrib["exportDateTime"]) == town.export_time - timedelta(days=2)

    def test_records_can_lack_their_person(self) -> None:
        records = records_of(export_of(small_town(), Knobs(missing_person=2)))
        assert [r.find(f"{FM}Person") is None for r in records[:3]] == [True, True, False]

    def test_cpr_numbers_can_be_left_out(self) -> None:
        export = export_of(small_town(), Knobs(without_cpr=True))
        assert not list(export.iter(f"{E7C}CivilRegistrationNumber"))


def envelope(body: str, system_id: str | None = "AB123456", message_id: str = "bare-guid") -> bytes:
    header = f"<c:UdbydersystemId>{system_id}</c:UdbydersystemId>" if system_id else ""
    return (
        f'<s:Envelope xmlns:s="{SOAP[1:-1]}" xmlns:a="{WSA[1:-1]}" xmlns:c="{C3[1:-1]}" xmlns:e="{E7[1:-1]}">'
        f"<s:Header><a:MessageID>{message_id}</a:MessageID>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def export_request(number: str, filters: str = "") -> bytes:
    body = f"<e:eksporterXmlFuldMyndighed><e:instnr>{number}</e:instnr>{filters}</e:eksporterXmlFuldMyndighed>"
    return envelope(body)


def fault_type(answer: Answer) -> str | None:
    detail = f"{SOAP}Body/{SOAP}Fault/{SOAP}Detail/{C3}authentificationError/{C3}type"
    return answer.xml.findtext(detail)


@pytest.fixture
def stil() -> Iterator[StilServer]:
    with StilServer(small_town()) as server:
        yield server


class SignallingTown(Municipality):
    def __init__(self, seed: int, schools: int, pupils: int) -> None:
        super().__init__(seed, schools, pupils)
        self.has_advanced = threading.Event()

    def advance(self) -> None:
        super().advance()
        self.has_advanced.set()


class Reversed:
    """A seal that anyone can break, but that shows where it is put on and taken off."""

    def seal(self, envelope: bytes) -> bytes:
        return envelope[::-1]

    def unseal(self, request: bytes) -> bytes:
        return request[::-1]


class TestStilServer:
    def test_an_export_is_the_document_inside_its_answer(self, stil: StilServer) -> None:
        answer = call(stil.endpoint, export_request(SCHOOL, WITH_CPR))
        path = f"{SOAP}Body/{E7}eksporterXmlFuldMyndighedResponse/{E7}xml/{FM}UNILoginExportFullMyndighed"
        export = answer.xml.find(path)
        assert answer.status == 200
        assert export is not None
        assert [r.attrib for r in records_of(export)] == [r.attrib for r in records_of(export_of(small_town()))]
        assert list(export.iter(f"{E7C}CivilRegistrationNumber"))

    def test_cpr_numbers_come_only_when_asked_for(self, stil: StilServer) -> None:
        answer = call(stil.endpoint, export_request(SCHOOL))
        assert list(answer.xml.iter(f"{E7C}UserId"))
        assert not list(answer.xml.iter(f"{E7C}CivilRegistrationNumber"))

    def test_an_answer_names_the_message_it_answers(self, stil: StilServer) -> None:
        header = call(stil.endpoint, envelope("<e:hentDataAftalerFuldMyndighed/>")).xml.find(f"{SOAP}Header")
        assert header is not None
        action = "/WsiEksportPortType/hentDataAftalerFuldMyndighedResponse"
        assert header.findtext(f"{WSA}Action") == E7[1:-1] + action
        assert header.findtext(f"{WSA}RelatesTo") == "bare-guid"
        assert header.findtext(f"{WSA}MessageID", "").startswith("urn:uuid:")

    def test_the_agreements_are_listed(self, stil: StilServer) -> None:
        stil.agreements.remove("101002")
        answer = call(stil.endpoint, envelope("<e:hentDataAftalerFuldMyndighed/>"))
        assert [number.text for number in answer.xml.iter(f"{C3}regnr")] == ["101001", "101003"]

    def test_a_greeting_names_the_system(self, stil: StilServer) -> None:
        answer = call(stil.endpoint, envelope("<c:helloWorldWithCertificate/>"))
        path = f"{SOAP}Body/{C3}helloWorldWithCertificateResponse/{C3}helloWorldResult"
        assert answer.xml.findtext(path) == "Hello AB123456!"

    def test_a_caller_without_a_system_id_is_refused(self, stil: StilServer) -> None:
        answer = call(stil.endpoint, envelope("<e:hentDataAftalerFuldMyndighed/>", system_id=None))
        assert (answer.status, fault_type(answer)) == (400, "UdbydersytemIdMangler")
        assert answer.xml.findtext(f".//{SOAP}Code/{SOAP}Value") == "soap:Sender"

    def test_an_institution_without_agreement_is_refused(self, stil: StilServer) -> None:
        stil.agreements.remove("101002")
        for number in ("101002", "999999"):
            answer = call(stil.endpoint, export_request(number))
            assert (answer.status, fault_type(answer)) == (400, "Rettigheder")

    def test_an_unknown_operation_is_a_fault_of_the_receiver(self, stil: StilServer) -> None:
        answer = call(stil.endpoint, envelope("<e:helloWorldWithCertificate/>"))
        assert (answer.status, fault_type(answer)) == (500, None)
        assert answer.xml.findtext(f".//{SOAP}Code/{SOAP}Value") == "soap:Receiver"

    @pytest.mark.parametrize(
        "request_body",
        [
            b"<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>",
            b"<a>",
            b"",
            b"<a/>",
            b"\xff\xfe",
        ],
    )
    def test_a_request_that_is_no_envelope_is_refused(self, stil: StilServer, request_body: bytes) -> None:
        answer = call(stil.endpoint, request_body, method="POST")
        assert answer.status == 400
        assert answer.xml.find(f"{SOAP}Body/{SOAP}Fault") is not None

    def test_only_post_is_allowed(self, stil: StilServer) -> None:
        assert call(stil.endpoint).status == call(stil.endpoint, b"", method="PUT").status == 405

    def test_knobs_spoil_the_export_of_their_institution_only(self, stil: StilServer) -> None:
        stil.knobs[SCHOOL] = Knobs(empty=True)
        assert not list(call(stil.endpoint, export_request(SCHOOL)).xml.iter(f"{E7C}UserId"))
        assert list(call(stil.endpoint, export_request("101002")).xml.iter(f"{E7C}UserId"))

    def test_the_next_day_shows_in_the_next_export(self, stil: StilServer) -> None:
        def exported_at() -> str:
            export = next(call(stil.endpoint, export_request(SCHOOL)).xml.iter(f"{FM}UNILoginExportFullMyndighed"))
            return export.attrib["exportDateTime"]

        today = exported_at()
        stil.advance()
        assert exported_at() > today

    def test_it_fails_as_told_and_recovers(self, stil: StilServer) -> None:
        request = export_request(SCHOOL)
        stil.fault = "500"
        assert call(stil.endpoint, request).status == 500
        stil.fault = "html"
        assert call(stil.endpoint, request).body.startswith(b"<!DOCTYPE html>")
        stil.fault = "empty"
        assert call(stil.endpoint, request).body == b""
        stil.fault = "cut"
        with pytest.raises(http.client.IncompleteRead):
            call(stil.endpoint, request)
        stil.fault = None
        assert call(stil.endpoint, request).status == 200

    def test_days_pass_by_themselves_when_asked_to(self) -> None:
        town = SignallingTown(7, schools=1, pupils=10)
        with StilServer(town, day_seconds=0.001):
            assert town.has_advanced.wait(10)

    def test_a_seal_wraps_what_is_answered(self) -> None:
        with StilServer(small_town(), sealing=Reversed()) as server:
            answer = call(server.endpoint, export_request(SCHOOL)[::-1])
        assert parse(answer.body[::-1]).tag == f"{SOAP}Envelope"

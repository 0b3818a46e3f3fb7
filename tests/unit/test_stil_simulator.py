"""The simulator answers in every size, honours filters, describes institutions, and spoils what it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

import pytest

from bridge.testing.stil_export import EXPORT, Knobs, write_payload
from bridge.testing.stil_inst import NAMESPACE, PATH
from bridge.testing.stil_municipality import Makeup, Municipality
from bridge.testing.stil_server import StilServer
from bridge.testing.stil_size import AUTHORITY, FULL, MEDIUM, SIZES, SMALL, Size
from tests.support.simulators import C3, E7, E7C, FM, SCHOOL, SOAP, WITH_CPR, WSA, Answer, call, parse, small_town

I6 = f"{{{NAMESPACE}}}"
ACTORS = ("inkluderElever", "inkluderMedarbejdere", "inkluderEksterne", "inkluderKontaktpersoner")


@pytest.fixture
def stil() -> Iterator[StilServer]:
    with StilServer(Municipality(7, schools=3, pupils=120, makeup=Makeup(protected_percent=30))) as server:
        yield server


def envelope(body: str) -> bytes:
    return (
        f'<s:Envelope xmlns:s="{SOAP[1:-1]}" xmlns:a="{WSA[1:-1]}" xmlns:c="{C3[1:-1]}" xmlns:e="{E7[1:-1]}"'
        f' xmlns:i="{NAMESPACE}"><s:Header><a:MessageID>m</a:MessageID><c:UdbydersystemId>AB1</c:UdbydersystemId>'
        f"</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def export(stil: StilServer, size: Size = AUTHORITY, filters: str = "") -> Answer:
    name = f"e:eksporterXml{size.suffix}"
    return call(stil.endpoint, envelope(f"<{name}><e:instnr>{SCHOOL}</e:instnr>{filters}</{name}>"))


def ask(stil: StilServer, operation: str, *numbers: str) -> ElementTree.Element:
    asked = "".join(f"<i:instnr>{number}</i:instnr>" for number in numbers)
    answer = call(stil.url + PATH, envelope(f"<{operation}>{asked}</{operation}>"))
    assert answer.status == 200
    return answer.xml


def actors(*wanted: str, names: tuple[str, ...] = ACTORS) -> str:
    flags = "".join(f"<e:{name}>{str(name in wanted).lower()}</e:{name}>" for name in names)
    return f"<e:filtre><e:aktoertypeFilter>{flags}</e:aktoertypeFilter></e:filtre>"


def spoiled(knobs: Knobs) -> ElementTree.Element:
    return parse(write_payload(small_town().institution(SCHOOL), knobs).encode())


def texts(root: ElementTree.Element, name: str) -> list[str]:
    return [element.text or "" for element in root.iter(name)]


class TestSizes:
    @pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
    def test_every_size_has_namespaces_of_its_own(self, stil: StilServer, size: Size) -> None:
        root = export(stil, size).xml.find(f".//{E7}xml/*")
        own = f"{{{EXPORT}/{size.word.lower()}}}"
        assert root is not None and root.tag == f"{own}UNILoginExport{size.word}"
        assert root.get("accessLevel") == size.access_level
        assert {element.tag.rpartition("}")[0] + "}" for element in root.iter()} <= {own, E7C, C3}
        assert len(root.findall(f"{own}Institution/{own}InstitutionPerson")) > 40

    @pytest.mark.parametrize(
        ("size", "absent"),
        [
            (SMALL, {"LocalPersonId", "CivilRegistrationNumber", "EmailAddress", "BirthDate", "Gender"}),
            (SMALL, {"Address", "MobilePhoneNumber", "ContactPerson", "AliasFirstName"}),
            (MEDIUM, {"Address", "MobilePhoneNumber", "ContactPerson", "AliasFirstName"}),
            (FULL, {"AliasFirstName", "AliasFamilyName"}),
            (AUTHORITY, set()),
        ],
    )
    def test_a_size_has_no_field_of_a_larger_one(self, stil: StilServer, size: Size, absent: set[str]) -> None:
        filters = WITH_CPR if size.has_details else ""
        elements = list(export(stil, size, filters).xml.iter())
        names = {element.tag.rpartition("}")[2] for element in elements}
        assert not names & absent
        assert {"FirstName", "UserId", "MainGroupId"} <= names
        assert any("protected" in element.attrib for element in elements) == size.has_contacts

    @pytest.mark.parametrize("size", [SMALL, MEDIUM, FULL], ids=lambda size: size.name)
    def test_the_real_names_of_protected_persons_are_for_authorities_only(
        self, stil: StilServer, size: Size
    ) -> None:
        protected = [p for p in export(stil).xml.iter(f"{FM}Person") if p.get("protected") == "true"]
        hidden = {(p.findtext(f"{E7C}UserId"), p.findtext(f"{E7C}FirstName")) for p in protected}
        people = [e for e in export(stil, size).xml.iter() if e.tag.endswith("}Person")]
        shown = {(p.findtext(f"{E7C}UserId"), p.findtext(f"{E7C}FirstName")) for p in people}
        assert hidden and not hidden & shown

    def test_the_medium_size_hides_the_numbers_of_protected_persons(self, stil: StilServer) -> None:
        protected = {
            person.findtext(f"{E7C}UserId")
            for person in export(stil).xml.iter(f"{FM}Person")
            if person.get("protected") == "true"
        }
        people = [e for e in export(stil, MEDIUM, WITH_CPR).xml.iter() if e.tag.endswith("}Person")]
        numbered = {
            p.findtext(f"{E7C}UserId") for p in people if p.findtext(f"{E7C}CivilRegistrationNumber") is not None
        }
        assert numbered and not numbered & protected

    def test_an_agreement_for_one_size_is_none_for_another(self, stil: StilServer) -> None:
        stil.agreements_of["mellem"] = set()
        assert export(stil, MEDIUM).status == 400
        assert export(stil, SMALL).status == 200
        assert texts(call(stil.endpoint, envelope("<e:hentDataAftalerMellem/>")).xml, f"{C3}regnr") == []
        assert len(texts(call(stil.endpoint, envelope("<e:hentDataAftalerLille/>")).xml, f"{C3}regnr")) == 3


class TestFilters:
    def test_only_the_kinds_that_are_wanted_come(self, stil: StilServer) -> None:
        root = export(stil, filters=actors("inkluderMedarbejdere")).xml
        assert texts(root, f"{E7C}Employee")
        assert not texts(root, f"{FM}Student") and not texts(root, f"{E7C}Extern")

    def test_pupils_come_without_their_contacts_when_so_wanted(self, stil: StilServer) -> None:
        root = export(stil, filters=actors("inkluderElever")).xml
        assert texts(root, f"{FM}Student") and not texts(root, f"{FM}ContactPerson")

    def test_only_the_levels_that_are_wanted_come(self, stil: StilServer) -> None:
        wanted = "<e:inkluderKlassetrin>3</e:inkluderKlassetrin><e:inkluderKlassetrin>4</e:inkluderKlassetrin>"
        root = export(stil, filters=f"<e:filtre><e:klassetrinFilter>{wanted}</e:klassetrinFilter></e:filtre>").xml
        assert set(texts(root, f"{E7C}Level")) == {"3", "4"}

    @pytest.mark.parametrize(
        ("size", "filters"),
        [
            (AUTHORITY, actors(names=ACTORS[:3])),
            (SMALL, actors(names=ACTORS)),
            (AUTHORITY, actors(names=ACTORS[::-1])),
            (SMALL, WITH_CPR),
            (AUTHORITY, "<e:filtre><e:cprFilter/></e:filtre>"),
            (AUTHORITY, "<e:filtre><e:cprFilter><e:inkluderCpr>yes</e:inkluderCpr></e:cprFilter></e:filtre>"),
            (
                AUTHORITY,
                "<e:filtre><e:cprFilter><e:inkluderCpr>1</e:inkluderCpr></e:cprFilter><e:klassetrinFilter/></e:filtre>",
            ),
            (AUTHORITY, "<e:filtre/><e:filtre/>"),
        ],
    )
    def test_a_filter_that_the_schema_does_not_allow_is_a_fault(
        self, stil: StilServer, size: Size, filters: str
    ) -> None:
        assert export(stil, size, filters).status == 500


class TestInstitutions:
    def test_institutions_are_described_and_unknown_numbers_passed_over(self, stil: StilServer) -> None:
        root = ask(stil, "i:hentInstitutioner", SCHOOL, "A99999", "101002")
        assert texts(root, f"{I6}instnr") == [SCHOOL, "101002"]
        assert root.findtext(f".//{WSA}Action") == f"{NAMESPACE}/WsiInstPortType/hentInstitutionerResponse"

    def test_an_unknown_institution_is_an_empty_answer(self, stil: StilServer) -> None:
        assert not texts(ask(stil, "i:hentInstitution", "A99999"), f"{I6}institution")
        assert not texts(ask(stil, "i:hentInstitutionshierarki", "A99999"), f"{I6}institutionshierarki")

    def test_groups_and_hierarchy_are_told(self, stil: StilServer) -> None:
        assert "3A" in texts(ask(stil, "i:hentGrupper", SCHOOL), f"{I6}gruppeid")
        assert texts(ask(stil, "i:hentInstitutionshierarki", SCHOOL), f"{I6}mainInstitution") == [SCHOOL]

    def test_agreements_are_listed_here_too(self, stil: StilServer) -> None:
        stil.agreements.remove("101002")
        assert texts(ask(stil, "c:hentDataAftaler"), f"{C3}regnr") == [SCHOOL, "101003"]

    def test_whoever_calls_is_greeted(self, stil: StilServer) -> None:
        assert texts(ask(stil, "c:helloWorldWithCertificate"), f"{C3}helloWorldResult") == ["Hello AB1!"]

    def test_a_department_has_a_main_institution(self, stil: StilServer) -> None:
        stil.mains = {"101002": SCHOOL}
        for number in (SCHOOL, "101002"):
            root = ask(stil, "i:hentInstitutionshierarki", number)
            assert texts(root, f"{I6}mainInstitution") == [SCHOOL]
            assert texts(root, f"{I6}department") == ["101002"]
        assert texts(ask(stil, "i:hentInstitution", "101002"), f"{I6}hovedinstitutionsnr") == [SCHOOL]

    def test_the_users_of_a_group_are_those_of_the_export(self, stil: StilServer) -> None:
        root = export(stil).xml
        group = texts(root, f"{E7C}MainGroupId")[0]
        main = {
            person.findtext(f"{FM}Person/{E7C}UserId")
            for person in root.iter(f"{FM}InstitutionPerson")
            if person.findtext(f"{FM}Student/{E7C}MainGroupId") == group
        }
        where = f"<i:instnr>{SCHOOL}</i:instnr><i:gruppeid>{group}</i:gruppeid>"
        asked = envelope(f"<i:hentBrugereIGruppe>{where}</i:hentBrugereIGruppe>")
        users = call(stil.url + PATH, asked).xml.iter(f"{I6}brugertilknytning")
        pupils = {user.findtext(f"{I6}brugerid") for user in users if user.find(f"{I6}elev") is not None}
        assert pupils and pupils == main

    def test_a_user_is_told_with_groups_wherever_there_is_one(self, stil: StilServer) -> None:
        user_id = texts(export(stil).xml, f"{E7C}UserId")[0]
        told = [
            call(
                stil.url + PATH,
                envelope(f"<i:hentInstBruger>{where}<i:brugerid>{user_id}</i:brugerid></i:hentInstBruger>"),
            )
            for where in (f"<i:instnr>{SCHOOL}</i:instnr>", "", "<i:instnr>101003</i:instnr>")
        ]
        found = [list(answer.xml.iter(f"{I6}instBruger")) for answer in told]
        assert [len(users) for users in found] == [1, 1, 0]
        assert found[0][0].findtext(f"{I6}gruppe/{I6}instnr") == SCHOOL

    @pytest.mark.parametrize(
        "asked",
        [
            "<i:hentInstitution/>",
            f"<i:hentInstitution><i:instnr>{SCHOOL}</i:instnr><i:instnr>101002</i:instnr></i:hentInstitution>",
            "<i:hentInstitutioner/>",
            f"<i:hentBrugereIGruppe><i:gruppeid>3A</i:gruppeid><i:instnr>{SCHOOL}</i:instnr></i:hentBrugereIGruppe>",
            "<i:hentGruppersLicenser/>",
        ],
    )
    def test_what_the_schema_does_not_allow_is_a_fault(self, stil: StilServer, asked: str) -> None:
        assert call(stil.url + PATH, envelope(asked)).status == 500


class TestAgreements:
    def test_a_system_can_have_agreements_of_its_own(self, stil: StilServer) -> None:
        stil.agreements_by_system = {"AB1": {"fuldmyndighed": {"101003"}}}
        assert export(stil).status == 400
        agreed = call(stil.endpoint, envelope("<e:hentDataAftalerFuldMyndighed/>")).xml
        assert texts(agreed, f"{C3}regnr") == ["101003"]
        assert len(texts(call(stil.endpoint, envelope("<e:hentDataAftalerFuld/>")).xml, f"{C3}regnr")) == 3


class TestControl:
    """What another process sets while the stand-in runs."""

    def test_what_is_set_shows_and_the_rest_stays(self, stil: StilServer) -> None:
        wanted = {"agreements": ["101002"], "knobs": {"101002": {"missing_person": 2}}, "cut_at": 10}
        answer = set_levers(stil, wanted)
        assert answer.status == 200
        state = call(f"{stil.url}/simulator").json
        assert (state["agreements"], state["cut_at"], state["fault"]) == (["101002"], 10, None)
        assert stil.knobs["101002"] == Knobs(missing_person=2)
        assert export(stil).status == 400

    def test_an_institution_fails_alone(self, stil: StilServer) -> None:
        assert set_levers(stil, {"faults": {SCHOOL: "500"}}).status == 200
        assert export(stil).status == 500
        assert not texts(ask(stil, "i:hentInstitution", "101002"), f"{SOAP}Fault")
        assert set_levers(stil, {"faults": {}}).status == 200
        assert export(stil).status == 200

    def test_a_day_passes_when_it_is_told_to(self, stil: StilServer) -> None:
        before = export(stil).xml.find(f".//{FM}UNILoginExportFullMyndighed")
        assert call(f"{stil.url}/simulator/day", b"", method="POST").status == 200
        after = export(stil).xml.find(f".//{FM}UNILoginExportFullMyndighed")
        assert before is not None and after is not None
        assert before.get("exportDateTime") != after.get("exportDateTime")

    @pytest.mark.parametrize(
        ("wanted", "says"),
        [
            ({"fault": "no such"}, "no such fault"),
            ({"faults": {SCHOOL: "no such"}}, "no such fault"),
            ({"knob": {}}, "nothing was set"),
            ({"knobs": {SCHOOL: {"missing_persons": 2}}}, "missing_persons"),
            ({"agreements_of": {"huge": []}}, "nothing was set"),
        ],
    )
    def test_what_there_is_not_is_told_and_nothing_is_set(
        self, stil: StilServer, wanted: dict[str, object], says: str
    ) -> None:
        before = call(f"{stil.url}/simulator").json
        answer = set_levers(stil, {**wanted, "cut_at": 3})
        assert (answer.status, says in answer.body.decode()) == (400, True)
        assert call(f"{stil.url}/simulator").json == before


def set_levers(stil: StilServer, wanted: dict[str, object]) -> Answer:
    return call(f"{stil.url}/simulator", json.dumps(wanted).encode(), method="PATCH")


def _changed(knobs: Knobs, name: str) -> tuple[list[str], list[str]]:
    return texts(spoiled(Knobs()), name), texts(spoiled(knobs), name)


class TestKnobs:
    def test_nothing_is_wrong_by_default(self) -> None:
        assert write_payload(small_town().institution(SCHOOL)) == write_payload(
            small_town().institution(SCHOOL), Knobs()
        )

    @pytest.mark.parametrize(
        ("knobs", "shows"),
        [
            (Knobs(unknown_role=True), lambda root: "Ukendt" in texts(root, f"{E7C}Role")),
            (Knobs(unknown_element=True), lambda root: texts(root, f"{E7C}Novelty")),
            (Knobs(dangling_main_group=1), lambda root: texts(root, f"{E7C}MainGroupId").count("NOWHERE") == 1),
            (Knobs(same_group_names=True), lambda root: set(texts(root, f"{E7C}GroupName")) == {"Klassen"}),
            (
                Knobs(long_tokens=True),
                lambda root: {len(text.encode()) for text in texts(root, f"{C3}LocalPersonId")} == {18},
            ),
            (Knobs(new_version=True), lambda root: "/wsieksport/8/" in root.tag),
            (
                Knobs(more_school_years=("2025-2026",)),
                lambda root: (
                    [e.get("schoolYear") for e in root.iter(f"{E7C}ImportSource")] == ["2026-2027", "2025-2026"]
                ),
            ),
            (
                Knobs(protected_without_alias=1),
                lambda root: any(
                    person.get("protected") == "true" and person.find(f"{FM}AliasFirstName") is None
                    for person in root.iter(f"{FM}Person")
                ),
            ),
            (
                Knobs(early_grade_0=True),
                lambda root: max(texts(root, f"{E7C}FromDate")) == "2027-08-01",
            ),
        ],
    )
    def test_what_is_wrong_shows(self, knobs: Knobs, shows: Callable[[ElementTree.Element], object]) -> None:
        assert shows(spoiled(knobs)) and not shows(spoiled(Knobs()))

    @pytest.mark.parametrize(
        ("knobs", "name", "more"),
        [
            (Knobs(without_local_ids=5), f"{C3}LocalPersonId", -5),
            (Knobs(nameless_groups=3), f"{E7C}GroupName", -3),
            (Knobs(implicit_groups=2), f"{E7C}Group", -2),
            (Knobs(repeated_group=True), f"{E7C}Group", 1),
            (Knobs(two_roles=2), f"{E7C}Extern", 2),
        ],
    )
    def test_so_many_are_missing_or_too_many(self, knobs: Knobs, name: str, more: int) -> None:
        before, after = _changed(knobs, name)
        assert len(after) - len(before) == more

    def test_a_user_id_and_a_number_can_change(self) -> None:
        old = texts(spoiled(Knobs()), f"{E7C}UserId")[0]
        root = spoiled(Knobs(user_ids={old: "1000013b36"}, cprs={old: "010117KOT1"}))
        assert old not in texts(root, f"{E7C}UserId") and "1000013b36" in texts(root, f"{E7C}UserId")
        assert "010117KOT1" in texts(root, f"{E7C}CivilRegistrationNumber")

    @pytest.mark.parametrize(
        ("knobs", "keeps_ids"), [(Knobs(rollover="same_ids"), True), (Knobs(rollover="new_ids"), False)]
    )
    def test_a_new_school_year_moves_every_class_up(self, knobs: Knobs, keeps_ids: bool) -> None:
        before, after = _changed(knobs, f"{E7C}MainGroupId")
        declared_before, declared = _changed(knobs, f"{E7C}GroupId")
        assert 0 < len(after) < len(before)
        assert set(after) <= set(declared)
        assert bool(set(after) & set(declared_before)) == keeps_ids
        assert {e.get("schoolYear") for e in spoiled(knobs).iter(f"{E7C}ImportSource")} == {"2027-2028"}

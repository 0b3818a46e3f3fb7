"""An export is read as the field's records: what is odd is noted, what is unusable quarantined, the rest stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.connector import SnapshotInvalid
from bridge.domain.entities import Address, Code, Phone, Role
from bridge.domain.records import (
    AffiliationRecord,
    ContactRecord,
    GroupRecord,
    Header,
    ImportSource,
    Noted,
    PersonRecord,
    Quarantined,
    Record,
)
from connectors.stil.parse import parse as parse_in
from connectors.stil.payload import content_digest

DATA = Path(__file__).parents[1] / "data"
ZONE = ZoneInfo("Europe/Copenhagen")
E7 = "https://brugerdatabasen.stil.dk/bpi/wsieksport/7"
SIZES = {
    "small": "UNILoginExportSmall",
    "medium": "UNILoginExportMedium",
    "full": "UNILoginExportFull",
    "fullmyndighed": "UNILoginExportFullMyndighed",
}
SOURCE = '<c:ImportSource sourceDateTime="2026-11-20T01:00:00" source="KMD Elev" schoolYear="2026-2027"/>'
NAME = "<c:FirstName>Åse</c:FirstName><c:FamilyName>Kjær</c:FamilyName><c:UserId>aase123k</c:UserId>"
PERSON = f'<s:Person protected="false">{NAME}</s:Person>'
STUDENT = "<c:Role>Elev</c:Role><c:Level>3</c:Level><c:MainGroupId>3A</c:MainGroupId>"
CONTACT = '<s:ContactPerson relation="Mor" childCustody="true" accessLevel="1">{}</s:ContactPerson>'
FIRST = "Institution/InstitutionPerson[1]"


def document(institution: str, *, size: str = "fullmyndighed", sources: str = SOURCE, time: str = "") -> bytes:
    return (
        f'<s:{SIZES[size]} xmlns:s="{E7}/{size}" xmlns:c="{E7}/common"'
        ' xmlns:b="https://brugerdatabasen.stil.dk/bpi/common/3"'
        f' exportDateTime="{time or "2026-11-20T04:00:00.000+01:00"}" accessLevel="full">{sources}'
        f"<s:Institution>{institution}</s:Institution></s:{SIZES[size]}>"
    ).encode()


def school(records: str, **more: str) -> bytes:
    return document(f"<c:InstitutionNumber>101001</c:InstitutionNumber>{records}", **more)


def record(content: str, local_id: str = "L1") -> str:
    return (
        f'<s:InstitutionPerson source="KMD Elev"><b:LocalPersonId>{local_id}</b:LocalPersonId>{content}'
        "</s:InstitutionPerson>"
    )


def student(content: str = STUDENT, person: str = PERSON) -> str:
    return record(f"{person}<s:Student>{content}</s:Student>")


def parse(body: bytes) -> list[Record]:
    return list(parse_in(body, ZONE, protected_names="alias"))


def only(body: bytes) -> Record:
    (_, found) = parse(body)
    return found


def person(body: bytes) -> PersonRecord:
    return next(r for r in parse(body) if isinstance(r, PersonRecord))


def affiliation(body: bytes) -> AffiliationRecord:
    found = person(body).affiliation
    assert found is not None
    return found


def notes(body: bytes) -> list[tuple[str, str]]:
    return [(r.path, r.reason) for r in parse(body) if isinstance(r, Noted)]


def quarantined(body: bytes) -> list[Quarantined]:
    return [r for r in parse(body) if isinstance(r, Quarantined)]


def refusal(body: bytes) -> str:
    with pytest.raises(SnapshotInvalid) as caught:
        parse(body)
    return caught.value.code


# ---------------------------------------------------------------- the samples


@pytest.mark.parametrize("day", ["day1", "day2"])
def test_the_samples_hold_what_their_truth_says(day: str) -> None:
    counts = json.loads((DATA / "truth.json").read_text())["counts"][day]
    headers, groups, users, affiliations, contacts = [], set(), set(), set(), set()
    for path in sorted((DATA / day).glob("*.xml")):
        number = path.stem
        for found in parse(path.read_bytes()):
            match found:
                case Header():
                    headers.append(found.institution_number)
                case GroupRecord():
                    groups.add((number, found.group_id))
                case PersonRecord(affiliation=AffiliationRecord() as role):
                    user_id = found.person.user_id
                    users |= {user_id, *(c.person.user_id for c in role.contacts)}
                    affiliations.add((number, user_id, role.role))
                    contacts |= {(number, user_id, c.person.user_id) for c in role.contacts}
                case _:
                    pytest.fail(f"not expected: {type(found).__name__}")
    assert headers == ["101001", "101002", "280555"]
    assert len(groups) == counts["group"]
    assert len(users) == counts["person"] == {"day1": 2509, "day2": 2504}[day]
    assert len(affiliations) == counts["affiliation"]
    assert len(contacts) == counts["guardianship"]


# ---------------------------------------------------------------- the header


def test_the_header_comes_first_and_its_times_are_aware() -> None:
    body = school("<c:InstitutionName> Åby \n skole </c:InstitutionName>")
    assert parse(body) == [
        Header(
            "101001",
            "Åby skole",
            datetime(2026, 11, 20, 3, tzinfo=UTC),
            (ImportSource("KMD Elev", datetime(2026, 11, 20, 0, tzinfo=UTC), "2026-2027"),),
        )
    ]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-07-01T04:00:00", datetime(2026, 7, 1, 2, tzinfo=UTC)),
        ("2026-07-01T04:00:00Z", datetime(2026, 7, 1, 4, tzinfo=UTC)),
        ("2026-07-01T04:00:00.1234567-03:00", datetime(2026, 7, 1, 7, 0, 0, 123456, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_meant_in_the_zone_given(text: str, utc: datetime) -> None:
    (header,) = parse(school("", time=text))
    assert isinstance(header, Header) and header.export_time == utc


@pytest.mark.parametrize("time", ["yesterday", "2026-07-01", "20260701T040000", "0001-01-01T00:00:00+14:00"])
def test_an_export_without_a_readable_time_is_refused(time: str) -> None:
    assert refusal(school("", time=time)) == "unreadable_export_time"


def test_an_import_source_without_a_readable_time_is_noted() -> None:
    body = school("", sources='<c:ImportSource sourceDateTime="?" source="X" schoolYear="2026-2027"/>' + SOURCE)
    assert notes(body) == [("ImportSource[1]", "unreadable_source_time")]


@pytest.mark.parametrize("institution", ["", "<c:InstitutionNumber> </c:InstitutionNumber>", student()])
def test_an_export_without_an_institution_number_is_refused(institution: str) -> None:
    assert refusal(document(institution)) == "no_institution"


def test_an_export_without_an_institution_is_refused() -> None:
    body = document("").replace(b"<s:Institution></s:Institution>", b"")
    assert refusal(body) == "no_institution"


def test_an_export_of_two_institutions_is_refused() -> None:
    twice = "<c:InstitutionNumber>101001</c:InstitutionNumber></s:Institution><s:Institution>"
    number = "<c:InstitutionNumber>101002</c:InstitutionNumber>"
    assert refusal(document(twice + number)) == "several_institutions"
    assert refusal(school(number)) == "several_institutions"


@pytest.mark.parametrize(
    ("root", "code"),
    [
        (f'<x xmlns="{E7}/fullmyndighed"/>', "unknown_root"),
        (f'<UNILoginExportSmall xmlns="{E7}/fullmyndighed"/>', "unknown_root"),
        ('<UNILoginExportFullMyndighed xmlns="urn:eight"/>', "unknown_namespace"),
        ("<UNILoginExportFullMyndighed/>", "unknown_namespace"),
        ("<html/>", "unknown_namespace"),
    ],
)
def test_another_root_or_namespace_is_refused(root: str, code: str) -> None:
    assert refusal(root.encode()) == code


@pytest.mark.parametrize("size", SIZES)
def test_every_export_size_is_read(size: str) -> None:
    found = person(school(student(), size=size))
    assert found.person.user_id == "aase123k" and not found.person.protected


def test_prefixes_play_no_part() -> None:
    body = school(student())
    renamed = body.replace(b"xmlns:c=", b"xmlns:zz=").replace(b"<c:", b"<zz:").replace(b"</c:", b"</zz:")
    assert parse(renamed) == parse(body)


# ---------------------------------------------------------------- groups


def test_a_group_is_read_in_our_words() -> None:
    body = school(
        "<c:Group><c:GroupId> 3A </c:GroupId><c:GroupName>3.  a</c:GroupName>"
        "<c:GroupType>Hovedgruppe</c:GroupType><c:GroupLevel>3</c:GroupLevel><c:Line>A</c:Line><c:FromDate>2026-08-01+02:00</c:FromDate>"
        "<c:ToDate>2027-07-31Z</c:ToDate></c:Group>"
    )
    code = Code("main", "Hovedgruppe")
    expected = GroupRecord("Institution/Group[1]", "3A", "3. a", code, "3", "A", "2026-08-01", "2027-07-31")
    assert only(body) == expected


@pytest.mark.parametrize(
    ("source", "ours"),
    [("Årgang", "year"), ("Retning", "stream"), ("Hold", "teaching"), ("SFO", "after_school"), ("Team", "team")],
)
def test_group_types_are_translated(source: str, ours: str) -> None:
    found = only(school(f"<c:Group><c:GroupId>x</c:GroupId><c:GroupType>{source}</c:GroupType></c:Group>"))
    assert isinstance(found, GroupRecord) and found.type == Code(ours, source) and found.name is None


@pytest.mark.parametrize(
    ("content", "reason", "code"),
    [
        ("", "missing_group_type", Code("other", "")),
        ("<c:GroupType>Kor</c:GroupType>", "unknown_group_type", Code("other", "Kor")),
    ],
)
def test_an_unclear_group_type_is_other_and_noted(content: str, reason: str, code: Code) -> None:
    body = school(f"<c:Group><c:GroupId>x</c:GroupId>{content}</c:Group>")
    found = parse(body)[1]
    assert isinstance(found, GroupRecord) and found.type == code
    assert notes(body) == [("Institution/Group[1]", reason)]


def test_a_group_without_an_id_is_quarantined() -> None:
    body = school("<c:Group/><c:Group><c:GroupType>Hold</c:GroupType></c:Group>")
    assert quarantined(body) == [Quarantined(f"Institution/Group[{n}]", "missing_group_id") for n in (1, 2)]


@pytest.mark.parametrize("date", ["1/8-2026", "20260801", "2026-02-30", "2026-W01-1", "2026-08-01X"])
def test_an_unreadable_date_is_absent_and_noted(date: str) -> None:
    type_ = "<c:GroupType>Hold</c:GroupType>"
    body = school(f"<c:Group><c:GroupId>x</c:GroupId>{type_}<c:FromDate>{date}</c:FromDate></c:Group>")
    found = parse(body)[1]
    assert isinstance(found, GroupRecord) and found.from_date is None
    assert notes(body) == [("Institution/Group[1]", "unreadable_from_date")]


# ---------------------------------------------------------------- persons


def test_a_person_is_read_with_every_field() -> None:
    body = school(
        student(
            person='<s:Person protected="true"><c:FirstName>Ida  Marie</c:FirstName><c:FamilyName>O\'Brien'
            "</c:FamilyName><c:UserId>ida</c:UserId><c:CivilRegistrationNumber>KOT1</c:CivilRegistrationNumber>"
            "<c:CivilRegistrationNumberType>CPR_UNKNOWN_TYPE</c:CivilRegistrationNumberType>"
            "<c:EmailAddress>a@b.example</c:EmailAddress><c:BirthDate>2016-02-29</c:BirthDate><c:Gender>K</c:Gender>"
            "<c:PhotoId>p1</c:PhotoId><c:Address><c:StreetAddress>Østre Allé 1</c:StreetAddress>"
            "<c:PostalCode>2760</c:PostalCode><c:PostalDistrict>Måløv</c:PostalDistrict><c:CountryCode>DK"
            "</c:CountryCode><c:Country>Danmark</c:Country><c:MunicipalityCode>151</c:MunicipalityCode></c:Address>"
            '<c:HomePhoneNumber protected="1">1</c:HomePhoneNumber><c:WorkPhoneNumber protected="0">2'
            '</c:WorkPhoneNumber><c:MobilePhoneNumber protected="false"/><s:AliasFirstName>Navn</s:AliasFirstName>'
            "<s:AliasFamilyName>Beskyttet</s:AliasFamilyName></s:Person>"
        )
    )
    found = person(body).person
    assert (found.given_name, found.family_name, found.protected) == ("Ida Marie", "O'Brien", True)
    assert (found.alias_given_name, found.alias_family_name) == ("Navn", "Beskyttet")
    assert (found.civil_registration_number, found.civil_registration_number_type) == ("KOT1", "CPR_UNKNOWN_TYPE")
    assert (found.email, found.birth_date, found.gender, found.photo_id) == (
        "a@b.example",
        "2016-02-29",
        "K",
        "p1",
    )
    assert found.address == Address("Østre Allé 1", "2760", "Måløv", "DK", "151")
    assert (found.home_phone, found.work_phone, found.mobile_phone) == (Phone("1", True), Phone("2"), None)
    assert notes(body) == []


@pytest.mark.parametrize("attribute", ["", 'protected=""', 'protected="maybe"'])
def test_a_person_whose_protection_cannot_be_read_is_protected(attribute: str) -> None:
    body = school(student(person=f"<s:Person {attribute}>{NAME}</s:Person>"))
    assert person(body).person.protected
    assert notes(body)[0][0] == f"{FIRST}/Person/@protected"


def test_characters_are_kept_as_they_came() -> None:
    decomposed, no_break = "A\u030ase", "Ida\u00a0Marie"
    names = PERSON.replace("Åse", decomposed).replace("Kjær", no_break)
    found = person(school(student(person=names))).person
    assert (found.given_name, found.family_name) == (decomposed, no_break)


@pytest.mark.parametrize(
    ("content", "reason", "user_id"),
    [
        (f"<s:Student>{STUDENT}</s:Student>", "missing_person", None),
        (f"{PERSON.replace('aase123k', '')}<s:Student>{STUDENT}</s:Student>", "missing_user_id", None),
        (f"{PERSON.replace('Åse', ' ')}<s:Student>{STUDENT}</s:Student>", "missing_name", "aase123k"),
        (f"{PERSON.replace('Kjær', '')}<s:Student>{STUDENT}</s:Student>", "missing_name", "aase123k"),
        (
            f"{PERSON}<s:Student><c:Role>Elev</c:Role><c:Level>3</c:Level></s:Student>",
            "missing_main_group",
            "aase123k",
        ),
        (f"{PERSON}<c:Employee/>", "missing_role", "aase123k"),
        (f"{PERSON.replace('<c:UserId>', '<c:UserId><c:x/>')}", "missing_user_id", None),
    ],
)
def test_a_record_without_what_it_needs_is_quarantined(content: str, reason: str, user_id: str | None) -> None:
    body = school(record(content) + student())
    assert quarantined(body) == [Quarantined(FIRST, reason, "KMD Elev", "L1", user_id)]
    assert person(body).path == "Institution/InstitutionPerson[2]"


def test_a_person_without_a_role_has_no_affiliation() -> None:
    assert person(school(record(PERSON))).affiliation is None


def test_a_pupil_is_in_the_main_group_and_the_others_once_each() -> None:
    more = "".join(f"<b:GroupId>{g}</b:GroupId>" for g in ("SFO", "3A", "SFO", "Kor"))
    found = affiliation(school(student(STUDENT + more)))
    assert (found.role, found.main_group, found.level) == (Role.STUDENT, "3A", "3")
    assert found.group_ids == ("3A", "SFO", "Kor")
    assert found.roles == (Code("pupil", "Elev"),)


def test_a_pupil_without_a_level_is_noted_and_kept() -> None:
    body = school(student("<c:Role>Barn</c:Role><c:MainGroupId>3A</c:MainGroupId>"))
    assert affiliation(body).level is None
    assert notes(body) == [(f"{FIRST}/Student", "missing_level")]


def test_staff_have_all_their_roles_in_order() -> None:
    roles = "".join(f"<c:Role>{r}</c:Role>" for r in ("Lærer", "TAP", "Lærer", "Trold"))
    body = school(record(f"{PERSON}<c:Employee>{roles}<c:ShortName>ÅK</c:ShortName></c:Employee>"))
    found = affiliation(body)
    assert found.roles == (
        Code("teacher", "Lærer"),
        Code("technical_administrative", "TAP"),
        Code("other", "Trold"),
    )
    assert (found.role, found.short_name) == (Role.EMPLOYEE, "ÅK")
    assert notes(body) == [(f"{FIRST}/Employee", "unknown_role")]


def test_an_external_person_is_read() -> None:
    body = school(record(f"{PERSON}<c:Extern><c:Role>Praktikant</c:Role><b:GroupId>3A</b:GroupId></c:Extern>"))
    found = affiliation(body)
    assert (found.role, found.roles, found.group_ids) == (
        Role.EXTERNAL,
        (Code("trainee", "Praktikant"),),
        ("3A",),
    )


def test_of_several_roles_in_one_record_the_pupil_counts() -> None:
    body = school(record(f"{PERSON}<s:Student>{STUDENT}</s:Student><c:Extern><c:Role>Ekstern</c:Role></c:Extern>"))
    assert affiliation(body).role is Role.STUDENT
    assert notes(body) == [(FIRST, "several_roles")]


# ---------------------------------------------------------------- contacts


def test_a_contact_is_read_with_the_relation_in_our_word() -> None:
    (found,) = affiliation(school(student(STUDENT + CONTACT.format(PERSON)))).contacts
    assert isinstance(found, ContactRecord)
    assert found.path == f"{FIRST}/Student/ContactPerson[1]"
    assert (found.relation, found.custody, found.access_level) == (Code("mother", "Mor"), True, 1)


def test_a_relation_of_several_words_is_known() -> None:
    contact = CONTACT.format(PERSON).replace("Mor", " Officielt  tilknyttet person ")
    (found,) = affiliation(school(student(STUDENT + contact))).contacts
    assert found.relation == Code("official", "Officielt tilknyttet person")


@pytest.mark.parametrize(
    "content", ["", "<s:Person/>", PERSON.replace("aase123k", ""), PERSON.replace("Kjær", "")]
)
def test_a_contact_without_identity_is_quarantined_for_the_child(content: str) -> None:
    contacts = CONTACT.format(content) + CONTACT.format(PERSON)
    body = school(student(STUDENT + contacts))
    place = f"{FIRST}/Student/ContactPerson[1]"
    assert quarantined(body) == [Quarantined(place, "contact_without_identity", user_id="aase123k")]
    assert [c.path for c in affiliation(body).contacts] == [f"{FIRST}/Student/ContactPerson[2]"]


def test_a_contact_whose_rights_cannot_be_read_has_none() -> None:
    contact = CONTACT.format(PERSON).replace('"true"', '"ja"').replace('accessLevel="1"', 'accessLevel="7"')
    (found,) = affiliation(school(student(STUDENT + contact))).contacts
    assert (found.custody, found.access_level) == (False, 0)


# ---------------------------------------------------------------- what nobody foresaw


def test_an_unknown_element_is_noted_once_for_the_document() -> None:
    strange = PERSON.replace("</s:Person>", "<c:Nickname>Hemmelig</c:Nickname></s:Person>")
    body = school(student(person=strange) + student(person=strange))
    assert notes(body) == [(f"{FIRST}/Person/Nickname", "unknown_element")]
    assert person(body).person.user_id == "aase123k"


def test_an_unknown_element_beside_the_institution_is_noted() -> None:
    assert notes(school("", sources=SOURCE + "<c:Signature/>")) == [("Signature", "unknown_element")]


def test_an_unknown_elements_odd_name_is_not_repeated() -> None:
    body = school("<s:Ærgerligt_navn_0102031234/>")
    assert notes(body) == [("Institution/*", "unknown_element")]


def test_of_a_repeated_element_the_first_counts() -> None:
    twice = PERSON.replace("<c:UserId>", "<c:UserId>first123</c:UserId><c:UserId>")
    body = school(student(person=twice))
    assert person(body).person.user_id == "first123"
    assert notes(body) == [(f"{FIRST}/Person/UserId", "repeated_element")]


# ---------------------------------------------------------------- broken documents

WHOLE = (DATA / "day1" / "280555.xml").read_bytes().rstrip()


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=0, max_value=len(WHOLE) - 1))
def test_a_document_cut_anywhere_is_refused(end: int) -> None:
    assert refusal(WHOLE[:end]) in {"truncated", "not_well_formed"}


def _flip(draw: Callable[[st.SearchStrategy[int]], int]) -> bytes:
    position = draw(st.integers(min_value=0, max_value=len(WHOLE) - 1))
    return WHOLE[:position] + bytes([draw(st.integers(min_value=0, max_value=255))]) + WHOLE[position + 1 :]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_byte_never_raises_anything_but_a_refusal(data: st.DataObject) -> None:
    try:
        found = parse(_flip(data.draw))
    except SnapshotInvalid:
        return
    assert isinstance(found[0], Header)


@settings(deadline=None)
@given(
    st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff"))
)
def test_any_name_arrives_as_it_was_written(name: str) -> None:
    body = school(student(person=PERSON.replace("Åse", escape(f"x{name}x"))))
    assert person(body).person.given_name == " ".join(part for part in f"x{name}x".split(" ") if part)


# ---------------------------------------------------------------- the digest


def test_the_digest_leaves_the_time_of_export_out() -> None:
    early, late = school(student()), school(student(), time="2026-11-21T04:00:00Z")
    assert content_digest(early) == content_digest(late)
    assert content_digest(early) != content_digest(school(student(person=PERSON.replace("Åse", "Ase"))))
    assert content_digest(early) != content_digest(school(student(), sources=""))

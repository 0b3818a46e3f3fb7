"""One institution as the authority's full export, wsiEKSPORT v7, in the schema's order and namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never
from xml.sax.saxutils import escape, quoteattr

from bridge.testing.stil_people import Address, Person, Phone
from bridge.testing.stil_records import (
    SOURCE,
    Contact,
    Employee,
    External,
    Group,
    Institution,
    Record,
    Student,
)

COMMON = "https://brugerdatabasen.stil.dk/bpi/common/3"
EXPORT = "https://brugerdatabasen.stil.dk/bpi/wsieksport/7"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, slots=True)
class Knobs:
    """What is wrong with an export; nothing by default."""

    empty: bool = False  # neither groups nor persons
    drop_pupils_percent: int = 0  # the first of them go
    as_institution: str | None = None  # the number another institution has
    older_by: timedelta | None = None
    missing_person: int = 0  # that many records, the first ones, say nobody's name
    without_cpr: bool = False


def write_export(institution: Institution, knobs: Knobs | None = None) -> bytes:
    """The whole document in UTF-8, as it would stand in a file."""
    return (DECLARATION + write_payload(institution, knobs)).encode()


def write_payload(institution: Institution, knobs: Knobs | None = None) -> str:
    """The root element alone, ready to be put into an answer."""
    return "".join(_document(_spoil(institution, knobs or Knobs()), knobs or Knobs()))


def _spoil(institution: Institution, knobs: Knobs) -> Institution:
    older_by = knobs.older_by or timedelta()
    students = [record for record in institution.records if record.kind == "student"]
    dropped = {record.key for record in students[: len(students) * knobs.drop_pupils_percent // 100]}
    records = tuple(record for record in institution.records if record.key not in dropped)
    return replace(
        institution,
        number=knobs.as_institution or institution.number,
        groups=() if knobs.empty else institution.groups,
        records=() if knobs.empty else records,
        export_time=institution.export_time - older_by,
        source_time=institution.source_time - older_by,
    )


def _document(institution: Institution, knobs: Knobs) -> Iterator[str]:
    yield (
        f'<fm:UNILoginExportFullMyndighed xmlns:fm="{EXPORT}/fullmyndighed" xmlns:c="{EXPORT}/common"'
        f' xmlns:b="{COMMON}"'
        f' exportDateTime="{_time(institution.export_time)}" accessLevel="full">\n'
        f'<c:ImportSource sourceDateTime="{_time(institution.source_time)}" source={quoteattr(SOURCE)}'
        f' schoolYear="{institution.school_year}"/>\n<fm:Institution>\n'
    )
    yield _element("c:InstitutionNumber", institution.number)
    yield _element("c:InstitutionName", institution.name) + "\n"
    for group in institution.groups:
        yield _group(group)
    writer = _PersonWriter(institution, with_cpr=not knobs.without_cpr)
    for position, record in enumerate(institution.records):
        yield writer.record(record, with_person=position >= knobs.missing_person)
    yield "</fm:Institution>\n</fm:UNILoginExportFullMyndighed>\n"


@dataclass(frozen=True, slots=True)
class _PersonWriter:
    institution: Institution
    with_cpr: bool

    def record(self, record: Record, with_person: bool) -> str:
        return (
            f"<fm:InstitutionPerson source={quoteattr(record.source)}>"
            + _element("b:LocalPersonId", record.local_person_id)
            + (self.person(record.user_id) if with_person else "")
            + self.role(record.role)
            + "</fm:InstitutionPerson>\n"
        )

    def role(self, role: Student | Employee | External) -> str:
        match role:
            case Student():
                return self.student(role)
            case Employee():
                return _employee(role)
            case External():
                return f"<c:Extern>{_element('c:Role', role.role)}{_group_ids(role.groups)}</c:Extern>"
            case _:
                assert_never(role)

    def student(self, student: Student) -> str:
        return (
            "<fm:Student>"
            + _element("c:Role", "Elev")
            + _element("c:StudentNumber", student.student_number)
            + _element("c:Level", student.level)
            + _element("c:MainGroupId", student.main_group)
            + _group_ids(student.groups)
            + "".join(map(self.contact, student.contacts))
            + "</fm:Student>"
        )

    def contact(self, contact: Contact) -> str:
        return (
            f"\n<fm:ContactPerson relation={quoteattr(contact.relation)}"
            f' childCustody="{_flag(contact.has_custody)}" accessLevel="{contact.access_level}">'
            f"{self.person(contact.user_id)}</fm:ContactPerson>"
        )

    def person(self, user_id: str) -> str:
        person = self.institution.people[user_id]
        return (
            f'<fm:Person protected="{_flag(person.alias is not None)}">'
            + _element("c:FirstName", person.given_name)
            + _element("c:FamilyName", person.family_name)
            + _element("c:UserId", person.user_id)
            + (_cpr(person) if self.with_cpr else "")
            + _element("c:EmailAddress", person.email)
            + _element("c:BirthDate", person.birth_date.isoformat())
            + _element("c:Gender", person.gender)
            + _address(person.address)
            + _phone("c:MobilePhoneNumber", person.mobile_phone)
            + _alias(person)
            + "</fm:Person>"
        )


def _group(group: Group) -> str:
    return (
        "<c:Group>"
        + _element("c:GroupId", group.group_id)
        + _element("c:GroupName", group.name)
        + _element("c:GroupType", group.type)
        + _element("c:GroupLevel", group.level)
        + _element("c:Line", group.line)
        + _element("c:FromDate", group.from_date.isoformat())
        + _element("c:ToDate", group.to_date.isoformat())
        + "</c:Group>\n"
    )


def _employee(employee: Employee) -> str:
    return (
        "<c:Employee>"
        + "".join(_element("c:Role", role) for role in employee.roles)
        + _element("c:ShortName", employee.short_name)
        + _element("c:Occupation", employee.occupation)
        + _group_ids(employee.groups)
        + "</c:Employee>"
    )


def _cpr(person: Person) -> str:
    return _element("c:CivilRegistrationNumber", person.cpr) + _element(
        "c:CivilRegistrationNumberType", "CPR_VERIFIED"
    )


def _address(address: Address) -> str:
    return (
        "<c:Address>"
        + _element("c:StreetAddress", address.street)
        + _element("c:PostalCode", address.postal_code)
        + _element("c:PostalDistrict", address.postal_district)
        + _element("c:CountryCode", "DK")
        + _element("c:MunicipalityCode", address.municipality_code)
        + "</c:Address>"
    )


def _phone(name: str, phone: Phone | None) -> str:
    return f'<{name} protected="{_flag(phone.is_protected)}">{escape(phone.number)}</{name}>' if phone else ""


def _alias(person: Person) -> str:
    if person.alias is None:
        return ""
    return _element("fm:AliasFirstName", person.alias.given_name) + _element(
        "fm:AliasFamilyName", person.alias.family_name
    )


def _group_ids(group_ids: tuple[str, ...]) -> str:
    # A reference to a group is in the common namespace, the group's own id in the export's.
    return "".join(_element("b:GroupId", group_id) for group_id in group_ids)


def _element(name: str, text: str | None) -> str:
    return "" if text is None else f"<{name}>{escape(text)}</{name}>"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _time(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")

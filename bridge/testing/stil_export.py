"""One institution as an export of any size, wsiEKSPORT v7, in the schema's order and namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from xml.sax.saxutils import escape, quoteattr

from bridge.testing.stil_knobs import Knobs as Knobs
from bridge.testing.stil_knobs import spoil
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
from bridge.testing.stil_size import AUTHORITY, Size

COMMON = "https://brugerdatabasen.stil.dk/bpi/common/3"
EXPORT = "https://brugerdatabasen.stil.dk/bpi/wsieksport/7"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


def write_export(institution: Institution, knobs: Knobs | None = None) -> bytes:
    """The whole document in UTF-8, as it would stand in a file."""
    return (DECLARATION + write_payload(institution, knobs)).encode()


def write_payload(institution: Institution, knobs: Knobs | None = None, size: Size = AUTHORITY) -> str:
    """The root element alone, ready to be put into an answer."""
    knobs = knobs or Knobs()
    written = "".join(_document(spoil(institution, knobs), knobs, size))
    return written.replace(EXPORT, EXPORT[:-1] + "8") if knobs.new_version else written


def _document(institution: Institution, knobs: Knobs, size: Size) -> Iterator[str]:
    root = f"s:UNILoginExport{size.word}"
    yield (
        f'<{root} xmlns:s="{EXPORT}/{size.word.lower()}" xmlns:c="{EXPORT}/common" xmlns:b="{COMMON}"'
        f' exportDateTime="{_time(institution.export_time)}" accessLevel="{size.access_level}">\n'
    )
    for position, year in enumerate((institution.school_year, *knobs.more_school_years)):
        source = quoteattr(SOURCE + (f" {position + 1}" if position else ""))
        sent = _time(institution.source_time)
        yield f'<c:ImportSource sourceDateTime="{sent}" source={source} schoolYear="{year}"/>\n'
    for other in institution.more_sources:
        sent, name = _time(other.source_time), quoteattr(other.name)
        yield f'<c:ImportSource sourceDateTime="{sent}" source={name} schoolYear="{other.school_year}"/>\n'
    yield "<s:Institution>\n"
    yield _element("c:InstitutionNumber", institution.number)
    yield _element("c:InstitutionName", institution.name) + "\n"
    yield from map(_group, institution.groups)
    writer = _PersonWriter(institution, knobs, size)
    for position, record in enumerate(institution.records):
        yield writer.record(record, with_person=position >= knobs.missing_person)
    yield f"</s:Institution>\n</{root}>\n"


@dataclass(frozen=True, slots=True)
class _PersonWriter:
    institution: Institution
    knobs: Knobs
    size: Size

    def record(self, record: Record, with_person: bool) -> str:
        return (
            f"<s:InstitutionPerson source={quoteattr(record.source)}>"
            + (_element("b:LocalPersonId", record.local_person_id) if self.size.has_details else "")
            + (self.person(record.user_id) if with_person else "")
            + self.role(record.role)
            + ("<c:Novelty>1</c:Novelty>" if self.knobs.unknown_element else "")
            + "</s:InstitutionPerson>\n"
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
            "<s:Student>"
            + _element("c:Role", "Ukendt" if self.knobs.unknown_role else "Elev")
            + _element("c:StudentNumber", student.student_number)
            + _element("c:Level", student.level)
            + _element("c:MainGroupId", student.main_group)
            + _group_ids(student.groups)
            + ("".join(map(self.contact, student.contacts)) if self.size.has_contacts else "")
            + "</s:Student>"
        )

    def contact(self, contact: Contact) -> str:
        return (
            f"\n<s:ContactPerson relation={quoteattr(contact.relation)}"
            f' childCustody="{_flag(contact.has_custody)}" accessLevel="{contact.access_level}">'
            f"{self.person(contact.user_id)}</s:ContactPerson>"
        )

    def person(self, user_id: str) -> str:
        person, size = self.institution.people[user_id], self.size
        protection = f' protected="{_flag(person.alias is not None)}"' if size.has_contacts else ""
        return (
            f"<s:Person{protection}>"
            + _names(person, size)
            + (self.details(person) if size.has_details else "")
            + (_whereabouts(person) if size.has_contacts else "")
            + (_alias(person) if size.has_aliases else "")
            + "</s:Person>"
        )

    def details(self, person: Person) -> str:
        # The medium size hides the numbers of protected persons.
        is_hidden = self.knobs.without_cpr or (person.alias is not None and not self.size.has_contacts)
        return (
            ("" if is_hidden else _cpr(person))
            + _element("c:EmailAddress", person.email)
            + _element("c:BirthDate", person.birth_date.isoformat())
            + _element("c:Gender", person.gender)
        )


def _names(person: Person, size: Size) -> str:
    # Only the authority's size has the real names of protected persons; the others have the alias for one.
    alias = None if size.has_aliases else person.alias
    shown = alias if alias is not None and alias.given_name else person
    return (
        _element("c:FirstName", shown.given_name)
        + _element("c:FamilyName", shown.family_name)
        + _element("c:UserId", person.user_id)
    )


def _whereabouts(person: Person) -> str:
    return _address(person.address) + _phone("c:MobilePhoneNumber", person.mobile_phone)


def _group(group: Group) -> str:
    return (
        "<c:Group>"
        + _element("c:GroupId", group.group_id)
        + _element("c:GroupName", group.name or None)
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
    if person.alias is None or not person.alias.given_name:
        return ""
    return _element("s:AliasFirstName", person.alias.given_name) + _element(
        "s:AliasFamilyName", person.alias.family_name
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

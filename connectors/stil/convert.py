"""Each group and person of the export becomes one record, or a quarantine that says why not, in our words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal
from xml.etree.ElementTree import Element

from bridge.domain.entities import Address, Person, Phone, Role
from bridge.domain.privacy import Protection, plain_number
from bridge.domain.records import (
    AffiliationRecord,
    ContactRecord,
    GroupRecord,
    PersonRecord,
    Quarantined,
    Record,
)
from connectors.stil import vocabulary as v
from connectors.stil.reading import Reader, picked
from connectors.stil.stream import local_name
from connectors.stil.values import read_token

_USER_ID = re.compile(r"[A-Za-z0-9._@-]{1,64}")
"""STIL's facets of UserId are unknown; this is wide, and keeps what is no identifier out of keys and logs."""

_RECORD_ATTRIBUTES = frozenset({"source"})
_PERSON_ATTRIBUTES = frozenset({"protected"})
_CONTACT_ATTRIBUTES = frozenset({"relation", "childCustody", "accessLevel"})

ProtectedNames = Literal["real", "alias"]
"""What stands as the name of a protected person where the size has no alias of its own."""


class Unusable(Exception):
    """A record lacks what makes it usable: `reason` is a code, `user_id` the person's, where it is known."""

    def __init__(self, reason: str, user_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.user_id = user_id


class Converter:
    """Turns the subtrees of one document (stil.md §3) into records.

    Notes and quarantined contacts come after the record that they belong to.
    """

    def __init__(self, size: v.Size, reader: Reader, protected_names: ProtectedNames | None) -> None:
        self._size, self._reader, self._protected_names = size, reader, protected_names
        self.sources = {v.MANUAL_SOURCE}  # those that the document declares are added as they come

    @property
    def states_protection(self) -> bool:
        """Whether a person who is not called protected in these records is not."""
        return self._size.states_protection or self._protected_names == "real"

    def group(self, element: Element, path: str) -> Iterator[Record]:
        """Yield the record of a Group element."""
        reader = self._reader
        texts, rest = reader.texts(element, v.GROUP_TEXTS, path)
        reader.pass_over(rest, path)
        if "group_id" in texts:
            yield GroupRecord(
                path=path,
                group_id=texts["group_id"],
                name=texts.get("name"),
                type=reader.code(v.GROUP_TYPES, texts.get("type"), path, "group_type"),
                level=reader.checked(texts.get("level"), v.LEVELS, path, "level"),
                line=texts.get("line"),
                from_date=reader.date(texts, "from_date", path),
                to_date=reader.date(texts, "to_date", path),
            )
        else:
            yield Quarantined(path, "missing_group_id")
        yield from reader.asides()

    def record(self, element: Element, path: str) -> Iterator[Record]:
        """Yield the record of an InstitutionPerson element."""
        texts, rest = self._reader.texts(element, v.RECORD_TEXTS, path)
        source, local_id = read_token(element.get("source", "")), texts.get("local_person_id")
        if not source:
            self._reader.note(path, "missing_source")
        elif source not in self.sources:
            self.sources.add(source)
            self._reader.note(path, "undeclared_source")
        self._reader.attributes(element, _RECORD_ATTRIBUTES, path)
        try:
            person, affiliation = self._person_and_role(rest, path)
            yield PersonRecord(path, source, local_id, person, affiliation)
        except Unusable as error:
            own = (part for part in rest if part.tag == self._size.person)
            protected = any(self._may_be_protected(person) for person in own)
            told = error.reason, source or None, local_id, error.user_id
            yield Quarantined(path, *told, protected=protected, stating=self._stated(element))
        yield from self._reader.asides()

    def _person_and_role(self, rest: list[Element], path: str) -> tuple[Person, AffiliationRecord | None]:
        parts = self._reader.first_of_each(rest, path)
        person = self._person(parts.pop(self._size.person, None), f"{path}/Person")
        student = parts.pop(self._size.student, None)
        employee = parts.pop(v.EMPLOYEE, None)
        external = parts.pop(v.EXTERNAL, None)
        self._reader.pass_over(parts.values(), path)
        if sum(role is not None for role in (student, employee, external)) > 1:
            self._reader.note(path, "several_roles")
        if student is not None:
            return person, self._student(student, person.user_id, f"{path}/Student")
        if employee is not None:
            return person, self._employee(employee, person.user_id, f"{path}/Employee")
        return person, None if external is None else self._external(external, f"{path}/Extern")

    def _person(self, element: Element | None, path: str) -> Person:
        if element is None:
            raise Unusable("missing_person")
        reader = self._reader
        texts, rest = reader.texts(element, self._size.person_texts, path)
        get = texts.get
        if "user_id" not in texts:
            raise Unusable("missing_user_id")
        if not _USER_ID.fullmatch(texts["user_id"]):
            raise Unusable("unusable_user_id")
        if "given_name" not in texts or "family_name" not in texts:
            raise Unusable("missing_name", texts["user_id"])
        phones: dict[str, Phone | None] = {}
        address: Address | None = None
        for part in rest:
            if part.tag == v.ADDRESS and address is None:
                address = self._address(part, f"{path}/Address")
            elif part.tag in v.PHONES:
                phones.setdefault(v.PHONES[part.tag], self._phone(part, f"{path}/{local_name(part.tag)}"))
            else:
                reader.pass_over((part,), path)
        reader.attributes(element, _PERSON_ATTRIBUTES, path)
        number_type = get("civil_registration_number_type")
        is_protected = self._is_protected(element, path)
        has_alias_as_name = is_protected and not self._size.names_aliases and self._protected_names == "alias"
        return Person(
            user_id=texts["user_id"],
            given_name=texts["given_name"],
            family_name=texts["family_name"],
            protected=is_protected,
            alias_given_name=get("given_name" if has_alias_as_name else "alias_given_name"),
            alias_family_name=get("family_name" if has_alias_as_name else "alias_family_name"),
            civil_registration_number=get("civil_registration_number"),
            civil_registration_number_type=reader.checked(
                number_type, v.NUMBER_TYPES, path, "civil_registration_number_type"
            ),
            email=get("email"),
            birth_date=reader.date(texts, "birth_date", path) if "birth_date" in texts else None,
            gender=reader.checked(get("gender"), v.GENDERS, path, "gender"),
            photo_id=get("photo_id"),
            address=address,
            home_phone=phones.get("home_phone"),
            work_phone=phones.get("work_phone"),
            mobile_phone=phones.get("mobile_phone"),
        )

    def _is_protected(self, element: Element, path: str) -> bool:
        if not self._size.states_protection and "protected" not in element.keys():  # noqa: SIM118 - no mapping
            return self._protected_names == "real"
        # Where the export must say it and does not, the careful answer is yes.
        return self._reader.flag(element, "protected", path, otherwise=True)

    def _may_be_protected(self, person: Element) -> bool:
        """Whether a person of an unusable record is said to be protected, or must be taken to be."""
        is_told = "protected" in person.keys()  # noqa: SIM118 - no mapping
        return self._may_be(person) if is_told or self._size.states_protection else self._protected_names == "real"

    def _may_be(self, element: Element) -> bool:
        return v.BOOLEANS.get(read_token(element.get("protected", "")), True)

    def _stated(self, element: Element) -> tuple[tuple[str, Protection], ...]:
        """Whom an unusable record names, and what it states to be protected of them."""
        found = []
        for person in element.iter(self._size.person):
            user_id = next((read_token(e.text or "") for e in person if e.tag == v.USER_ID), "")
            phones = [part for part in person if part.tag in v.PHONES and self._may_be(part)]
            numbers = [number for part in phones if (number := read_token(part.text or ""))]
            stated = Protection(self._may_be_protected(person), frozenset(map(plain_number, numbers)))
            if _USER_ID.fullmatch(user_id) and stated != Protection():
                found.append((user_id, stated))
        return tuple(found)

    def _phone(self, element: Element, path: str) -> Phone | None:
        number = read_token(element.text or "")
        return Phone(number, self._reader.flag(element, "protected", path, otherwise=True)) if number else None

    def _address(self, element: Element, path: str) -> Address | None:
        texts, rest = self._reader.texts(element, v.ADDRESS_TEXTS, path)
        if rest:
            self._reader.pass_over(rest, path)
        if not texts:
            return None
        get = texts.get
        if "country_code" in texts and not v.COUNTRY_CODE.fullmatch(texts["country_code"]):
            self._reader.note(path, "unknown_country_code")
        return Address(
            get("street"),
            get("postal_code"),
            get("postal_district"),
            get("country_code"),
            get("municipality_code"),
        )

    def _student(self, element: Element, user_id: str, path: str) -> AffiliationRecord:
        texts, rest = self._reader.texts(element, v.STUDENT_TEXTS, path)
        contacts, rest = picked(rest, self._size.contact)
        groups, rest = picked(rest, v.GROUP_REFERENCE)
        self._reader.pass_over(rest, path)
        main_group = texts.get("main_group")
        if main_group is None:
            raise Unusable("missing_main_group", user_id)
        if "level" not in texts:
            self._reader.note(path, "missing_level")
        return AffiliationRecord(
            role=Role.STUDENT,
            roles=(self._reader.code(v.STUDENT_ROLES, texts.get("role"), path, "role"),),
            level=self._reader.checked(texts.get("level"), v.LEVELS, path, "level"),
            main_group=main_group,
            group_ids=tuple(dict.fromkeys((main_group, *self._reader.plain(groups, path)))),
            student_number=texts.get("student_number"),
            location=texts.get("location"),
            contacts=tuple(self._contacts(contacts, user_id, path)),
        )

    def _employee(self, element: Element, user_id: str, path: str) -> AffiliationRecord:
        texts, rest = self._reader.texts(element, v.EMPLOYEE_TEXTS, path)
        roles, rest = picked(rest, v.ROLE)
        groups, rest = picked(rest, v.GROUP_REFERENCE)
        self._reader.pass_over(rest, path)
        names = self._reader.plain(roles, path)
        if not names:
            raise Unusable("missing_role", user_id)
        return AffiliationRecord(
            role=Role.EMPLOYEE,
            roles=tuple(self._reader.code(v.EMPLOYEE_ROLES, name, path, "role") for name in names),
            group_ids=self._reader.plain(groups, path),
            location=texts.get("location"),
            short_name=texts.get("short_name"),
            occupation=texts.get("occupation"),
        )

    def _external(self, element: Element, path: str) -> AffiliationRecord:
        texts, rest = self._reader.texts(element, v.EXTERNAL_TEXTS, path)
        groups, rest = picked(rest, v.GROUP_REFERENCE)
        self._reader.pass_over(rest, path)
        return AffiliationRecord(
            role=Role.EXTERNAL,
            roles=(self._reader.code(v.EXTERNAL_ROLES, texts.get("role"), path, "role"),),
            group_ids=self._reader.plain(groups, path),
        )

    def _contacts(self, elements: Iterable[Element], child: str, path: str) -> Iterator[ContactRecord]:
        for number, element in enumerate(elements, 1):
            place = f"{path}/ContactPerson[{number}]"
            try:
                yield self._contact(element, place)
            except Unusable:
                # Named for the child: it is the child's contacts that are incomplete now.
                stating = self._stated(element)
                told = Quarantined(place, "contact_without_identity", user_id=child, stating=stating)
                self._reader.quarantine(told)

    def _contact(self, element: Element, path: str) -> ContactRecord:
        reader = self._reader
        parts = reader.first_of_each(element, path)
        person = self._person(parts.pop(self._size.person, None), f"{path}/Person")
        reader.pass_over(parts.values(), path)
        reader.attributes(element, _CONTACT_ATTRIBUTES, path)
        return ContactRecord(
            path=path,
            person=person,
            relation=reader.code(v.RELATIONS, read_token(element.get("relation", "")), path, "relation"),
            custody=reader.flag(element, "childCustody", path, otherwise=False),
            # Level 1 (confidential data) is the other one: 0 and 1 are written as booleans are.
            access_level=int(reader.flag(element, "accessLevel", path, otherwise=False)),
        )

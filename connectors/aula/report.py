"""What Aula will make of the data that it takes from STIL, told from the documents of `aula/observe`.

What is said of Aula is what its owner KOMBIT publishes for the municipalities (aulainfo.dk): a person without CPR
number cannot be in UNI-Login and so not in Aula; a child has up to ten contact persons, of the relations MOR, FAR
and ANDET; somebody with a protected name is shown as FE and digits, because STIL does not send the name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from bridge.connector import ConfigError, Document, Reported

MOST_CONTACTS = 10
RELATIONS = frozenset({"mother", "father", "other"})
"""MOR, FAR and ANDET in our words (events.md)."""
STUDENT, CONTACT, NO_ROLE = "student", "contact", "no_role"

KINDS: Mapping[str, str] = {
    STUDENT: "pupils",
    "employee": "employees",
    "external": "external staff",
    CONTACT: "contact persons",
    NO_ROLE: "people without a role or a child there",
}
"""As what somebody is known at an institution, with the word for it."""

CODES: Mapping[str, str] = {
    **KINDS,
    "protected": "protected: Aula shows FE and digits, because STIL does not send it the name",
    "alias_in_use": "protected, and other platforms show the alias of the source",
    "protected_without_alias": "protected, and the source gives no alias",
    "identity_not_told": "no civil registration number of anybody is told here, so missing ones cannot be found",
    **{f"{kind}_without_identity": f"{word} without civil registration number" for kind, word in KINDS.items()},
    "protected_without_identity": "protected, without civil registration number, which STIL may have withheld",
    "contacts_not_told": "no contact person of any pupil is told here, so missing ones cannot be found",
    "too_many_contacts": f"pupils with more than {MOST_CONTACTS} contact persons",
    "without_contacts": "pupils without any contact person",
    "other_relation": "ties to a contact person who is not MOR, FAR or ANDET",
    "group_without_members": "groups without members",
    "institution_without_people": "institutions of which nobody is known",
}


def findings(documents: Iterable[Document]) -> Iterator[Reported]:
    """Yield what Aula will see, miss or show otherwise, institution by institution.

    Raises `ConfigError` where the mapping leaves out what identifies a document.
    """
    roster = Roster(documents)
    for institution in sorted(roster.institutions):
        users = roster.people.get(institution, {})
        yield from _people(roster, institution, users)
        yield from _identities(roster, institution, users)
        yield from _contacts(roster, institution, users)
        yield from _groups(roster, institution)


class Roster:
    """Who is where, as what, and tied to whom.

    `people`: by institution and user id, as what they are known there. `contacts`: of a child, wherever told.
    """

    def __init__(self, documents: Iterable[Document]) -> None:
        self.persons: dict[str, Mapping[str, Any]] = {}
        self.people: dict[str, dict[str, set[str]]] = defaultdict(dict)
        self.contacts: dict[str, set[str]] = defaultdict(set)
        self.ties: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.groups: dict[str, set[str]] = defaultdict(set)
        self.filled: set[tuple[str, str]] = set()
        self.institutions: set[str] = set()
        for document in documents:
            try:
                self._take(document.resource, document.body)
            except KeyError as missing:
                raise ConfigError(
                    f"mapping: the report on Aula needs {missing.args[0]} of a {document.resource}; use the "
                    "mapping aula/observe or one that extends it"
                ) from missing
        self.institutions |= self.people.keys() | self.groups.keys()

    def _take(self, resource: str, body: Mapping[str, Any]) -> None:
        match resource:
            case "institution":
                self.institutions.add(body["institution_number"])
            case "group":
                self.groups[body["institution_number"]].add(body["group_id"])
            case "person":
                self.persons[body["user_id"]] = body
                for institution in body["institutions"]:
                    self._known(institution, body["user_id"])
            case "affiliation":
                self._known(body["institution_number"], body["user_id"]).add(body["kind"])
            case "guardianship":
                self._tie(body["institution_number"], body["child_user_id"], body["contact_user_id"], body)
            case "membership":
                self.filled.add((body["institution_number"], body["group_id"]))
            case _:
                return  # a mapping of the municipality's own may have more

    def _known(self, institution: str, user: str) -> set[str]:
        return self.people[institution].setdefault(user, set())

    def _tie(self, institution: str, child: str, contact: str, body: Mapping[str, Any]) -> None:
        self._known(institution, contact).add(CONTACT)
        self.contacts[child].add(contact)
        self.ties[institution].append((child, body.get("relation") or ""))


def _people(roster: Roster, institution: str, users: Mapping[str, Collection[str]]) -> Iterator[Reported]:
    for user, kinds in users.items():
        for kind in kinds or (NO_ROLE,):
            yield Reported(institution, kind)
        person = roster.persons.get(user, {})
        if person.get("protected"):
            is_named = person.get("has_alias_given_name") or person.get("has_alias_family_name")
            yield Reported(institution, "protected", user)
            yield Reported(institution, "alias_in_use" if is_named else "protected_without_alias", user)
    if not users:
        yield Reported(institution, "institution_without_people")


def _identities(roster: Roster, institution: str, users: Mapping[str, Collection[str]]) -> Iterator[Reported]:
    """Who has no CPR number; where nobody has one, STIL was not asked for them and nothing follows from it."""
    known = {user: roster.persons[user] for user in users if user in roster.persons}
    nameless = [user for user, person in known.items() if not person.get("has_civil_registration_number")]
    if nameless and len(nameless) == len(known):
        yield Reported(institution, "identity_not_told")
        return
    for user in nameless:
        # In its size "mellem" STIL withholds the number of whoever is protected (stil.md 3.5).
        kinds = ("protected",) if known[user].get("protected") else users[user] or (NO_ROLE,)
        yield from (Reported(institution, f"{kind}_without_identity", user) for kind in kinds)


def _contacts(roster: Roster, institution: str, users: Mapping[str, Collection[str]]) -> Iterator[Reported]:
    pupils = [user for user, kinds in users.items() if STUDENT in kinds]
    is_told = any(user in roster.contacts for user in pupils)
    if pupils and not is_told:
        yield Reported(institution, "contacts_not_told")
    for user in pupils if is_told else ():
        number = len(roster.contacts.get(user, ()))
        if number == 0:
            yield Reported(institution, "without_contacts", user)
        elif number > MOST_CONTACTS:
            yield Reported(institution, "too_many_contacts", user)
    for child, relation in roster.ties.get(institution, ()):
        if relation.strip().lower() not in RELATIONS:
            yield Reported(institution, "other_relation", child)


def _groups(roster: Roster, institution: str) -> Iterator[Reported]:
    for group in sorted(roster.groups.get(institution, ())):
        if (institution, group) not in roster.filled:
            yield Reported(institution, "group_without_members", f"{institution}/{group}")

"""What every system must hold in the end, computed from the made-up people themselves and not from the engine.

The rules are those of `events.md` and of the shipped mappings `scim/core` and `aula/agreement`, written down
a second time.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import psycopg

from bridge.testing.faulty_proxy import SeenRequest
from bridge.testing.stil_people import Person
from bridge.testing.stil_records import Contact, Employee, External, Group, Institution, Record, Student
from tests.support.scim import ScimServer

Body = dict[str, Any]
Database = Path | str
"""A file, or the URL of a PostgreSQL server's."""
_IDS = UUID("5c0f7c26-5a53-5a0e-9a3c-6f1f0a4d6b11")
_BEST_FIRST = ("student", "employee", "external")
_ENGLISH = {
    "Hovedgruppe": "main", "Årgang": "year", "Hold": "teaching", "SFO": "after_school",
    "Mor": "mother", "Far": "father", "Officielt tilknyttet person": "official",
    "Elev": "pupil", "Praktikant": "trainee", "Ekstern": "external",
    "Lærer": "teacher", "Pædagog": "pedagogue", "Vikar": "substitute", "Leder": "leader",
    "Ledelse": "management", "TAP": "technical_administrative", "Konsulent": "consultant",
}  # fmt: skip


@cache
def identity(municipality: str, kind: str, *key: str) -> str:
    """The canonical id: the same as long as the source's key is the same."""
    return str(uuid5(_IDS, "\x1f".join((municipality, kind, *key))))


# ---------------------------------------------------------------- a learning platform


def scim_model(municipality: str, institutions: Sequence[Institution]) -> dict[str, dict[str, Body]]:
    """Users and Groups by externalId; the members of a group are externalIds."""
    users, groups = {}, {}
    for user_id, kinds in _kinds(institutions).items():
        external_id = identity(municipality, "person", user_id)
        users[external_id] = _user(external_id, _person(institutions, user_id), kinds)
    members: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in _records(institutions):
        for group_id in record.group_ids:
            members[record.institution_number, group_id].add(identity(municipality, "person", record.user_id))
    for key, name in _group_names(institutions).items():
        external_id = identity(municipality, "group", *key)
        groups[external_id] = {"displayName": name, "members": sorted(members[key])}
    return {"Users": users, "Groups": groups}


def scim_state(server: ScimServer) -> dict[str, dict[str, Body]]:
    """What a SCIM server holds, in the shape of `scim_model`. Nobody may be there twice."""
    users, groups = server.resources("/Users"), server.resources("/Groups")
    for resources in (users, groups):
        twice = [name for name, number in Counter(r["externalId"] for r in resources).items() if number > 1]
        assert not twice, f"created twice at the server: {twice}"
    ours = {user["id"]: user["externalId"] for user in users}
    return {
        "Users": {user["externalId"]: _without(user, "id", "meta", "schemas") for user in users},
        "Groups": {
            group["externalId"]: {
                "displayName": group["displayName"],
                "members": sorted(ours.get(m["value"], f"nobody: {m['value']}") for m in group.get("members", [])),
            }
            for group in groups
        },
    }


def _user(external_id: str, person: Person, kinds: set[str]) -> Body:
    given, family = _names(person)
    user: Body = {
        "externalId": external_id,
        "userName": person.user_id,
        "name": {"givenName": given, "familyName": family},
        "displayName": f"{given} {family}",
        "userType": next(kind for kind in _BEST_FIRST if kind in kinds),
        "active": True,
    }
    if person.email and not person.alias:
        user["emails"] = [{"value": person.email, "type": "work", "primary": True}]
    return user


def _names(person: Person) -> tuple[str, str]:
    return (
        (person.alias.given_name, person.alias.family_name)
        if person.alias
        else (person.given_name, person.family_name)
    )


def _without(body: Body, *names: str) -> Body:
    return {name: value for name, value in body.items() if name not in names}


# ---------------------------------------------------------------- Aula by agreement


def aula_model(municipality: str, institutions: Sequence[Institution]) -> dict[str, Body]:
    """`data.object` by subject."""
    objects: dict[str, Body] = {}

    def put(kind: str, key: tuple[str, ...], body: Body) -> None:
        told = {name: value for name, value in body.items() if value is not None}
        objects[f"{kind}/{identity(municipality, kind, *key)}"] = told

    declared = {(i.number, group.group_id): group for i in institutions for group in i.groups}
    for institution in institutions:
        put("institution", (institution.number,), _institution(institution))
    for key, name in _group_names(institutions).items():
        put("group", key, _aula_group(key, name, declared.get(key)))
    for user_id in {user_id for i in institutions for user_id in i.people}:
        put("person", (user_id,), _aula_person(_person(institutions, user_id)))
    for record in _records(institutions):
        put("affiliation", record.key, _affiliation(record))
        for group_id in record.group_ids:
            key = (record.institution_number, group_id, record.user_id)
            put("membership", key, dict(zip(("institution_number", "group_id", "user_id"), key, strict=True)))
        for contact in record.contacts:
            put(
                "guardianship",
                (record.institution_number, record.user_id, contact.user_id),
                _guardianship(record, contact),
            )
    return objects


def _institution(institution: Institution) -> Body:
    return {"institution_number": institution.number, "name": institution.name}


def _aula_group(key: tuple[str, str], name: str, group: Group | None) -> Body:
    number, group_id = key
    body: Body = {"institution_number": number, "group_id": group_id, "name": name}
    if group is not None:
        body |= {
            "type": _ENGLISH[group.type],
            "level": group.level,
            "line": group.line,
            "from_date": group.from_date.isoformat(),
            "to_date": group.to_date.isoformat(),
        }
    return body


def _aula_person(person: Person) -> Body:
    given, family = _names(person)
    return {
        "user_id": person.user_id,
        "given_name": given,
        "family_name": family,
        "protected": person.alias is not None,
    }


def _affiliation(record: Record) -> Body:
    body: Body = {"institution_number": record.institution_number, "user_id": record.user_id, "kind": record.kind}
    match record.role:
        case Student(level=level, main_group=main_group):
            return body | {"roles": ["pupil"], "level": level, "main_group": main_group}
        case Employee(roles=roles):
            return body | {"roles": [_ENGLISH[role] for role in sorted(set(roles))]}
        case External(role=role):
            return body | {"roles": [_ENGLISH[role]]}


def _guardianship(record: Record, contact: Contact) -> Body:
    return {
        "institution_number": record.institution_number,
        "child_user_id": record.user_id,
        "contact_user_id": contact.user_id,
        "relation": _ENGLISH[contact.relation],
        "custody": contact.has_custody,
        "access_level": contact.access_level,
    }


# ---------------------------------------------------------------- what both need


def _records(institutions: Iterable[Institution]) -> list[Record]:
    return [record for institution in institutions for record in institution.records]


def _kinds(institutions: Iterable[Institution]) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = defaultdict(set)
    for record in _records(institutions):
        kinds[record.user_id].add(record.kind)
    return kinds


def _person(institutions: Iterable[Institution], user_id: str) -> Person:
    """Every institution tells the same of a person on the same day."""
    return next(i.people[user_id] for i in institutions if user_id in i.people)


def _group_names(institutions: Iterable[Institution]) -> dict[tuple[str, str], str]:
    """Declared groups by their name; one that is only referred to has its id as name."""
    names: dict[tuple[str, str], str] = {}
    for institution in institutions:
        names |= {(institution.number, g.group_id): g.name for g in institution.groups}
        for record in institution.records:
            for group_id in record.group_ids:
                names.setdefault((institution.number, group_id), group_id)
    return names


# ---------------------------------------------------------------- what the state must look like at rest


def assert_log_is_whole(database: Database, living: set[str]) -> int:
    """No gap, no event twice, versions that rise by one, and whoever read it all knows who lives.

    Returns how many events there are.
    """
    rows = _rows(database, "SELECT municipality, sequence, id, subject, version, type FROM events ORDER BY 1, 2")
    told = {subject: kind for _, _, _, subject, _, kind in rows}
    assert {subject for subject, kind in told.items() if ".deleted." not in kind} == living
    by_municipality: dict[str, list[int]] = defaultdict(list)
    versions: dict[tuple[str, str], list[int]] = defaultdict(list)
    for municipality, sequence, _, subject, version, _ in rows:
        by_municipality[municipality].append(sequence)
        versions[municipality, subject].append(version)
    for municipality, sequences in by_municipality.items():
        assert sequences == list(range(1, len(sequences) + 1)), f"gap or repeat in the log of {municipality}"
    assert len({row[2] for row in rows}) == len(rows), "an event id stands twice"
    odd = {subject: told for subject, told in versions.items() if told != list(range(1, len(told) + 1))}
    assert not odd, f"versions do not rise by one: {odd}"
    last = dict(_rows(database, "SELECT municipality, last FROM sequences"))
    assert last == {municipality: len(sequences) for municipality, sequences in by_municipality.items()}
    return len(rows)


def assert_nothing_is_open(database: Database) -> None:
    """Nothing due, rejected or in doubt, no hold, and every intent closed exactly once."""
    left = _rows(
        database,
        "SELECT target, kind, id, state, reason, in_doubt, attempts FROM deliveries"
        " WHERE is_due = 1 OR in_doubt = 1 OR state <> 'pending'",
    )
    assert not left, f"deliveries are left: {left[:5]}"
    assert not _rows(database, "SELECT * FROM open_intents"), "an intent was never closed"
    intents = Counter(row[0] for row in _rows(database, "SELECT intent FROM audit WHERE intent IS NOT NULL"))
    closed = Counter(row[0] for row in _rows(database, "SELECT closes FROM audit WHERE closes IS NOT NULL"))
    assert set(intents.values()) <= {1} and intents == closed, "an intent was closed twice, or never"
    assert not _rows(database, "SELECT id, reasons FROM holds WHERE state = 'open'")


def intents_by_subject(database: Database, target: str) -> Counter[str]:
    """How often the audit chain says that something is sent, by its keyed reference of the subject."""
    records = [json.loads(row[0]) for row in _rows(database, "SELECT record FROM audit WHERE intent IS NOT NULL")]
    return Counter(record["subject"] for record in records if record["target"] == target)


def rows_of(database: Database, sql: str) -> list[Any]:
    return _rows(database, sql)


def _rows(database: Database, sql: str) -> list[Any]:
    if isinstance(database, str):
        with psycopg.connect(database) as shared:
            return shared.execute(sql).fetchall()  # type: ignore[arg-type]  # our own words
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(sql).fetchall()


# ---------------------------------------------------------------- what the targets were told on the way


def assert_nobody_was_created_twice(requests: Iterable[SeenRequest], days: Sequence[frozenset[str]]) -> int:
    """Nobody was created more often than they came into the model (`days` are its externalIds, day by day).

    Returns how many creates the server carried out.
    """
    came = Counter(name for before, day in zip((frozenset(), *days), days, strict=False) for name in day - before)
    created = Counter(
        json.loads(request.body)["externalId"]
        for request in requests
        if request.method == "POST" and request.status == 201
    )
    twice = {name: number for name, number in created.items() if number > came[name]}
    assert not twice, f"created more often than they came: {twice}"
    return created.total()


def assert_versions_never_go_back(received: Sequence[Body]) -> int:
    """Of each subject a receiver gets rising versions, and repeats of the newest only; returns the repeats."""
    newest: dict[str, Body] = {}
    repeats = 0
    for event in received:
        before = newest.get(event["subject"])
        if before is not None and before["id"] == event["id"]:
            # What was before is told or not by what is hidden of the person when it is sent: a phone is enough.
            told, again = (one["data"]["object"] for one in (before, event))
            assert told == again and before["type"] == event["type"], f"same id, other event: {before}, {event}"
            repeats += 1
        else:
            known = before["entityversion"] if before else 0
            assert event["entityversion"] > known, (
                f"{event['subject']} went from {known} to {event['entityversion']}"
            )
        newest[event["subject"]] = event
    return repeats

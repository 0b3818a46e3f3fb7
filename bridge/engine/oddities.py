"""What is odd about a snapshot as a whole, though all of it can be used: told once for a group, naming nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bridge.domain.changes import Change, Operation
from bridge.domain.entities import Affiliation, Person
from bridge.domain.records import GroupRecord, Header, Noted, PersonRecord


def oddities(
    header: Header,
    groups: Mapping[str, GroupRecord],
    records: Iterable[PersonRecord],
    people: Iterable[Person],
) -> Iterator[Noted]:
    """Yield a note for each school that is in two years at once, and for each group or CPR number that is unclear.

    Args:
        header: of the snapshot.
        groups: those that it declares, by group id.
        records: its records that carry a role.
        people: one value for each user id in it.
    """
    if len({source.school_year for source in header.sources if source.school_year}) > 1:
        yield Noted("ImportSource", "several_school_years")
    yield from _repeated_names(groups.values())
    yield from _unclear_groups(groups, records)
    shared: dict[str, int] = {}
    for person in people:
        if person.civil_registration_number:
            shared[person.civil_registration_number] = shared.get(person.civil_registration_number, 0) + 1
    yield from (Noted("InstitutionPerson", "cpr_of_several_users") for users in shared.values() if users > 1)


def renamed(changes: Iterable[Change]) -> Iterator[Noted]:
    """Yield a note for each person who goes and comes under another user id, by source and LocalPersonId.

    Who that is may be one person or two (stil.md §4), so they stay two; but a person should know why one went.
    """
    gone: set[tuple[str | None, str]] = set()
    come: list[tuple[str | None, str]] = []
    for change in changes:
        told = change.after or change.before
        if not isinstance(told, Affiliation) or told.local_person_id is None:
            continue
        if change.operation is Operation.DELETED:
            gone.add((told.source, told.local_person_id))
        elif change.operation is Operation.CREATED:
            come.append((told.source, told.local_person_id))
    yield from (Noted("InstitutionPerson", "user_id_changed") for one in come if one in gone)


def _repeated_names(groups: Iterable[GroupRecord]) -> Iterator[Noted]:
    seen: set[str] = set()
    for group in groups:
        name = (group.name or group.group_id).casefold()
        if name in seen:
            yield Noted(group.path, "group_name_repeated")
        seen.add(name)


def _unclear_groups(groups: Mapping[str, GroupRecord], records: Iterable[PersonRecord]) -> Iterator[Noted]:
    told: set[tuple[str, str]] = set()
    for record in records:
        role = record.affiliation
        if role is None:
            continue
        found = [(group_id, "group_not_declared") for group_id in role.group_ids if group_id not in groups]
        main = groups.get(role.main_group) if role.main_group is not None else None
        if main is not None and main.type.value != "main":
            found.append((main.group_id, "main_group_of_another_type"))
        for oddity in found:
            if oddity not in told:
                told.add(oddity)
                yield Noted(record.path, oddity[1])

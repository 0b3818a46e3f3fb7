"""What is odd about a snapshot as a whole, though all of it can be used: told once for a group, naming nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bridge.domain.entities import Person
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

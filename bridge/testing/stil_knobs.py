"""What can be wrong with an export, as STIL's own have been seen to be or its schema allows (stil.md §10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, Field

from bridge.testing.stil_people import Alias, Person
from bridge.testing.stil_records import External, Group, Institution, Record, Student

_YEAR = timedelta(days=365)
T = TypeVar("T")
Amount = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Knobs:
    """What is wrong with an export; nothing by default. An amount befalls the first ones."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")  # they come as JSON too

    empty: bool = False  # neither groups nor persons
    drop_pupils_percent: Annotated[int, Field(ge=0, le=100)] = 0
    as_institution: Annotated[str, Field(pattern="^[A-Za-z0-9]{1,6}$")] | None = None  # another one's number
    older_by: timedelta | None = None
    missing_person: Amount = 0  # that many records say nobody's name
    without_cpr: bool = False
    more_school_years: tuple[str, ...] = ()  # each of one more ImportSource
    rollover: Literal["same_ids", "new_ids"] | None = None  # pupils go up; who is in the last level leaves
    without_local_ids: Amount = 0
    nameless_groups: Amount = 0
    same_group_names: bool = False
    repeated_group: bool = False  # one GroupId declared twice
    implicit_groups: Amount = 0  # no longer declared, still referred to
    dangling_main_group: Amount = 0  # that many pupils
    protected_without_alias: Amount = 0
    user_ids: Mapping[str, str] = field(default_factory=dict)  # new by old
    cprs: Mapping[str, str] = field(default_factory=dict)  # by user id, as it was before `user_ids`
    two_roles: Amount = 0  # that many pupils and staff are externals too
    unknown_role: bool = False
    unknown_values: bool = False  # a gender, levels, a type of CPR number and a school year that nobody knows
    unknown_element: bool = False
    early_grade_0: bool = False  # a class of next year's beginners
    long_tokens: bool = False  # group names, given names and local ids at their limits, counted in octets
    new_version: bool = False  # everything in the namespaces of version 8

    def rename(self, user_id: str) -> str:
        """The user id that stands in the export."""
        return self.user_ids.get(user_id, user_id)


def spoil(institution: Institution, knobs: Knobs) -> Institution:
    """Return the institution as it is written; what has no place in it, the writer spoils."""
    for step in (_roll, _spoil_records, _spoil_groups, _spoil_people, _stretch, _make_strange):
        institution = step(institution, knobs)
    older_by = knobs.older_by or timedelta()
    return replace(
        institution,
        number=knobs.as_institution or institution.number,
        groups=() if knobs.empty else institution.groups,
        records=() if knobs.empty else institution.records,
        export_time=institution.export_time - older_by,
        source_time=institution.source_time - older_by,
    )


def _roll(institution: Institution, knobs: Knobs) -> Institution:
    if knobs.rollover is None:
        return institution
    year = int(institution.school_year[:4]) + 1
    ending = f"-{year}" if knobs.rollover == "new_ids" else ""
    classes = {(g.level, g.line): g for g in institution.groups if g.type == "Hovedgruppe"}
    after: dict[str, Group | None] = {
        group.group_id: classes.get((str(int(level or "0") + 1), line)) for (level, line), group in classes.items()
    }
    return replace(
        institution,
        school_year=f"{year}-{year + 1}",
        groups=tuple(_next_year(group, ending) for group in institution.groups),
        records=tuple(filter(None, (_moved_up(record, after, ending) for record in institution.records))),
    )


def _next_year(group: Group, ending: str) -> Group:
    group_id = group.group_id + ending if group.type == "Hovedgruppe" else group.group_id
    return replace(group, group_id=group_id, from_date=group.from_date + _YEAR, to_date=group.to_date + _YEAR)


def _moved_up(record: Record, after: Mapping[str, Group | None], ending: str) -> Record | None:
    match record.role:
        case Student(main_group=main) as student:
            group = after.get(main)
            if group is None or group.level is None:
                return None
            return replace(record, role=replace(student, level=group.level, main_group=group.group_id + ending))
        case staff:
            groups = tuple(each + ending if each in after else each for each in staff.groups)
            return replace(record, role=replace(staff, groups=groups))


def _spoil_records(institution: Institution, knobs: Knobs) -> Institution:
    records = institution.records
    students = [record for record in records if record.kind == "student"]
    dropped = {record.key for record in students[: len(students) * knobs.drop_pupils_percent // 100]}
    records = tuple(record for record in records if record.key not in dropped)
    records = _first(records, knobs.without_local_ids, lambda record: replace(record, local_person_id=None))
    records = _first(records, knobs.dangling_main_group, _dangling)
    others = [record for record in records if record.kind != "external"][: knobs.two_roles]
    doubles = tuple(replace(r, local_person_id=None, role=External("Ekstern", ())) for r in others)
    return replace(institution, records=records + doubles)


def _dangling(record: Record) -> Record:
    role = record.role
    return replace(record, role=replace(role, main_group="NOWHERE")) if isinstance(role, Student) else record


def _spoil_groups(institution: Institution, knobs: Knobs) -> Institution:
    groups = institution.groups[knobs.implicit_groups :]
    groups = _first(groups, knobs.nameless_groups, lambda group: replace(group, name=""))
    if knobs.same_group_names:
        groups = _first(groups, len(groups), lambda group: replace(group, name="Klassen"))
    if knobs.repeated_group:
        groups += groups[:1]
    if knobs.early_grade_0:
        last = max(group.to_date for group in institution.groups)
        begins = last + timedelta(days=1)
        groups += (Group("0NEXT", "0. næste år", "Hovedgruppe", "0", "N", begins, last + _YEAR),)
    return replace(institution, groups=groups)


def _spoil_people(institution: Institution, knobs: Knobs) -> Institution:
    people = dict(institution.people)
    for user_id, cpr in knobs.cprs.items():
        if user_id in people:
            people[user_id] = replace(people[user_id], cpr=cpr)
    for record in institution.records[: knobs.protected_without_alias]:
        people[record.user_id] = replace(people[record.user_id], alias=Alias("", ""))
    renamed: dict[str, Person] = {
        user_id: replace(person, user_id=knobs.rename(user_id)) for user_id, person in people.items()
    }
    return replace(institution, people=renamed)


def _stretch(institution: Institution, knobs: Knobs) -> Institution:
    if not knobs.long_tokens:
        return institution
    records = (
        replace(r, local_person_id=_filled(str(position), "ø", 18) if r.local_person_id is not None else None)
        for position, r in enumerate(institution.records)
    )
    people = {u: replace(p, given_name=_filled(p.given_name, "Å", 100)) for u, p in institution.people.items()}
    groups = (replace(group, name=_filled(group.name, "æ", 100)) for group in institution.groups)
    return replace(institution, records=tuple(records), people=people, groups=tuple(groups))


def _make_strange(institution: Institution, knobs: Knobs) -> Institution:
    if not knobs.unknown_values:
        return institution
    groups = (replace(g, level="R7") if g.type == "Hovedgruppe" else g for g in institution.groups)
    records = (
        replace(record, role=replace(record.role, level="R7")) if isinstance(record.role, Student) else record
        for record in institution.records
    )
    people = {user_id: replace(person, gender="X") for user_id, person in institution.people.items()}
    return replace(institution, groups=tuple(groups), records=tuple(records), people=people, school_year="2026/27")


def _filled(text: str, letter: str, octets: int) -> str:
    """The text with so many letters of two octets after it that it has all the octets there may be."""
    room = octets - len(text.encode())
    return text + letter * (room // 2) + "x" * (room % 2)


def _first(those: tuple[T, ...], amount: int, change: Callable[[T], T]) -> tuple[T, ...]:
    return tuple(change(each) if index < amount else each for index, each in enumerate(those))

"""What a school may have told wrong of its groups: one pure function a rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from unicodedata import normalize

from bridge.domain.anomalies import Anomaly, AnomalyCode
from bridge.engine.anomalies.school import School

_CLASS = "main"


def classes_without_pupils(school: School) -> Iterator[Anomaly]:
    """Classes of today in which there is no pupil, whoever else is in them."""
    pupils = {pupil.user_id for pupil in school.pupils}
    for group in school.groups.values():
        is_class = group.type is not None and group.type.value == _CLASS
        if is_class and school.is_current(group) and pupils.isdisjoint(school.members.get(group.group_id, ())):
            yield Anomaly(AnomalyCode.CLASS_WITHOUT_PUPILS, (group.group_id,))


def main_groups_of_another_type(school: School) -> Iterator[Anomaly]:
    """Groups that are somebody's class though they are said to be of another kind."""
    for group_id, users in _by_main_group(school).items():
        group = school.groups.get(group_id)
        if group is not None and group.type is not None and group.type.value != _CLASS:
            yield Anomaly(AnomalyCode.MAIN_GROUP_OF_ANOTHER_TYPE, (group_id,), tuple(sorted(users)))


def repeated_names(school: School) -> Iterator[Anomaly]:
    """Groups of today that bear one name, however it is spaced and in whatever case."""
    named: dict[str, list[str]] = defaultdict(list)
    for group in school.groups.values():
        if school.is_current(group):
            named[_plain(group.name)].append(group.group_id)
    for groups in named.values():
        if len(groups) > 1:
            yield Anomaly(AnomalyCode.GROUP_NAME_REPEATED, tuple(sorted(groups)))


def undeclared_groups(school: School) -> Iterator[Anomaly]:
    """Groups that people are in and nobody describes: normalising made them, without a type."""
    for group in school.groups.values():
        if group.type is None:
            users = tuple(sorted(school.members.get(group.group_id, ())))
            yield Anomaly(AnomalyCode.GROUP_NOT_DECLARED, (group.group_id,), users)


def ended_groups_with_members(school: School) -> Iterator[Anomaly]:
    """Groups that are over, with who is still in them."""
    for group in school.groups.values():
        users = school.members.get(group.group_id)
        if users and school.is_over(group):
            yield Anomaly(AnomalyCode.ENDED_GROUP_WITH_MEMBERS, (group.group_id,), tuple(sorted(users)))


def reversed_dates(school: School) -> Iterator[Anomaly]:
    """Groups that end before they begin."""
    for group in school.groups.values():
        if group.from_date is not None and group.to_date is not None and group.to_date < group.from_date:
            yield Anomaly(AnomalyCode.GROUP_DATES_REVERSED, (group.group_id,))


def _by_main_group(school: School) -> dict[str, set[str]]:
    users: dict[str, set[str]] = defaultdict(set)
    for pupil in school.pupils:
        if pupil.main_group is not None:
            users[pupil.main_group].add(pupil.user_id)
    return users


def _plain(name: str) -> str:
    return normalize("NFC", " ".join(name.split())).casefold()

"""The closed list of what is looked for, each with its words for a school office and what finds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bridge.domain.anomalies import Anomaly, AnomalyCode, Severity
from bridge.engine.anomalies import groups, pupils
from bridge.engine.anomalies.school import School

Find = Callable[[School], Iterable[Anomaly]]


@dataclass(frozen=True, slots=True)
class Rule:
    """`what` is seen, and what the school can do about it. `find` is None where one school is not enough."""

    severity: Severity
    what: str
    remedy: str
    find: Find | None


_SOURCE = "in the school's administrative system"

RULES: dict[AnomalyCode, Rule] = {
    AnomalyCode.PUPIL_IN_NO_CLASS: Rule(
        Severity.WRONG,
        "a pupil is in no class",
        f"give the pupil a main group {_SOURCE}, or end the enrolment",
        pupils.pupils_in_no_class,
    ),
    AnomalyCode.PUPIL_MISSING_FROM_OWN_CLASS: Rule(
        Severity.WRONG,
        "a pupil is not a member of the class that is said to be the pupil's",
        f"see the pupil's class and groups {_SOURCE}; if both are right, ask us",
        pupils.pupils_missing_from_own_class,
    ),
    AnomalyCode.PUPIL_IN_SEVERAL_CLASSES: Rule(
        Severity.UNUSUAL,
        "a pupil is in more than one class",
        f"if the pupil has moved, take them out of the old class {_SOURCE}",
        pupils.pupils_in_several_classes,
    ),
    AnomalyCode.PUPIL_WITHOUT_LEVEL: Rule(
        Severity.WRONG,
        "a pupil has no level, so platforms cannot choose materials",
        f"give the pupil a level {_SOURCE}",
        pupils.pupils_without_level,
    ),
    AnomalyCode.TEACHER_IN_NO_GROUP: Rule(
        Severity.UNUSUAL,
        "a teacher is in no group, and sees no pupils on a platform",
        f"add the teacher to their classes or groups {_SOURCE}, or end the employment there",
        pupils.teachers_in_no_group,
    ),
    AnomalyCode.CPR_OF_SEVERAL_USERS: Rule(
        Severity.WRONG,
        "several user ids bear one CPR number: one human with two accounts, or a number that was mistyped",
        "find out who it is; correct the number, or close the account that is not used",
        None,
    ),
    AnomalyCode.CLASS_WITHOUT_PUPILS: Rule(
        Severity.WRONG,
        "a class has no pupils",
        f"add its pupils {_SOURCE}, or end or delete the class",
        groups.classes_without_pupils,
    ),
    AnomalyCode.MAIN_GROUP_OF_ANOTHER_TYPE: Rule(
        Severity.WRONG,
        "the class of a pupil is no class but another kind of group",
        f"correct the type of the group, or the pupil's main group, {_SOURCE}",
        groups.main_groups_of_another_type,
    ),
    AnomalyCode.GROUP_NAME_REPEATED: Rule(
        Severity.UNUSUAL,
        "several groups of the school bear one name, and nobody can tell them apart",
        f"rename all but one {_SOURCE}, or end the one that is not used",
        groups.repeated_names,
    ),
    AnomalyCode.GROUP_NOT_DECLARED: Rule(
        Severity.WRONG,
        "people are in a group that the school's export does not describe; it is shown by its id",
        f"see whether the group still exists {_SOURCE}; if it does, ask that system's vendor",
        groups.undeclared_groups,
    ),
    AnomalyCode.ENDED_GROUP_WITH_MEMBERS: Rule(
        Severity.UNUSUAL,
        "a group is over and still has members",
        f"take the members out, or correct the group's last day, {_SOURCE}",
        groups.ended_groups_with_members,
    ),
    AnomalyCode.GROUP_DATES_REVERSED: Rule(
        Severity.WRONG,
        "a group ends before it begins",
        f"correct the group's first or last day {_SOURCE}",
        groups.reversed_dates,
    ),
}


def local_anomalies(school: School) -> tuple[Anomaly, ...]:
    """Return what can be seen at one institution alone, by every rule."""
    return tuple(anomaly for rule in RULES.values() if rule.find is not None for anomaly in rule.find(school))

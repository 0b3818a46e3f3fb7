"""What a school may have told wrong of its people: one pure function a rule."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.domain.anomalies import Anomaly, AnomalyCode
from bridge.engine.anomalies.school import School

_CLASS = "main"
_NO_CLASS = "missing_main_group"


def pupils_in_no_class(school: School) -> Iterator[Anomaly]:
    """Pupils without a main group, those too whose new record is set aside for that."""
    found = {pupil.user_id for pupil in school.pupils if pupil.main_group is None}
    for user_id in sorted(found | set(school.unusable.get(_NO_CLASS, ()))):
        yield Anomaly(AnomalyCode.PUPIL_IN_NO_CLASS, users=(user_id,))


def pupils_missing_from_own_class(school: School) -> Iterator[Anomaly]:
    """Pupils who are not in the group that is said to be their class."""
    for pupil in school.pupils:
        if pupil.main_group is not None and pupil.main_group not in school.joined.get(pupil.user_id, ()):
            yield Anomaly(AnomalyCode.PUPIL_MISSING_FROM_OWN_CLASS, (pupil.main_group,), (pupil.user_id,))


def pupils_in_several_classes(school: School) -> Iterator[Anomaly]:
    """Pupils who are in more than one class today; next year's class, told early, is none of these."""
    classes = {
        group.group_id
        for group in school.groups.values()
        if group.type is not None and group.type.value == _CLASS and school.is_current(group)
    }
    for pupil in school.pupils:
        inside = classes.intersection(school.joined.get(pupil.user_id, ()))
        if len(inside) > 1:
            yield Anomaly(AnomalyCode.PUPIL_IN_SEVERAL_CLASSES, tuple(sorted(inside)), (pupil.user_id,))


def pupils_without_level(school: School) -> Iterator[Anomaly]:
    """Pupils ("Elev") of no level; children in day care and adult students need none."""
    for pupil in school.pupils:
        if pupil.level is None and any(role.source == "Elev" for role in pupil.roles):
            yield Anomaly(AnomalyCode.PUPIL_WITHOUT_LEVEL, users=(pupil.user_id,))


def teachers_in_no_group(school: School) -> Iterator[Anomaly]:
    """Teachers who are in no group at all; leaders and office staff seldom are in one."""
    for employee in school.employees:
        if not school.joined.get(employee.user_id) and any(role.value == "teacher" for role in employee.roles):
            yield Anomaly(AnomalyCode.TEACHER_IN_NO_GROUP, users=(employee.user_id,))

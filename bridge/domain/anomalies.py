"""What a school can mend at the source: findings by group id and user id, never by a name or a number."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AnomalyCode(StrEnum):
    """Every kind of finding; the order is the order in which a school reads them."""

    PUPIL_IN_NO_CLASS = "pupil_in_no_class"
    PUPIL_MISSING_FROM_OWN_CLASS = "pupil_missing_from_own_class"
    PUPIL_IN_SEVERAL_CLASSES = "pupil_in_several_classes"
    PUPIL_WITHOUT_LEVEL = "pupil_without_level"
    TEACHER_IN_NO_GROUP = "teacher_in_no_group"
    CPR_OF_SEVERAL_USERS = "cpr_of_several_users"
    CLASS_WITHOUT_PUPILS = "class_without_pupils"
    MAIN_GROUP_OF_ANOTHER_TYPE = "main_group_of_another_type"
    GROUP_NAME_REPEATED = "group_name_repeated"
    GROUP_NOT_DECLARED = "group_not_declared"
    ENDED_GROUP_WITH_MEMBERS = "ended_group_with_members"
    GROUP_DATES_REVERSED = "group_dates_reversed"


class Severity(StrEnum):
    """WRONG: a platform shows somebody something wrong. UNUSUAL: it may be meant so."""

    WRONG = "wrong"
    UNUSUAL = "unusual"


@dataclass(frozen=True, slots=True, order=True)
class Anomaly:
    """One thing to mend at one institution: the groups and the users it is about, each sorted.

    `also_at`: the other institutions of the municipality that have a part in it; empty where that would tell at
    which other school somebody is who is protected.
    """

    code: AnomalyCode
    groups: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    also_at: tuple[str, ...] = ()

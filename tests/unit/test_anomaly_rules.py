"""Each rule finds what it is for, and lets pass what only looks like it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from bridge.domain.anomalies import Anomaly, AnomalyCode
from bridge.domain.entities import Affiliation, Code, Group, Role
from bridge.engine.anomalies import RULES, School, local_anomalies
from tests.support.engine import LEADER, MAIN, PUPIL, SCHOOL, TEACHER

TODAY = "2026-10-01"
TEACHING = Code("teaching", "Hold")
CHILD = Code("child", "Barn")
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "anomalies.md"


def group(identity: str, name: str | None = None, kind: Code | None = MAIN, **dates: str) -> Group:
    return Group(SCHOOL, identity, name or f"Klasse {identity}", kind, **dates)


def pupil(
    user: str, main: str | None = "1A", level: str | None = "1", roles: Sequence[Code] = (PUPIL,)
) -> Affiliation:
    return Affiliation(SCHOOL, user, Role.STUDENT, tuple(roles), level, main)


def staff(user: str, *roles: Code) -> Affiliation:
    return Affiliation(SCHOOL, user, Role.EMPLOYEE, roles or (TEACHER,))


def seen(
    code: AnomalyCode,
    groups: Iterable[Group] = (),
    roles: Iterable[Affiliation] = (),
    members: Iterable[tuple[str, str]] = (),
    unusable: Mapping[str, Sequence[str]] | None = None,
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """What a rule finds: groups and users of each finding."""
    school = School.of(TODAY, groups, roles, members, unusable)
    return [(each.groups, each.users) for each in local_anomalies(school) if each.code is code]


ANE_IN_1A = {"groups": [group("1A")], "roles": [pupil("ane")], "members": [("1A", "ane")]}


def test_a_healthy_class_has_no_anomaly_of_any_kind() -> None:
    school = School.of(
        TODAY,
        [group("1A", from_date="2026-08-01", to_date="2027-07-31")],
        [pupil("ane"), staff("bo")],
        [("1A", "ane"), ("1A", "bo")],
    )
    assert local_anomalies(school) == ()


def test_an_institution_without_anything_has_none() -> None:
    assert local_anomalies(School.of(TODAY, [], [], [])) == ()


class TestAPupilInNoClass:
    CODE = AnomalyCode.PUPIL_IN_NO_CLASS

    def test_is_found_by_the_missing_main_group(self) -> None:
        assert seen(self.CODE, roles=[pupil("ane", None), pupil("bo")]) == [((), ("ane",))]

    def test_is_found_when_the_record_is_set_aside_for_it_and_once_only(self) -> None:
        found = seen(self.CODE, roles=[pupil("bo", None)], unusable={"missing_main_group": ["ane", "bo"]})
        assert found == [((), ("ane",)), ((), ("bo",))]

    def test_is_no_record_that_is_set_aside_for_something_else(self) -> None:
        assert seen(self.CODE, unusable={"missing_name": ["ane"]}) == []

    def test_is_no_teacher(self) -> None:
        assert seen(self.CODE, roles=[staff("bo")]) == []


class TestAPupilMissingFromTheirClass:
    CODE = AnomalyCode.PUPIL_MISSING_FROM_OWN_CLASS

    def test_is_found(self) -> None:
        assert seen(self.CODE, [group("1A")], [pupil("ane")], [("1B", "ane")]) == [(("1A",), ("ane",))]

    def test_is_nobody_who_is_a_member(self) -> None:
        assert seen(self.CODE, **ANE_IN_1A) == []

    def test_is_nobody_without_a_class(self) -> None:
        assert seen(self.CODE, roles=[pupil("ane", None)]) == []


class TestAPupilInSeveralClasses:
    CODE = AnomalyCode.PUPIL_IN_SEVERAL_CLASSES
    BOTH = (("1A", "ane"), ("1B", "ane"))

    def test_is_found(self) -> None:
        assert seen(self.CODE, [group("1B"), group("1A")], [pupil("ane")], self.BOTH) == [(("1A", "1B"), ("ane",))]

    @pytest.mark.parametrize(
        "other",
        [
            group("1B", kind=TEACHING),
            group("1B", kind=None),
            group("1B", from_date="2026-10-02"),
            group("1B", to_date="2026-09-30"),
        ],
    )
    def test_is_nobody_whose_other_group_is_no_class_of_today(self, other: Group) -> None:
        assert seen(self.CODE, [group("1A"), other], [pupil("ane")], self.BOTH) == []

    def test_is_no_teacher_of_two(self) -> None:
        assert seen(self.CODE, [group("1A"), group("1B")], [staff("ane")], self.BOTH) == []


class TestAPupilWithoutLevel:
    CODE = AnomalyCode.PUPIL_WITHOUT_LEVEL

    def test_is_found(self) -> None:
        assert seen(self.CODE, roles=[pupil("ane", level=None), pupil("bo")]) == [((), ("ane",))]

    def test_is_no_child_in_day_care(self) -> None:
        assert seen(self.CODE, roles=[pupil("ane", level=None, roles=[CHILD])]) == []


class TestATeacherInNoGroup:
    CODE = AnomalyCode.TEACHER_IN_NO_GROUP

    def test_is_found(self) -> None:
        assert seen(self.CODE, roles=[staff("bo", LEADER, TEACHER)]) == [((), ("bo",))]

    def test_is_nobody_who_is_in_any_group(self) -> None:
        assert seen(self.CODE, [group("A", kind=TEACHING)], [staff("bo")], [("A", "bo")]) == []

    def test_is_no_leader(self) -> None:
        assert seen(self.CODE, roles=[staff("bo", LEADER)]) == []


class TestAClassWithoutPupils:
    CODE = AnomalyCode.CLASS_WITHOUT_PUPILS

    def test_is_found_with_or_without_a_teacher(self) -> None:
        found = seen(self.CODE, [group("1A"), group("1B")], [staff("bo")], [("1A", "bo")])
        assert found == [(("1A",), ()), (("1B",), ())]

    def test_is_no_class_with_a_pupil(self) -> None:
        assert seen(self.CODE, **ANE_IN_1A) == []

    @pytest.mark.parametrize(
        "other",
        [
            group("1A", kind=TEACHING),
            group("1A", kind=None),
            group("1A", from_date="2026-10-02"),
            group("1A", to_date="2026-09-30"),
        ],
    )
    def test_is_no_other_kind_of_group_and_none_that_has_not_begun_or_is_over(self, other: Group) -> None:
        assert seen(self.CODE, [other]) == []

    def test_may_begin_or_end_today(self) -> None:
        assert seen(self.CODE, [group("1A", from_date=TODAY, to_date=TODAY)]) == [(("1A",), ())]


class TestAMainGroupOfAnotherType:
    CODE = AnomalyCode.MAIN_GROUP_OF_ANOTHER_TYPE

    def test_is_found_once_with_all_whose_class_it_is(self) -> None:
        found = seen(self.CODE, [group("1A", kind=TEACHING)], [pupil("bo"), pupil("ane"), pupil("carl", "1B")])
        assert found == [(("1A",), ("ane", "bo"))]

    def test_is_no_class_and_no_group_that_nobody_declares(self) -> None:
        assert seen(self.CODE, [group("1A"), group("1B", kind=None)], [pupil("ane"), pupil("bo", "1B")]) == []

    def test_is_no_teaching_group_that_is_nobodys_class(self) -> None:
        assert seen(self.CODE, [group("A", kind=TEACHING)], [pupil("ane")], [("A", "ane")]) == []


class TestARepeatedName:
    CODE = AnomalyCode.GROUP_NAME_REPEATED

    @pytest.mark.parametrize("other", ["Dansk", "dansk", " DANSK "])
    def test_is_found_however_it_is_written(self, other: str) -> None:
        assert seen(self.CODE, [group("b", "Dansk"), group("a", other, TEACHING)]) == [(("a", "b"), ())]

    def test_is_found_however_its_letters_are_composed(self) -> None:
        assert seen(self.CODE, [group("a", "Caf\u00e9"), group("b", "Cafe\u0301")]) == [(("a", "b"), ())]

    def test_is_none_of_names_that_differ(self) -> None:
        assert seen(self.CODE, [group("a", "Dansk 1"), group("b", "Dansk 2")]) == []

    @pytest.mark.parametrize("dates", [{"to_date": "2026-07-31"}, {"from_date": "2027-08-01"}])
    def test_is_none_of_groups_of_different_times(self, dates: dict[str, str]) -> None:
        assert seen(self.CODE, [group("a", "1A"), group("b", "1A", **dates)]) == []


class TestAGroupThatNobodyDeclares:
    CODE = AnomalyCode.GROUP_NOT_DECLARED

    def test_is_found_with_who_is_in_it(self) -> None:
        assert seen(self.CODE, [group("X", kind=None)], [], [("X", "bo"), ("X", "ane")]) == [
            (("X",), ("ane", "bo"))
        ]

    def test_is_none_with_a_type(self) -> None:
        assert seen(self.CODE, [group("X", kind=Code("other", "Andet"))]) == []


class TestAGroupThatIsOver:
    CODE = AnomalyCode.ENDED_GROUP_WITH_MEMBERS

    def test_is_found_with_who_is_still_in_it(self) -> None:
        found = seen(self.CODE, [group("A", to_date="2026-09-30")], [], [("A", "bo"), ("A", "ane")])
        assert found == [(("A",), ("ane", "bo"))]

    def test_is_not_found_empty_nor_on_its_last_day(self) -> None:
        over, last = group("A", to_date="2026-09-30"), group("B", to_date=TODAY)
        assert seen(self.CODE, [over, last], [], [("B", "ane")]) == []


class TestReversedDates:
    CODE = AnomalyCode.GROUP_DATES_REVERSED

    def test_are_found(self) -> None:
        assert seen(self.CODE, [group("A", from_date="2027-08-01", to_date="2027-07-31")]) == [(("A",), ())]

    @pytest.mark.parametrize("dates", [{"from_date": TODAY, "to_date": TODAY}, {"from_date": TODAY}, {}])
    def test_are_none_where_the_end_is_not_before_the_beginning(self, dates: dict[str, str]) -> None:
        assert seen(self.CODE, [group("A", **dates)]) == []


# ---------------------------------------------------------------- the list


def test_every_code_has_a_rule_with_words_for_what_is_seen_and_what_to_do() -> None:
    assert list(RULES) == list(AnomalyCode)
    for rule in RULES.values():
        assert rule.what and rule.remedy
        assert not rule.what.endswith(".") and not rule.remedy.endswith(".")
    assert [code for code, rule in RULES.items() if rule.find is None] == [AnomalyCode.CPR_OF_SEVERAL_USERS]


def test_a_rule_finds_its_own_code_only() -> None:
    school = School.of(
        TODAY,
        [group("1A", "x"), group("1B", "x", from_date=TODAY, to_date="2026-01-01"), group("X", kind=None)],
        [pupil("ane", None, None), pupil("bo", "1B"), staff("carl")],
        [("1B", "ane")],
    )
    for code, rule in RULES.items():
        found: list[Anomaly] = list(rule.find(school)) if rule.find else []
        assert {each.code for each in found} <= {code}


def test_the_guide_explains_every_rule_and_no_other() -> None:
    codes = re.findall(r"^\| `(\w+)` \|", GUIDE.read_text("utf-8"), re.MULTILINE)
    assert codes == [code.value for code in AnomalyCode]

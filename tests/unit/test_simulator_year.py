"""A made-up municipality over a year: school years roll, pupils move and come back, holidays are quiet."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from hashlib import sha256

import pytest

from bridge.testing.stil_export import write_export
from bridge.testing.stil_municipality import Calendar, Churn, Makeup, Municipality
from bridge.testing.stil_records import Institution, Student
from tests.support.simulators import E7C, parse, truth_in

STILL = Churn(0, 0, 0, 0, 0, 0)
SUMMER = datetime(2026, 6, 20, 3, tzinfo=UTC)
ROLLING = Calendar(first_roll=(6, 22), last_roll=(6, 30), new_ids_percent=0, two_sources_percent=0, early_days=0)
SCHOOL = "101001"


def rolling_town(calendar: Calendar = ROLLING, churn: Churn = STILL, schools: int = 4) -> Municipality:
    return Municipality(
        7, schools, 40 * schools, makeup=Makeup(tracks="AB"), churn=churn, calendar=calendar, start=SUMMER
    )


def years(town: Municipality) -> list[str]:
    return [town.institution(number).school_year for number in town.institutions()]


def pupils(institution: Institution) -> dict[str, Student]:
    return {r.user_id: r.role for r in institution.records if isinstance(r.role, Student)}


def pupils_of(town: Municipality) -> set[str]:
    return {user_id for number in town.institutions() for user_id in pupils(town.institution(number))}


def until_rolled(town: Municipality, number: str = SCHOOL) -> tuple[Institution, Institution]:
    """A school on the last day of one year and on the first of the next."""
    while True:
        before = town.institution(number)
        town.advance()
        after = town.institution(number)
        if before.school_year != after.school_year:
            return before, after


def fingerprint(town: Municipality, days: int) -> str:
    digest = sha256()
    for _ in range(days):
        for number in town.institutions():
            digest.update(write_export(town.institution(number)))
        town.advance()
    return digest.hexdigest()


class TestSchoolYears:
    def test_without_a_calendar_no_year_rolls(self) -> None:
        town = Municipality(7, 2, 20, churn=STILL, start=SUMMER)
        before = [town.institution(number).groups for number in town.institutions()]
        for _ in range(90):
            town.advance()
        assert years(town) == ["2025-2026", "2025-2026"]
        assert [town.institution(number).groups for number in town.institutions()] == before

    def test_each_school_rolls_on_a_day_of_its_own_within_the_window(self) -> None:
        town = rolling_town(schools=8)
        rolled: dict[str, date] = {}
        for _ in range(20):
            town.advance()
            for number in town.institutions():
                if town.institution(number).school_year == "2026-2027":
                    rolled.setdefault(number, town.export_time.date())
        assert len(rolled) == 8
        assert len(set(rolled.values())) > 2
        assert date(2026, 6, 22) <= min(rolled.values()) <= max(rolled.values()) <= date(2026, 6, 30)

    def test_a_year_later_it_rolls_again(self) -> None:
        town = rolling_town(schools=1)
        for _ in range(380):
            town.advance()
        assert years(town) == ["2027-2028"]

    def test_everybody_moves_up_one_level_and_who_was_in_the_last_one_leaves(self) -> None:
        before, after = map(pupils, until_rolled(rolling_town()))
        assert {user_id for user_id, pupil in before.items() if pupil.level == "9"} == before.keys() - after.keys()
        for user_id in before.keys() & after.keys():
            assert int(after[user_id].level) == int(before[user_id].level) + 1
            assert after[user_id].main_group[0] == after[user_id].level
            assert after[user_id].main_group[1:] == before[user_id].main_group[1:]
            assert f"AARG{after[user_id].level}" in after[user_id].groups

    def test_as_many_begin_as_leave(self) -> None:
        before, after = map(pupils, until_rolled(rolling_town()))
        beginners = after.keys() - before.keys()
        assert {after[user_id].level for user_id in beginners} == {"0"}
        assert len(after) == len(before)

    def test_a_class_id_that_is_used_again_has_next_years_dates(self) -> None:
        before, after = until_rolled(rolling_town())
        assert {g.group_id for g in before.groups} == {g.group_id for g in after.groups}
        assert {g.from_date for g in before.groups} == {date(2025, 8, 1)}
        assert {g.from_date for g in after.groups} == {date(2026, 8, 1)}

    def test_new_class_ids_replace_the_old_ones_for_pupils_and_staff(self) -> None:
        calendar = Calendar((6, 22), (6, 30), new_ids_percent=100, two_sources_percent=0, early_days=0)
        _, after = until_rolled(rolling_town(calendar))
        classes = {g.group_id for g in after.groups if g.type == "Hovedgruppe"}
        assert all(group_id.endswith("-2026") for group_id in classes)
        told = {group_id for r in after.records for group_id in r.group_ids}
        assert told <= {g.group_id for g in after.groups} | {"LEKTIECAFE"}

    def test_a_source_of_the_staff_rolls_on_another_day(self) -> None:
        calendar = Calendar((6, 22), (6, 30), new_ids_percent=0, two_sources_percent=100, early_days=0)
        town = rolling_town(calendar)
        seen = set()
        for _ in range(20):
            school = town.institution(SCHOOL)
            seen.add((school.school_year, school.more_sources[0].school_year))
            town.advance()
        assert {("2025-2026", "2025-2026"), ("2026-2027", "2026-2027")} < seen
        root = parse(write_export(town.institution(SCHOOL)))
        assert [s.attrib["schoolYear"] for s in root.iter(f"{E7C}ImportSource")] == ["2026-2027", "2026-2027"]

    def test_beginners_and_their_classes_are_told_of_before_the_year_begins(self) -> None:
        calendar = Calendar((7, 20), (7, 20), new_ids_percent=0, two_sources_percent=0, early_days=30)
        town = rolling_town(calendar)
        town.advance()
        school = town.institution(SCHOOL)
        early = {g.group_id for g in school.groups if g.from_date == date(2026, 8, 1)}
        beginners = {user_id for user_id, pupil in pupils(school).items() if pupil.main_group in early}
        assert len(early) == 2
        assert beginners
        _, after = until_rolled(town)
        assert {pupils(after)[user_id].main_group for user_id in beginners} <= {"0A", "0B"}
        assert early.isdisjoint(group.group_id for group in after.groups)

    @pytest.mark.parametrize("share", [0, 100])
    def test_the_documents_hold_the_truth_on_every_day_of_a_roll(self, share: int) -> None:
        calendar = Calendar((6, 22), (6, 30), new_ids_percent=share, two_sources_percent=share)
        town = rolling_town(calendar, Churn(moves=2, returners=50, away=(1, 3)), schools=2)
        for _ in range(14):
            documents = [write_export(town.institution(number)) for number in town.institutions()]
            assert truth_in([parse(document) for document in documents]) == town.truth()
            town.advance()


class TestMoves:
    def test_a_pupil_who_moves_is_at_none_at_one_or_at_both_for_a_day(self) -> None:
        town = Municipality(7, 3, 90, churn=Churn(0, 0, 0, 0, 0, 0, moves=3))
        everybody = {key[1] for key in town.truth()["affiliation"] if key[2] == "student"}
        numbers: Counter[int] = Counter()
        for _ in range(20):
            town.advance()
            at = Counter(key[1] for key in town.truth()["affiliation"] if key[2] == "student")
            assert at.keys() <= everybody
            numbers.update(at[user_id] for user_id in everybody)
        assert numbers[0] > 3
        assert numbers[2] > 3
        assert set(numbers) == {0, 1, 2}

    def test_nobody_is_lost_by_a_move(self) -> None:
        town = Municipality(7, 3, 90, churn=Churn(0, 0, 0, 0, 0, 0, moves=3))
        everybody = town.truth()["person"]
        away = dict.fromkeys(everybody, 0)
        for _ in range(20):
            town.advance()
            here = town.truth()["person"]
            away = {person: 0 if person in here else days + 1 for person, days in away.items()}
            assert max(away.values()) <= 1

    def test_who_returns_has_the_same_user_id_after_some_days(self) -> None:
        town = Municipality(7, 2, 60, churn=Churn(0, 2, 0, 0, 0, 0, returners=100, away=(5, 9)))
        last, absences = dict.fromkeys(pupils_of(town), 0), set()
        for day in range(1, 40):
            town.advance()
            for pupil in pupils_of(town):
                absences.add(day - last[pupil] - 1)
                last[pupil] = day
        assert absences.isdisjoint(range(1, 5))
        assert absences.intersection(range(5, 10))

    def test_the_same_seed_gives_the_same_year(self) -> None:
        churn = Churn(moves=1, returners=50, away=(3, 9))
        one, other = (fingerprint(rolling_town(churn=churn), 30) for _ in range(2))
        assert one == other

    def test_who_is_protected_is_told_person_by_person(self) -> None:
        town = Municipality(7, 2, 60)
        for _ in range(10):
            people = {u: p for n in town.institutions() for u, p in town.institution(n).people.items()}
            assert town.protected() == {user_id for user_id, person in people.items() if person.alias}
            town.advance()


class TestQuietDays:
    def test_nobody_comes_goes_or_changes_in_a_holiday(self) -> None:
        town = Municipality(7, 2, 60, calendar=Calendar(holidays=((date(2026, 11, 22), date(2026, 11, 23)),)))
        told = []
        for _ in range(5):
            told.append(town.institution(SCHOOL).content)
            town.advance()
        assert told[1] == told[2] == told[3]
        assert told[0] != told[1]
        assert told[3] != told[4]

    def test_weekends_can_be_quiet_too(self) -> None:
        town = Municipality(7, 2, 60, calendar=Calendar(weekends_are_quiet=True))
        quiet = set()
        for _ in range(7):
            before = [town.institution(number).content for number in town.institutions()]
            town.advance()
            if [town.institution(number).content for number in town.institutions()] == before:
                quiet.add(town.export_time.weekday())
        assert quiet == {5, 6}

    def test_where_nothing_changes_nothing_need_be_delivered(self) -> None:
        calendar = Calendar(weekends_are_quiet=True, delivers_news_only=True)
        town = Municipality(7, 3, 60, calendar=calendar)
        for _ in range(10):
            before = {number: town.institution(number) for number in town.institutions()}
            town.advance()
            for number, last in before.items():
                today = town.institution(number)
                assert (today.source_time == last.source_time) == (today.content == last.content)
                assert today.source_time in (last.source_time, town.source_time)


class TestMarks:
    def test_no_two_marked_people_share_a_name_a_street_or_a_phone(self) -> None:
        town = Municipality(7, 2, 60, makeup=Makeup(is_marked=True), churn=Churn(contact_details=30))
        for _ in range(3):
            people = {u: p for n in town.institutions() for u, p in town.institution(n).people.items()}.values()
            for told in (
                [person.family_name for person in people],
                [person.address.street for person in people],
                [person.mobile_phone.number for person in people if person.mobile_phone],
            ):
                assert len(set(told)) == len(told)
            town.advance()

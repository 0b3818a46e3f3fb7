"""Rows 51 and 52 of the fault matrix: nobody is deleted by the dozen unless people have said so."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from bridge.domain.entities import Kind
from bridge.engine.decide import NotAllowed, Rule
from bridge.engine.expect import expect_roll
from bridge.engine.guard import GuardPolicy
from bridge.ports import ExpectedRoll, Hold
from tests.matrix.desk import NUMBER, OTHER, Calm, Desk, school, settled
from tests.support.engine import TOWN
from tests.support.exports import COMMON, Export

PUPILS = 20
TWO_PEOPLE = Rule(people_needed=2)


@pytest.fixture
def desk() -> Desk:
    """A school that is large enough for shares to count."""
    return settled(school(PUPILS))


def whole(hours: int) -> Export:
    return school(PUPILS).later(hours=hours)


def deleted(desk: Desk) -> list[str]:
    """Who and what targets were told to delete since."""
    return [command.id for command in desk.drain() if command.document is None]


# ---------------------------------------------------------------- 51


def test_row_51_an_empty_snapshot_deletes_nobody_and_waits_for_two_people(desk: Desk, calm: Calm) -> None:
    assert desk.bring(whole(1).emptied()) == ("held", "empty")
    (hold,) = desk.holds("open")
    assert len(hold.people) >= PUPILS
    assert calm.holds()
    desk.decide(hold.id, approve=True, by="anna", rule=TWO_PEOPLE)
    assert [one.state for one in desk.holds()] == ["open"]
    with pytest.raises(NotAllowed, match="2 different people"):
        desk.decide(hold.id, approve=True, by="anna", rule=TWO_PEOPLE)
    assert desk.apply_approved() == 0
    assert calm.holds()
    desk.decide(hold.id, approve=True, by="bo", rule=TWO_PEOPLE)
    assert desk.apply_approved() == 1
    assert desk.entities(Kind.PERSON) == {}


def test_row_51_the_next_good_snapshot_ends_the_wait_without_anybody(desk: Desk, calm: Calm) -> None:
    desk.bring(whole(1).emptied())
    assert desk.bring(whole(2)) == ("recorded", None)
    assert [hold.state for hold in desk.holds()] == ["superseded"]
    assert calm.holds()


def test_row_51_an_export_without_pupils_but_with_staff_keeps_the_pupils(desk: Desk, calm: Calm) -> None:
    export = whole(1)
    assert desk.bring(export.keep(lambda record: record not in export.pupils)) == ("held", "shrunken")
    assert deleted(desk) == []
    assert calm.holds()


# ---------------------------------------------------------------- 52


def leavers() -> set[str]:
    """The pupils who are not in an export without thirty per cent of them."""
    export = school(PUPILS)
    return {export.user_id(record) for record in export.pupils[: PUPILS * 30 // 100]}


def pupils_of(hold: Hold) -> set[str]:
    """The pupils whom a hold names; with them go contacts."""
    export = school(PUPILS)
    return set(hold.people) & {export.user_id(record) for record in export.pupils}


def test_row_52_when_thirty_percent_are_gone_they_stay_and_a_person_is_asked(desk: Desk) -> None:
    before = desk.entities(Kind.PERSON).keys()
    export = whole(1).without_pupils(30)
    export.set(export.person(export.pupils[0]), "FamilyName", "Nygift")
    assert desk.bring(export) == ("held", "shrunken")
    assert desk.entities(Kind.PERSON).keys() == before
    (hold,) = desk.holds("open")
    assert (hold.subject, pupils_of(hold)) == ("deletions", leavers())
    commands = desk.drain()
    assert [command for command in commands if command.document is None] == []
    assert "Nygift" in desk.sent(commands)  # the rest of the snapshot is not held up


def test_row_52_a_yes_to_them_deletes_them_and_nobody_else(desk: Desk) -> None:
    gone = leavers()
    desk.bring(whole(1).without_pupils(30))
    (hold,) = desk.holds("open")
    before = {key[0] for key in desk.entities(Kind.PERSON)}
    desk.decide(hold.id, approve=True)
    assert desk.apply_approved() == 1
    left = {key[0] for key in desk.entities(Kind.PERSON)}
    assert gone <= before - left
    pupils = {key[1] for key in desk.entities(Kind.AFFILIATION) if key[2] == "student"}
    assert len(pupils) == PUPILS - len(gone)


def test_row_52_small_steps_are_seen_as_the_large_one_that_they_make(desk: Desk) -> None:
    """Ten per cent an hour: each is small, together they are not."""
    ends = []
    for step in (1, 2, 3, 4):
        ends.append(desk.bring(whole(step).without_pupils(10 * step))[0])
        desk.clock.forward(hours=1)
    assert ends[0] == "recorded" and ends[-1] == "held"
    pupils = [key for key in desk.entities(Kind.AFFILIATION) if key[2] == "student"]
    assert len(pupils) >= PUPILS * 3 // 4 - 1


def rolled(hours: int) -> bytes:
    """The school after the summer: a new school year, and every class under a new id and name."""
    document = whole(hours).bytes().replace(b'schoolYear="2026-2027"', b'schoolYear="2027-2028"')
    return re.sub(rb"(<[^>]*(?:GroupId|GroupName)>)([^<]+)<", rb"\1N\2<", document)


def moved_up(hours: int) -> bytes:
    """The same, told by every pupil's main group as well."""
    return re.sub(rb"(<[^>]*MainGroupId>)(?!N)([^<]+)<", rb"\1N\2<", rolled(hours))


def test_row_52_a_school_year_roll_that_nobody_expects_waits(desk: Desk, calm: Calm) -> None:
    result, reason = desk.bring(moved_up(1))
    assert (result, reason) == ("held", "school_year")
    (hold,) = desk.holds("open")
    assert "school_year" in hold.reasons
    assert hold.summary["new_groups"] and hold.summary["closed_groups"]
    assert calm.holds()


def expect(desk: Desk, *, opens: int, closes: int) -> None:
    """An operator opens a window, in hours from now."""
    at = desk.clock.at
    window = (at + timedelta(hours=opens), at + timedelta(hours=closes))
    expect_roll(desk.store, desk.book, ExpectedRoll(TOWN, NUMBER, *window, "anna", at))


def test_row_52_a_roll_within_the_window_that_an_operator_opened_passes(desk: Desk) -> None:
    people = desk.entities(Kind.PERSON).keys()
    expect(desk, opens=-1, closes=24)
    assert desk.bring(moved_up(1)) == ("recorded", None)
    assert desk.holds("open") == []
    assert desk.entities(Kind.PERSON).keys() == people
    assert all(key[1].startswith("N") for key in desk.entities(Kind.GROUP))


@pytest.mark.parametrize(("opens", "closes"), [(-48, -24), (24, 48)], ids=["over", "to come"])
def test_row_52_a_roll_outside_of_it_waits(desk: Desk, calm: Calm, opens: int, closes: int) -> None:
    expect(desk, opens=opens, closes=closes)
    assert desk.bring(moved_up(1))[0] == "held"
    assert calm.holds()


def test_row_52_an_expected_roll_in_which_half_of_the_pupils_leave_waits_all_the_same(
    desk: Desk, calm: Calm
) -> None:
    expect(desk, opens=-1, closes=24)
    export = Export(moved_up(1)).without_pupils(50)
    assert desk.bring(export)[0] == "held"
    assert deleted(desk) == []
    assert calm.holds()


def merged(hours: int) -> tuple[Export, Export]:
    """Two schools become one: the first has nobody any more, the second has them all."""
    one, other = whole(hours), school(PUPILS, number=OTHER).later(hours=hours)
    for record in one.records:
        for group in record.iter(f"{{{COMMON}}}MainGroupId"):
            group.text = f"fra {group.text}"
        other.institution.append(record)
    one.keep(lambda _: False)
    return one, other


def test_row_52_two_institutions_that_merge_delete_nobody_before_a_person_says_so() -> None:
    desk = settled(school(PUPILS), policy=GuardPolicy(min_created=5))
    assert desk.bring(school(PUPILS, number=OTHER), OTHER) == ("recorded", None)
    desk.drain()
    people = desk.entities(Kind.PERSON).keys()
    one, other = merged(1)
    assert desk.bring(one) == ("held", "empty")
    assert desk.bring(other, OTHER) == ("held", "many_created")
    assert deleted(desk) == []
    assert desk.entities(Kind.PERSON).keys() == people


@pytest.mark.parametrize("first", [0, 1], ids=["the one that grows first", "the one that shrinks first"])
def test_row_52_after_the_yes_everybody_has_moved_and_nobody_is_lost(first: int) -> None:
    desk = settled(school(PUPILS), policy=GuardPolicy(min_created=5))
    desk.bring(school(PUPILS, number=OTHER), OTHER)
    desk.drain()
    people = desk.entities(Kind.PERSON).keys()
    one, other = merged(1)
    desk.bring(one)
    desk.bring(other, OTHER)
    order: Callable[[str], bool] = lambda number: (number == OTHER) is bool(first)  # noqa: E731 - said once
    for hold in sorted(desk.holds("open"), key=lambda hold: order(hold.institution)):
        desk.decide(hold.id, approve=True)
        desk.apply_approved()
    desk.drain()
    assert desk.entities(Kind.PERSON).keys() == people
    assert {key[0] for key in desk.entities(Kind.AFFILIATION)} == {OTHER}

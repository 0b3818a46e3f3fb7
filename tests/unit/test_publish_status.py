"""The status says what of the log did not reach the broker, and asks for a person only where one is needed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.domain.ids import TargetId
from bridge.engine.publish import cursor_name
from bridge.engine.publish_standing import Standing, note_trouble, write_standing
from bridge.engine.status import read_status
from bridge.observe import Metrics, PublishStatus, Status
from bridge.ports import Store
from tests.support.events import NOW, TOWN, logged

SOON, LATER = timedelta(minutes=5), timedelta(hours=2)


def told(store: Store, after: timedelta = LATER) -> Status:
    return read_status(store, [TargetId(f"{TOWN}/aula")], NOW + after, publishes=True)


def published(store: Store, to: int) -> None:
    with store.write() as uow:
        uow.set_cursor(cursor_name(TOWN), to)


def test_nothing_is_told_where_there_is_no_broker() -> None:
    status = read_status(logged(3), [TargetId(f"{TOWN}/aula")], NOW)
    assert status.municipalities[0].publish is None and status.attention == ()


def test_what_waits_is_counted_and_told_as_a_number_too() -> None:
    store, metrics = logged(5), Metrics("0")
    published(store, 2)
    status = told(store)
    assert status.municipalities[0].publish == PublishStatus(waiting=3, since=NOW, has_begun=True)
    metrics.refresh(status)
    assert f'bridge_events_unpublished{{municipality="{TOWN}"}} 3.0' in metrics.exposition().decode()


@pytest.mark.parametrize("code", ["closed", "nack", "timeout", "unreachable"])
def test_a_broker_that_is_away_needs_a_person_only_after_an_hour(code: str) -> None:
    store = logged(3)
    note_trouble(store, TOWN, code)
    assert told(store, SOON).attention == ()
    (sentence,) = told(store).attention
    assert sentence.startswith(
        f"3 events of municipality {TOWN} were not published yet, since 2026-03-02 12:00 UTC"
    )


def test_where_nobody_ever_listened_somebody_is_asked_for_a_queue() -> None:
    store = logged(1)
    note_trouble(store, TOWN, "unroutable: 101.person.created")
    (sentence,) = told(store).attention
    assert "no queue is bound for 101.person.created. Name one under broker.queues" in sentence
    published(store, 1)
    assert told(store).attention == ()


def test_where_somebody_listens_to_something_else_nobody_is_needed() -> None:
    store = logged(3)
    published(store, 2)
    note_trouble(store, TOWN, "unroutable: 101.group.created")
    assert told(store).attention == told(store).notes == ()


def test_a_queue_that_is_otherwise_needs_a_person_at_once() -> None:
    store = logged(3)
    note_trouble(store, TOWN, "otherwise: the queue x exists already")
    (sentence,) = told(store, SOON).attention
    assert sentence.endswith("the queue x exists already.")


def test_what_went_to_nobody_is_told_with_the_verb_that_sends_it_again() -> None:
    store = logged(9)
    with store.write() as uow:
        write_standing(uow, TOWN, Standing().with_passed([(4, "101.group.created"), (6, "101.group.deleted")]))
    status = told(store)
    assert status.attention == ()
    (note,) = status.notes
    assert note.startswith(
        f"2 events of municipality {TOWN} were taken by no queue (101.group.created, 101.group."
    )
    assert "numbers 4 to 6" in note and "`skolebro replay --from 4 --publish`" in note

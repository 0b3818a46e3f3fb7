"""Lets days of a made-up school pass in a whole bridge, until the receiver under test has had all of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from bridge.app.bridge import Bridge
from bridge.domain.errors import TargetUnauthorised
from bridge.engine.breaker import hurry
from bridge.engine.decide import decide_hold
from bridge.testing.certify import Day, Receiver, Verdict
from bridge.testing.certify.checks import verdict
from bridge.testing.certify.days import DAYS
from bridge.testing.certify.receiver import is_taken
from bridge.testing.stil_folder import write_exports
from bridge.testing.stil_municipality import Municipality

_TRIES, _MOMENT = 5, timedelta(seconds=1)
_FOR_A_PERSON = ("unauthorised", "contract_broken", "gone")


def run_days(
    bridge: Bridge, municipality: Municipality, incoming: Path, heard: list[str], receiver: Receiver
) -> Iterator[Verdict]:
    """Yield what comes of each day; `heard` gets what the receiver answers.

    Raises `FellSilent`, `HeldUnreadable`, `StoreError`, and `TargetUnauthorised` for one that believes nothing.
    """
    for day in DAYS:
        answers = _let_pass(bridge, day, municipality, incoming, heard, receiver)
        if day is DAYS[0] and not any(map(is_taken, answers)) and _is_refused(bridge):
            receiver.forget()  # it took nothing, so there is nothing to delete
            raise TargetUnauthorised("it refuses the signature of every event: see that it has the same secret")
        yield verdict(day.name, day.sent, answers, is_taken, receiver, {*receiver.last}, day.advice)


def _is_refused(bridge: Bridge) -> bool:
    (row,) = bridge.settings.targets
    with bridge.store.read() as reader:
        return reader.target_state(row.id).pause_reason == "unauthorised"


def _let_pass(
    bridge: Bridge, day: Day, municipality: Municipality, incoming: Path, heard: list[str], receiver: Receiver
) -> Sequence[str]:
    """Bring the receiver to the state of a day."""
    answers: list[str] = []
    for number in range(max(1, day.advance)):
        if number < day.advance:
            municipality.advance()
        write_exports(municipality, incoming)
        answers += _drain(bridge, heard, receiver)
    return answers


def _approve(bridge: Bridge) -> int:
    """Say yes to whatever waits for a person, as the new school year does; return how much that was."""
    with bridge.store.read() as reader:
        waiting = reader.holds(("open",))
    for hold in waiting:
        by, now = "certify", bridge.clock.now()
        decide_hold(bridge.store, bridge.book(), hold.id, approve=True, by=by, now=now)
    return len(waiting)


def _drain(bridge: Bridge, heard: list[str], receiver: Receiver) -> list[str]:
    """Send until nothing is due; who asks for patience is given it, within bounds."""
    answers: list[str] = []
    fruitless = 0
    (row,) = bridge.settings.targets
    while True:
        bridge.sync()
        receiver.require()
        told = heard.copy()
        heard.clear()
        answers += told
        fruitless = 0 if any(map(is_taken, told)) else fruitless + 1
        has_more = bool(_approve(bridge))
        with bridge.store.read() as reader:
            state, left = reader.target_state(row.id), reader.delivery_counts(row.id, bridge.clock.now()).due
        is_vain = fruitless > _TRIES or state.pause_reason in _FOR_A_PERSON
        if is_vain or not (has_more or left):
            return answers + [state.pause_reason or "put off"] * left
        if not has_more and not receiver.patience.give(max(receiver.line.wait, _MOMENT)):
            return answers + [state.pause_reason or "put off"] * left
        with bridge.store.write() as uow:  # each pass is a try: how long to wait is said here alone
            uow.wake(row.id, None, bridge.clock.now())
            hurry(uow, row.id)

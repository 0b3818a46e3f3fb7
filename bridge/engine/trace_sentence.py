"""Where an entity stands at a target, as a state and as one sentence."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from bridge.engine.trace_words import in_plain_words, moment
from bridge.ports import KEPT, Delivery

State = Literal["there", "changing", "waiting", "rejected", "parked", "leaving", "absent"]
"""`there`: as it should be. `changing`: there, and a change waits. `waiting`: not there yet. `parked`: there, left
as the target has it. `leaving`: there, and to be deleted. `absent`: not there, and not to be."""

PARKED = "drift_parked"


def state_of(row: Delivery | None) -> State:
    """Name where a delivery stands; None was never to be there."""
    if row is None:
        return "absent"
    if row.desired is None:
        return "leaving" if row.is_there or row.in_doubt else "absent"
    if row.reason is not None and row.reason.partition(":")[0] == PARKED:
        return "parked"
    if row.state == "rejected":
        return "rejected"
    if not row.is_there:
        return "waiting"
    return "changing" if row.is_due or row.confirmed != row.desired else "there"


def sentence(
    what: str,
    row: Delivery | None,
    target: str,
    confirmed_at: datetime | None,
    why: str | None,
    kept: str | None = None,
) -> str:
    """Say where an entity is and why.

    `why` is the rule that keeps it from there, None where none does; `kept` tells who decided that it stays.
    """
    name = what[0].upper() + what[1:]
    state = state_of(row)
    if row is None or state == "absent":
        return f"{name} is not at {target}: {why or _NOT_PLANNED}."
    if state == "leaving" and kept is not None:
        because = f", because {why}" if why else ""
        meanwhile = f"; {in_plain_words(row.reason)}" if row.reason != KEPT else ""
        return f"{name} stays at {target}: {kept}. Without that it would go{because}{meanwhile}."
    told = _placed(name, state, row, target, confirmed_at, why)
    return told if why is None or state == "leaving" else f"{told} By the rules of now it would not go: {why}."


_NOT_PLANNED = "by the rules of now it should go there, and it has not been planned yet: the next pass does that"


def _placed(
    name: str, state: State, row: Delivery, target: str, confirmed_at: datetime | None, why: str | None
) -> str:
    at = f", confirmed {moment(confirmed_at)}" if confirmed_at else ""
    told, until = in_plain_words(row.reason), f"next attempt {moment(row.next_attempt_at)}"
    match state:
        case "there":
            return f"{name} is at {target} as {row.resource}{at}."
        case "changing":
            return f"{name} is at {target} as {row.resource}{at}; a change waits: {told}; {until}."
        case "parked":
            return f"{name} is at {target} as {row.resource}{at}, and otherwise than it should be: {told}."
        case "waiting":
            return f"{name} is not at {target} yet and waits: {told}; {until}."
        case "leaving":
            return _leaving(name, row, target, told, until, why)
        case _:
            return _rejected(name, row, target, told, confirmed_at)


def _leaving(name: str, row: Delivery, target: str, told: str, until: str, why: str | None) -> str:
    because = f", because {why}" if why else ""
    if row.state == "rejected":
        return f"{name} is still at {target} and shall go{because}; the deletion was rejected: {told}."
    return f"{name} is still at {target} and shall go{because}: {told}; {until}."


def _rejected(name: str, row: Delivery, target: str, told: str, confirmed_at: datetime | None) -> str:
    at = f" ({moment(confirmed_at)})" if confirmed_at else ""
    stands = f" What it confirmed before{at} stands." if row.is_there else ""
    again = "It is tried again only after a retry or a change."
    return f"{name} was rejected by {target}: {told}. {again}{stands}"

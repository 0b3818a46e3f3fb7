"""What of the event log did not reach the broker, in numbers and in plain sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from bridge.engine.publish import cursor_name
from bridge.engine.publish_standing import MISMADE, UNROUTABLE, read_standing
from bridge.observe import BROKER_WORDS, MunicipalityStatus, PublishStatus
from bridge.ports import Reader

_PATIENCE = timedelta(hours=1)


def publish_status(reader: Reader, code: str) -> PublishStatus:
    place, standing = reader.cursor(cursor_name(code)), read_standing(reader, code)
    waiting = reader.last_sequence(code) - place
    oldest = next(iter(reader.events(code, place, 1)), None) if waiting else None
    return PublishStatus(
        waiting=waiting,
        since=oldest.time if oldest else None,
        trouble=standing.trouble or None,
        has_begun=place > 0,
        passed=standing.passed,
        first=standing.first,
        last=standing.last,
        keys=standing.keys,
    )


def unpublished(rows: Iterable[MunicipalityStatus], now: datetime) -> Iterator[str]:
    """Yield what keeps events from the broker and needs a person."""
    for row in rows:
        state = row.publish
        if state is None or state.trouble is None or state.since is None:
            continue
        code, _, rest = state.trouble.partition(": ")
        told = f"{_events(state.waiting, row.municipality)} not published yet"
        if code == MISMADE:
            yield f"{told}: {rest}."
        elif now - state.since > _PATIENCE and code == UNROUTABLE and not state.has_begun:
            yield (
                f"{told}: no queue is bound for {rest}. Name one under broker.queues, or have a consumer bind "
                "one; then they go out in order."
            )
        elif now - state.since > _PATIENCE and code != UNROUTABLE:
            since = f"{state.since:%Y-%m-%d %H:%M} UTC"
            yield f"{told}, since {since}: {BROKER_WORDS.get(code, code)}. They go out in order afterwards."


def taken_by_nobody(rows: Iterable[MunicipalityStatus]) -> Iterator[str]:
    """Yield what no queue asked for while others were taken: good to know, and nothing is lost."""
    for row in rows:
        if row.publish is not None and row.publish.passed:
            state = row.publish
            yield (
                f"{_events(state.passed, row.municipality)} taken by no queue "
                f"({', '.join(state.keys)}; numbers {state.first} to {state.last}): nobody asked for them. Who "
                "does gets them by a queue under broker.queues, or by "
                f"`skolebro replay --from {state.first} --publish`."
            )


def _events(number: int, code: str) -> str:
    return f"1 event of municipality {code} was" if number == 1 else f"{number} events of municipality {code} were"

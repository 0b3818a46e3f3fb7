"""Events, states and what was done with them, written while they are read: never the whole log in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from json import dumps

import msgspec

from bridge.cli.printing import add_row, console, line, new_table, print_json
from bridge.domain.events import Event, attributes
from bridge.engine.compact import Compaction
from bridge.engine.history import Told
from bridge.engine.publish import Republished

_TABLE = 1_000


def listed(found: Iterator[Event], data: bool) -> None:
    """One JSON document, written as it is read."""
    last: int | None = None

    def shown() -> Iterator[object]:
        nonlocal last
        for event in found:
            last = event.sequence
            yield _event(event, data)

    sys.stdout.write('{"events": [')
    _write_list(shown())
    sys.stdout.write(f'], "next": {dumps(last)}}}\n')


def state(code: str, sequence: int, entities: Iterable[Told]) -> None:
    head = dumps({"municipality": code, "sequence": sequence}, ensure_ascii=False)
    sys.stdout.write(head.removesuffix("}") + ', "entities": [')
    _write_list(map(_entity, entities))
    sys.stdout.write("]}\n")


def _write_list(values: Iterable[object]) -> None:
    for number, value in enumerate(values):
        sys.stdout.write((", " if number else "") + dumps(value, ensure_ascii=False))


def _event(event: Event, data: bool) -> dict[str, object]:
    content = msgspec.json.decode(event.data)
    shown = {**attributes(event), "key": list(event.key)}
    return shown | ({"data": content} if data else {"changed": content.get("changed", [])})


def _entity(one: Told) -> dict[str, object]:
    return {"subject": one.subject, "entityversion": one.version, "key": list(one.key), "object": one.object}


def cloud_event(event: Event) -> str:
    """The structured mode of CloudEvents, as the broker's messages have it."""
    return msgspec.json.encode({**attributes(event), "data": msgspec.Raw(event.data)}).decode()


def tabled(found: Iterator[Event], data: bool, floor: int) -> None:
    """A table for each thousand, so that a long log is shown while it is read."""
    first = next(found, None)
    if first is not None and first.sequence <= floor:
        line(f"The log up to {floor} is compacted: there, only the last event of what lived then is left.")
    rest = found if first is None else chain([first], found)
    page = list(islice(rest, _TABLE))
    while True:
        _show_table(page, data)
        if not (page := list(islice(rest, _TABLE))):
            return


def _show_table(page: Sequence[Event], data: bool) -> None:
    table = new_table("sequence", "time", "type", "key", "subject", "version", "changed")
    for event in page:
        changed = ", ".join(msgspec.json.decode(event.data).get("changed", ()))
        at = event.time.isoformat(timespec="seconds")
        add_row(table, event.sequence, at, event.type, "/".join(event.key), event.subject, event.version, changed)
    console.print(table)
    if data:
        for event in page:
            line(event.data.decode())


def republished(done: Republished, json: bool) -> None:
    if json:
        print_json({"published": done.count, "from": done.first, "to": done.last})
    elif done.last is None:
        line("There is no such event: nothing was published.")
    else:
        line(f"{done.count} events were published once more, from {done.first} to {done.last}.")


def compacted(found: Sequence[Compaction], dry_run: bool, json: bool) -> None:
    if json:
        print_json({"logs": found})
        return
    for one in found:
        line(_sentence(one, dry_run))
        if one.held_by is not None:
            line(f"  The reader {one.held_by} has not come further, so nothing after that is taken out.")
        for name in one.passed:
            line(f"  The reader {name} is not configured any more: should it come back, it begins anew, and its")
            line("  consumers take the snapshot.")


def _sentence(one: Compaction, dry_run: bool) -> str:
    place = f"The log of municipality {one.municipality}"
    if one.floor == one.before:
        return f"{place} has nothing older than its retention that could go; it is compacted up to {one.floor}."
    if dry_run:
        return f"{place} would be compacted up to {one.floor}; it is up to {one.before} now."
    return f"{place} is compacted up to {one.floor}: {one.removed} events are gone, what lives stays."

"""Folders of exports, each one later day, read into a state that is thrown away: what would change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bridge.domain.changes import diff
from bridge.domain.entities import PUBLISHED_KINDS, Entity, Kind
from bridge.domain.ids import Key
from bridge.engine.codec import decode_entity
from bridge.engine.fetch import fetch
from bridge.engine.intake import Intake, Listener
from bridge.engine.scan import living_rows
from bridge.ports import Reader, Store

State = dict[Kind, dict[Key, Entity]]


def preview(
    folders: Sequence[str], intake_of: Callable[[str], Intake], store: Store, municipality: str
) -> list[dict[str, Any]]:
    """Return one run a folder: counts, net changes, quarantined records and what would be held.

    `intake_of` makes the intake over a folder, all of them on the same throw-away `store`. A person who
    moves between two institutions of a folder is not reported as gone and come.
    """
    before: State = {kind: {} for kind in PUBLISHED_KINDS}
    runs = []
    for folder in folders:
        listener = Listener()
        fetch(intake_of(folder), listener)
        with store.read() as reader:
            after = _state(reader, municipality)
            runs.append(_run(folder, reader, municipality, before, after, listener))
        before = after
    return runs


def _state(reader: Reader, municipality: str) -> State:
    state: State = {}
    for kind in PUBLISHED_KINDS:
        rows = living_rows(reader, municipality, kind)
        state[kind] = {row.key: decode_entity(kind, row.body) for row in rows if row.body is not None}
    return state


def _run(
    folder: str, reader: Reader, municipality: str, before: State, after: State, listener: Listener
) -> dict[str, Any]:
    changes = [
        {"entity": c.kind.value, "operation": c.operation.value, "key": list(c.key), "fields": list(c.fields)}
        for kind in PUBLISHED_KINDS
        for c in diff(before[kind], after[kind])
    ]
    changes.sort(key=lambda c: (c["entity"], c["operation"], c["key"]))
    return {
        "folder": folder,
        "counts": {kind.value: len(after[kind]) for kind in PUBLISHED_KINDS},
        "changes": changes,
        "quarantined": _quarantined(reader, municipality),
        "held": _held(reader, municipality, listener),
        "refused": [
            {"origin": run.origin, "institution": run.institution, "reason": run.reason}
            for run in listener.runs
            if run.result in ("refused", "failed")
        ],
    }


def _quarantined(reader: Reader, municipality: str) -> list[dict[str, Any]]:
    return [
        {"institution": row.institution, "path": row.path, "reason": row.reason, "user_id": row.user_id}
        for row in reader.quarantine(100_000)
        if row.municipality == municipality and row.severity == "quarantined"
    ]


def _held(reader: Reader, municipality: str, listener: Listener) -> list[dict[str, Any]]:
    digests = {run.digest for run in listener.runs if run.result == "held"}
    return [
        {
            "institution": hold.institution,
            "origin": hold.origin,
            "reasons": list(hold.reasons),
            "counts": dict(hold.counts),
        }
        for hold in reader.holds()
        if hold.municipality == municipality and hold.digest in digests
    ]

"""The desk of the fault matrix: exports as bytes, the real parser, the real engine, and a target that listens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bridge.connector import Command
from bridge.domain.entities import Kind
from bridge.domain.ids import Key
from bridge.domain.records import Record, Snapshot
from bridge.ports import QuarantineRow, Run, Subscription
from connectors.stil.folder import FolderSource
from connectors.stil.strict import UnknownCodes
from tests.support.engine import TOWN, Bench, FakeSource, rows_of
from tests.support.exports import Export
from tests.support.world import DAYS

NUMBER, OTHER = "280555", "101001"
ZONE = ZoneInfo("Europe/Copenhagen")
MADE_AT = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
"""When the exports of tests/data say that they were made."""


class _Documents(FakeSource):
    """Has the documents that it was offered last, and reads them as `connectors.stil` does."""

    def __init__(self, unknown_codes: UnknownCodes) -> None:
        super().__init__()
        self._reader = FolderSource(Path(), timedelta(0), ZONE, lambda: MADE_AT, unknown_codes=unknown_codes)

    def offer_document(self, content: bytes, expected: str | None) -> None:
        snapshot = self._reader.document(content, "desk")
        self.offered.append(replace(snapshot, expected_institution=expected))

    def parse(self, snapshot: Snapshot) -> Iterator[Record]:
        return self._reader.parse(snapshot)


class Desk(Bench):
    """A bench that takes whole documents; `before` and `unharmed` compare everything that is known of anybody."""

    def __init__(self, *, unknown_codes: UnknownCodes = "note", **options: Any) -> None:
        super().__init__(**options)
        self.documents = _Documents(unknown_codes)
        self.source = self.documents
        self.clock.at = MADE_AT + timedelta(hours=1)

    def bring(self, document: Export | bytes, expected: str | None = NUMBER) -> tuple[str, str | None]:
        """Take one document in, and say how that ended: the result and its reason."""
        content = document if isinstance(document, bytes) else document.bytes()
        self.documents.offered.clear()
        self.documents.offer_document(content, expected)
        return self.fetch()[-1]

    def stored(self) -> dict[Kind, dict[Key, bytes | None]]:
        """Everything that is stored of anybody, byte for byte."""
        return {kind: {key: row.body for key, row in rows_of(self.store, kind).items()} for kind in Kind}

    def text(self) -> str:
        """Everything that is stored of anybody, as one text."""
        return "".join((body or b"").decode() for rows in self.stored().values() for body in rows.values())

    def sent(self, commands: list[Command] | None = None) -> str:
        """Everything that went out, as one text."""
        told = self.target.commands if commands is None else commands
        return " ".join(f"{command.document} {command.previous}" for command in told)

    def quarantine(self) -> list[QuarantineRow]:
        with self.store.read() as reader:
            return reader.quarantine(100_000)

    def reasons(self, severity: str = "quarantined") -> list[str]:
        return [row.reason for row in self.quarantine() if row.severity == severity]

    def last_run(self) -> Run:
        with self.store.read() as reader:
            return reader.runs(1)[0]

    def events(self) -> int:
        with self.store.read() as reader:
            return reader.last_sequence(TOWN)

    def subscriptions(self) -> dict[str, Subscription]:
        with self.store.read() as reader:
            return {row.institution: row for row in reader.subscriptions(TOWN)}


class Calm:
    """Everything that an attempt must leave alone: state, event log and target as they were when it was made."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._seen = self._look()

    def holds(self) -> bool:
        """Whether nothing was stored, logged, sent or made due since."""
        return self._desk.drain() == [] and self._look() == self._seen

    def _look(self) -> tuple[object, ...]:
        desk = self._desk
        return desk.stored(), desk.events(), dict(desk.target.documents), len(desk.target.commands)


def school(pupils: int = 6, others: int = 5, number: str = NUMBER) -> Export:
    """An export of the first day, cut down."""
    return Export.of(DAYS[0] / f"{number}.xml").cut(pupils, others)


def settled(export: Export | None = None, **options: Any) -> Desk:
    """A desk after one export that was recorded and delivered."""
    desk = Desk(**options)
    document = export or school()
    assert desk.bring(document, expected=None) == ("recorded", None)
    desk.drain()
    assert desk.target.documents
    return desk

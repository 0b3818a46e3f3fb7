"""What a target says of the stored state, counted by institution, and what changed lately; nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.connector import Document, Reported, Reports
from bridge.domain.ids import TargetId
from bridge.engine.audit import AuditBook
from bridge.engine.desire import Rendering
from bridge.engine.history import beginning, operation_of
from bridge.engine.rehearse import living_views
from bridge.engine.replay import Span, replay
from bridge.engine.views import Scope
from bridge.ports import Reader, Store


@dataclass(slots=True)
class Report:
    """How often a target says what of which institution, of whom, and what was recorded since a moment.

    `counts` are by institution and code, `changes` by institution, entity and operation; `findings` are those that
    name a subject.
    """

    target: TargetId
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[Reported] = field(default_factory=list)
    changes: Counter[tuple[str, str, str]] | None = None


def report(store: Store, rendering: Rendering, target: Reports, since: datetime | None = None) -> Report:
    """Let a target report on the state as it is stored now.

    Raises `Compacted` where the log is not whole since then, and `ConfigError` for a mapping that does not fit.
    """
    made = Report(rendering.target)
    if since is not None:
        made.changes = changes_since(store, rendering.scope, since)
    with store.read() as reader:
        for one in target.report(documents(reader, rendering)):
            made.counts[one.institution, one.code] += 1
            if one.subject is not None:
                made.findings.append(one)
    return made


def note_look(store: Store, book: AuditBook, made: Iterable[Report]) -> None:
    """Write into the audit chain that somebody was told of whom these findings are. Raises `StoreUnavailable`."""
    with store.write() as uow:
        book.write(uow, [_look(one) for one in made])


def note_shown(store: Store, book: AuditBook, what: str, numbers: Mapping[str, int], target: str = "") -> None:
    """Write into the audit chain that somebody was shown user ids, so many of each municipality, before they are.

    `what` is the verb. Raises `StoreUnavailable`; then nothing may be shown.
    """
    told = [
        {"kind": "people.shown", "what": what, "municipality": code, "count": number}
        | ({"target": target} if target else {})
        for code, number in sorted(numbers.items())
    ]
    with store.write() as uow:
        book.write(uow, told)


def _look(one: Report) -> dict[str, Any]:
    return {
        "kind": "report.read",
        "municipality": one.target.partition("/")[0],
        "target": one.target,
        "institutions": sorted({found.institution for found in one.findings}),
        "count": len(one.findings),
    }


def documents(reader: Reader, rendering: Rendering) -> Iterator[Document]:
    """Everything that lives and that the mapping names, as it renders it."""
    for kind, view in living_views(reader, rendering):
        made = rendering.mapping.render(kind, view)
        if made is not None:
            yield Document(made[0].name, made[1])


def changes_since(store: Store, scope: Scope, since: datetime) -> Counter[tuple[str, str, str]]:
    """Count the events that were recorded then or later of institutions in scope. Raises `Compacted`."""
    with store.read() as reader:
        after = beginning(reader, scope.municipality, since)
    return Counter(
        (event.institution, event.subject.partition("/")[0], operation_of(event))
        for event in replay(store, scope.municipality, Span(after=after))
        if scope.has(event.institution)
    )

"""All that one trace stands for: the run or decision, what it changed, its events, and every attempt; no value.

Each look-up goes by an index, so it is as quick in a large database as in a small one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec

from bridge.domain.events import Event
from bridge.domain.ids import CanonicalId, TargetId
from bridge.domain.outcomes import CONFIRMING
from bridge.domain.tracing import SpanId, TraceId, cause_of, span_id
from bridge.engine.audit import AuditBook
from bridge.engine.publish import cursor_name
from bridge.engine.scan import delivery_rows
from bridge.engine.trace_words import shown_code
from bridge.ports import Reader, Run, Store

_PAGE = 2_000
_OF_THE_CHAIN = frozenset({"seq", "ts", "actor", "member", "kind", "trace"})

_Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Told:
    """One record of the audit chain that is no attempt: what was recorded, held or decided, and who looked."""

    at: datetime
    kind: str
    by: str
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The events of a run in its municipality's log. `is_published`: None where nothing is published at all."""

    municipality: str
    first: int
    last: int
    is_published: bool | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt. `subject` is the keyed reference of the chain, `id` the canonical id where it was found."""

    at: datetime
    target: str
    institution: str
    operation: str
    resource: str
    intent: str
    span: SpanId
    subject: str
    id: CanonicalId | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    reason: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Traced:
    """The answer. `outcomes` count attempts by target and outcome ("open": no end is written).

    `tried` are all attempts, or where these are many those that did not arrive and the one that was asked for;
    `is_cut` says that there are more. `event` is the number of the event of the log that the span stands for.
    `due` is how much of it each target is still to get.
    """

    trace: TraceId
    span: SpanId | None
    run: Run | None
    told: tuple[Told, ...]
    events: Numbers | None
    event: int | None
    outcomes: Mapping[str, Mapping[str, int]]
    tried: tuple[Tried, ...]
    is_cut: bool
    due: Mapping[str, int]

    @property
    def is_known(self) -> bool:
        return (
            self.run is not None or bool(self.outcomes or self.due) or any(one.kind != LOOKED for one in self.told)
        )


LOOKED = "trace.read"


def by_trace(
    reader: Reader, book: AuditBook, trace: TraceId, span: SpanId | None = None, most: int = 50
) -> Traced:
    """Tell what is known of a trace, as of one reader; `span` is the attempt or event that is asked for."""
    run = reader.runs_by_id([cause_of(trace)]).get(cause_of(trace))
    told, attempts = _Told(), _Attempts(span, most)
    for record in _records(reader, trace):
        if str(record["kind"]).startswith("disclosure."):
            attempts.take(record)
        else:
            told.take(record)
    shown = attempts.shown()
    numbers = told.numbers(reader)
    is_found = any(one.span == span for one in shown)
    names, event = _names(reader, book, numbers, {one.subject for one in shown}, None if is_found else span)
    asked = next((one for one in shown if one.span == span and one.subject not in names), None)
    if asked is not None and (held := _held(reader, book, asked)) is not None:
        names[asked.subject] = held
    return Traced(
        trace=trace,
        span=span,
        run=run,
        told=tuple(told.rows),
        events=numbers,
        event=event,
        outcomes={target: dict(counts) for target, counts in sorted(attempts.outcomes().items())},
        tried=tuple(replace(one, id=names.get(one.subject)) for one in shown),
        is_cut=len(shown) < attempts.number,
        due=dict(sorted(reader.due_for(cause_of(trace)).items())),
    )


def note_look_up(store: Store, book: AuditBook, trace: TraceId) -> None:
    """Write into the audit chain that somebody looked a trace up."""
    with store.write() as uow:
        book.write(uow, [{"kind": LOOKED, "trace": trace}])


def _records(reader: Reader, trace: TraceId) -> Iterator[_Record]:
    after = 0
    while rows := reader.audit_of(trace, after, _PAGE):
        yield from (msgspec.json.decode(row.record) for row in rows)
        after = rows[-1].seq


# ---------------------------------------------------------------- what the chain says of the run or decision


@dataclass(slots=True)
class _Told:
    rows: list[Told] = field(default_factory=list)

    def take(self, record: _Record) -> None:
        facts = {name: value for name, value in record.items() if name not in _OF_THE_CHAIN}
        self.rows.append(Told(_time(record), str(record["kind"]), str(record["actor"]), facts))

    def numbers(self, reader: Reader) -> Numbers | None:
        facts = next((one.facts for one in self.rows if "last_event" in one.facts), None)
        if facts is None:
            return None
        home, last = str(facts["municipality"]), int(str(facts["last_event"]))
        published = reader.cursors().get(cursor_name(home))
        is_published = None if published is None else published >= last
        return Numbers(home, int(str(facts["first_event"])), last, is_published)


def _time(record: _Record) -> datetime:
    return datetime.fromisoformat(str(record["ts"]))


# ---------------------------------------------------------------- attempts


@dataclass(slots=True)
class _Attempts:
    """Attempts as they are read, each closed by its outcome: of many only so many are kept in mind."""

    span: SpanId | None
    most: int
    number: int = 0
    _open: dict[str, Tried] = field(default_factory=dict)
    _counts: dict[str, Counter[str]] = field(default_factory=dict)
    _first: list[Tried] = field(default_factory=list)
    _failed: list[Tried] = field(default_factory=list)
    _asked: list[Tried] = field(default_factory=list)

    def take(self, record: _Record) -> None:
        if record["kind"] == "disclosure.intent":
            self.number += 1
            intent = str(record["intent"])
            copied = {name: record[name] for name in ("target", "institution", "operation", "resource", "subject")}
            told = {"at": record["ts"], "intent": intent, "span": span_id(intent), **copied}
            self._open[intent] = msgspec.convert(told, Tried)
        elif (one := self._open.pop(str(record.get("closes")), None)) is not None:
            ended = msgspec.convert(record, _Ended, strict=False)
            reason = shown_code(ended.reason)
            self._keep(replace(one, ended_at=ended.ts, outcome=ended.outcome, reason=reason, status=ended.status))

    def _keep(self, one: Tried) -> None:
        self._counts.setdefault(one.target, Counter())[one.outcome or "open"] += 1
        if one.span == self.span:
            self._asked.append(one)
        if len(self._first) < self.most:
            self._first.append(one)
        if one.outcome not in CONFIRMING and len(self._failed) < self.most:
            self._failed.append(one)

    def outcomes(self) -> dict[str, Counter[str]]:
        """How many attempts ended how at each target."""
        return self._counts

    def shown(self) -> list[Tried]:
        """The attempts that are told one by one, in the order in which they began."""
        while self._open:
            self._keep(self._open.pop(next(iter(self._open))))
        kept = self._first if self.number <= self.most else self._failed
        asked = [one for one in self._asked if one not in kept]
        return sorted([*kept, *asked], key=lambda one: one.at)


class _Ended(msgspec.Struct):
    ts: datetime
    outcome: str
    reason: str | None = None
    status: int | None = None


# ---------------------------------------------------------------- which entities these were


def _names(
    reader: Reader, book: AuditBook, numbers: Numbers | None, wanted: set[str], span: SpanId | None
) -> tuple[dict[str, CanonicalId], int | None]:
    """The canonical ids behind keyed references, as far as the run's events name them, and the span's event."""
    names: dict[str, CanonicalId] = {}
    number: int | None = None
    for event in _events(reader, numbers) if wanted or span else ():
        identity = CanonicalId(event.subject.partition("/")[2])
        if (reference := book.reference(identity)) in wanted:
            names[reference] = identity
        if span is not None and span_id(event.id) == span:
            number = event.sequence
        if wanted == names.keys() and (span is None or number is not None):
            break
    return names, number


def _events(reader: Reader, numbers: Numbers | None) -> Iterator[Event]:
    after = numbers.first - 1 if numbers is not None else 0
    while numbers is not None and after < numbers.last:
        page = reader.events(numbers.municipality, after, min(_PAGE, numbers.last - after))
        page = [event for event in page if event.sequence <= numbers.last]
        yield from page
        after = page[-1].sequence if page else numbers.last


def _held(reader: Reader, book: AuditBook, one: Tried) -> CanonicalId | None:
    """The canonical id behind the reference of one attempt, looked for among all that its target has a row of."""
    rows = delivery_rows(reader, TargetId(one.target))
    return next((row.id for row in rows if book.reference(row.id) == one.subject), None)

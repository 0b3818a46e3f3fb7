"""Internal ports: what the engine needs of a store, a bus and a clock, and nothing of how they do it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bridge.domain.entities import Kind
from bridge.domain.events import Event
from bridge.domain.ids import CanonicalId, Key, TargetId
from bridge.domain.records import ImportSource


class Clock(Protocol):
    def now(self) -> datetime:
        """The time of day, aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, for durations."""
        ...


class Random(Protocol):
    def random(self) -> float:
        """A number in [0, 1)."""
        ...


# ---------------------------------------------------------------- entities


@dataclass(frozen=True, slots=True)
class EntityRow:
    """One entity as it is stored.

    `institution` is "" for persons. `person` and `other` are look-up columns: the user id, and the group
    (membership: joined institution and group id) or the contact (guardianship: user id).
    `body` is None for an entity that is gone: only its id and version are remembered.
    """

    kind: Kind
    key: Key
    institution: str
    id: CanonicalId
    version: int
    hash: bytes
    body: bytes | None = field(repr=False)
    person: str | None = None
    other: str | None = None


class EntityStore(Protocol):
    """Entity state by municipality. Every method sees what was written earlier in the same unit of work.

    Key order is the order of the keys as `join_key` writes them, by code point.
    """

    def hashes(self, municipality: str, institution: str, kind: Kind) -> dict[Key, bytes]:
        """The hashes of the living entities of one kind at one institution."""
        ...

    def entities(self, municipality: str, kind: Kind, keys: Iterable[Key]) -> dict[Key, EntityRow]:
        """The rows of these keys, those of entities that are gone included."""
        ...

    def entities_by_person(self, municipality: str, kind: Kind, people: Iterable[str]) -> list[EntityRow]:
        """Living entities whose `person` is one of these, in key order."""
        ...

    def entities_by_other(self, municipality: str, kind: Kind, others: Iterable[str]) -> list[EntityRow]:
        """Living entities whose `other` is one of these, in key order."""
        ...

    def scan(self, municipality: str, kind: Kind, after: Key | None, limit: int) -> list[EntityRow]:
        """Living entities of a kind in key order, after a key: a page of at most `limit`."""
        ...

    def put_entities(self, municipality: str, rows: Iterable[EntityRow]) -> None:
        """Insert or replace by (municipality, kind, key)."""
        ...

    def shared_people(self, municipality: str, institution: str) -> set[str]:
        """User ids with a living contribution from this institution and from another one too."""
        ...

    def entity_counts(self, municipality: str) -> dict[Kind, int]:
        """Living entities by kind; kinds without any are absent."""
        ...


# ---------------------------------------------------------------- institutions, runs, quarantine, holds


@dataclass(frozen=True, slots=True)
class InstitutionState:
    """The last snapshot that was recorded for an institution. `digest` leaves exportDateTime aside.

    `source_times` and `school_years` are by the name of the import source.
    """

    municipality: str
    institution: str
    digest: str
    export_time: datetime
    source_times: Mapping[str, datetime]
    recorded_at: datetime
    run: str
    school_years: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subscription:
    """How an institution is subscribed to; `institution` "" is the source as a whole.

    `agreement`: agreed | missing (configured, never agreed) | withdrawn (was agreed, is not any more) |
    unused (agreed, not configured) | None (not known yet); `agreement_at` is since when. `failures` in a row
    and their `reason` since the last success, `retry_at` when it is tried before its turn. `wanted_at`: a nudge
    asks for it. `asked_at`: when it was last asked for (the whole: when the last pass began).
    """

    municipality: str
    institution: str
    agreement: str | None = None
    agreement_at: datetime | None = None
    failures: int = 0
    reason: str | None = None
    retry_at: datetime | None = None
    wanted_at: datetime | None = None
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one snapshot. `result`: recorded | unchanged | held | refused | failed.

    `export_time` and `sources` (name, time, school year) are what its header said, where it was read.
    """

    id: str
    municipality: str
    institution: str | None
    at: datetime
    result: str
    reason: str | None
    origin: str | None
    digest: str | None
    changes: int = 0
    quarantined: int = 0
    export_time: datetime | None = None
    sources: tuple[ImportSource, ...] = ()


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """One record that is out of use until the next good snapshot. `fields`: no values, ids only."""

    municipality: str
    institution: str
    path: str
    reason: str
    user_id: str | None
    local_person_id: str | None
    severity: str  # "quarantined" | "noted"
    run: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A snapshot (or a mapping change) that waits for a person.

    `state`: open | approved | applied | rejected | superseded. `reasons` are stable codes;
    `counts` maps "<kind>.<operation>" to a number; `people` lists keys, never names.
    """

    id: int
    municipality: str
    institution: str
    subject: str  # "snapshot" | "target"
    target: str | None
    digest: str
    reasons: tuple[str, ...]
    counts: Mapping[str, int]
    people: tuple[str, ...]
    state: str
    opened_at: datetime
    origin: str | None
    decided_at: datetime | None = None
    decided_by: str | None = None


class IntakeStore(Protocol):
    def institution_state(self, municipality: str, institution: str) -> InstitutionState | None: ...

    def institution_states(self) -> list[InstitutionState]: ...

    def put_institution_state(self, state: InstitutionState) -> None: ...

    def subscriptions(self, municipality: str | None = None) -> list[Subscription]:
        """By (municipality, institution); of all municipalities when None."""
        ...

    def put_subscriptions(self, rows: Iterable[Subscription]) -> None:
        """Insert or replace by (municipality, institution)."""
        ...

    def institution_facts(self, municipality: str) -> dict[str, bytes]:
        """The last that a register said of each institution, as an encoded `Institution`."""
        ...

    def put_institution_facts(self, municipality: str, facts: Mapping[str, bytes]) -> None: ...

    def add_run(self, run: Run) -> None: ...

    def runs(self, limit: int) -> list[Run]:
        """The newest first."""
        ...

    def last_runs(self) -> list[Run]:
        """The newest run of each (municipality, institution)."""
        ...

    def replace_quarantine(self, municipality: str, institution: str, rows: Sequence[QuarantineRow]) -> None: ...

    def quarantine(self, limit: int) -> list[QuarantineRow]: ...

    def add_hold(self, hold: Hold, body: bytes | None) -> int:
        """Store the hold with the snapshot's bytes and return its number (the given id is ignored)."""
        ...

    def holds(self, states: Sequence[str] | None = None) -> list[Hold]:
        """Oldest first; all states when None."""
        ...

    def hold(self, number: int) -> Hold | None: ...

    def hold_body(self, number: int) -> bytes | None: ...

    def set_hold_state(self, number: int, state: str, by: str | None, at: datetime) -> None:
        """Write `by` and `at` as the decision, and forget the stored bytes when the state is a final one
        (applied, rejected, superseded). Raises `StoreError` for a number that is no hold's."""
        ...


# ---------------------------------------------------------------- events


class EventLog(Protocol):
    def append_events(self, municipality: str, events: Sequence[Event]) -> int:
        """Store events with the next sequence numbers of the municipality, in order (the given numbers are
        ignored) and return the last number. No reader ever sees a gap."""
        ...

    def events(self, municipality: str, after: int, limit: int) -> list[Event]: ...

    def last_sequence(self, municipality: str) -> int:
        """0 when the log is empty."""
        ...

    def cursor(self, name: str) -> int:
        """Where a named reader of a log stands; 0 at first."""
        ...

    def set_cursor(self, name: str, sequence: int) -> None: ...


# ---------------------------------------------------------------- deliveries


@dataclass(frozen=True, slots=True)
class Desired:
    """What a target should have of one entity: the hash of its rendered body, None for nothing."""

    target: TargetId
    id: CanonicalId
    kind: Kind
    key: Key
    institution: str
    resource: str
    rank: int
    hash: bytes | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One (target, entity): due while desired and confirmed differ or an attempt is in doubt.

    `version` grows whenever the desired hash changes. `state`: "pending" or "rejected"; a rejected
    delivery is not due until its desired hash changes or a person asks for a retry.
    `confirmed_body` is the JSON of the document that the target last confirmed.
    """

    target: TargetId
    id: CanonicalId
    kind: Kind
    key: Key
    institution: str
    resource: str
    rank: int
    desired: bytes | None
    confirmed: bytes | None
    confirmed_body: bytes | None = field(repr=False)
    remote_id: str | None = field(repr=False)
    etag: str | None
    version: int
    in_doubt: bool
    attempts: int
    next_attempt_at: datetime
    state: str
    reason: str | None
    updated_at: datetime

    @property
    def is_due(self) -> bool:
        return self.state == "pending" and (self.in_doubt or self.desired != self.confirmed)


@dataclass(frozen=True, slots=True)
class TargetState:
    """What is known of a target as a whole. `rendering` is the digest of mapping and scope last applied."""

    target: TargetId
    rendering: str | None = None
    paused_until: datetime | None = None
    pause_reason: str | None = None
    failures: int = 0
    last_success_at: datetime | None = None


STUCK_AFTER = 10


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """`due` now or later, `waiting` of these later, `rejected`, `confirmed` living at the target.

    `oldest_due_at` is the earliest `next_attempt_at` of what is due, `stuck` how much of it was tried
    `STUCK_AFTER` times or more.
    """

    confirmed: int
    due: int
    waiting: int
    rejected: int
    oldest_due_at: datetime | None
    stuck: int = 0


class DeliveryStore(Protocol):
    def put_desired(self, rows: Iterable[Desired], now: datetime) -> int:
        """Set what targets should have and return how many rows changed.

        Unknown with hash None: nothing is stored. Same hash: nothing is written (but a changed rank or
        resource is). Else: version + 1, attempts 0, state pending, no reason, due at `now`.
        Of several rows for one entity the last counts. An empty institution leaves the stored one.
        """
        ...

    def desired_hashes(self, target: TargetId, ids: Iterable[CanonicalId]) -> dict[CanonicalId, bytes | None]:
        """The desired hash of each of these that has a row."""
        ...

    def due(self, target: TargetId, now: datetime, limit: int) -> list[Delivery]:
        """Due deliveries whose time has come: creates and updates by rank, then deletes by rank reversed.

        All rows returned belong to one lane (same rank, all deletes or none), so a batch never mixes
        what depends on each other. Within a lane oldest `next_attempt_at` first, then id.
        """
        ...

    def begin_attempts(self, target: TargetId, ids: Sequence[CanonicalId]) -> None:
        """Mark in doubt: from here on a crash means an unknown outcome."""
        ...

    def put_deliveries(self, rows: Sequence[Delivery]) -> None:
        """Write back what an attempt brought: everything but `version` and the fields of `Desired`.

        Where the stored version is no longer the row's, the desired state changed meanwhile: then
        `state`, `attempts` and `next_attempt_at` stay as stored too (pending and due at once).
        """
        ...

    def remote_ids(self, target: TargetId, ids: Iterable[CanonicalId]) -> dict[CanonicalId, str]: ...

    def deliveries(
        self, target: TargetId | None, state: str | None, after: CanonicalId | None, limit: int
    ) -> list[Delivery]:
        """By (target, id). `state`: None, "due", "rejected" or "confirmed" (living at the target).

        `after` pages through one target; without a target it leaves out smaller ids of each.
        """
        ...

    def delivery(self, target: TargetId, identity: CanonicalId) -> Delivery | None: ...

    def wake(self, target: TargetId, reason: str | None, now: datetime) -> int:
        """Make waiting due deliveries (all, or those with this reason) due now; return how many."""
        ...

    def retry_rejected(self, target: TargetId | None, ids: Sequence[CanonicalId] | None, now: datetime) -> int: ...

    def forget_confirmed(self, target: TargetId, ids: Iterable[CanonicalId]) -> None:
        """Drop the confirmed hash of living deliveries, so that they are sent again."""
        ...

    def delivery_counts(self, target: TargetId, now: datetime) -> DeliveryCounts: ...

    def next_due_at(self, target: TargetId) -> datetime | None:
        """The earliest `next_attempt_at` of what is due."""
        ...

    def target_state(self, target: TargetId) -> TargetState: ...

    def target_states(self) -> list[TargetState]: ...

    def put_target_state(self, state: TargetState) -> None: ...


# ---------------------------------------------------------------- audit


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One link of the chain: `record` is its canonical JSON (RFC 8785 for what we write), without the hash."""

    seq: int
    record: str
    prev: bytes
    hash: bytes
    intent: str | None = None  # set on an intent: the id that its outcome repeats
    closes: str | None = None  # set on an outcome


class AuditStore(Protocol):
    def audit_head(self) -> tuple[int, bytes]:
        """(number of rows, hash of the last); (0, 32 zero bytes) for an empty chain."""
        ...

    def append_audit(self, rows: Sequence[AuditRow]) -> None:
        """Raises `StoreError` for a row whose number is not the next one; then nothing is stored."""
        ...

    def audit_rows(self, after: int, limit: int) -> list[AuditRow]: ...

    def open_intents(self) -> list[AuditRow]:
        """Intent rows that no row closes."""
        ...


class Reader(EntityStore, IntakeStore, EventLog, DeliveryStore, AuditStore, Protocol):
    """All look-ups see one consistent state; writing through it is an error."""


class UnitOfWork(Reader, Protocol):
    """One transaction: everything or nothing. Leaving the block commits, an exception rolls back."""

    def rollback(self) -> None:
        """Undo everything so far; leaving the block afterwards commits nothing, not even what came later."""
        ...


class Store(Protocol):
    def read(self) -> AbstractContextManager[Reader]: ...

    def write(self) -> AbstractContextManager[UnitOfWork]: ...

    def check(self) -> None:
        """Assert that commits are durable and the schema is ours. Raises `StoreUnavailable`."""
        ...

    def close(self) -> None: ...


# ---------------------------------------------------------------- news


class Bus(Protocol):
    """Nudges between loops: news that may be lost, because every loop also looks for itself."""

    def nudge(self, topic: str) -> None: ...

    def wait(self, topic: str, seconds: float) -> bool:
        """Wait for a nudge on the topic, at most this long; say whether one came."""
        ...

    def close(self) -> None: ...


class FeedMessage(Protocol):
    """One message of a feed; exactly one of its methods ends it, and only `done` forgets it for good."""

    body: bytes
    content_type: str
    origin: str

    def done(self) -> None:
        """What it brought is committed."""
        ...

    def dead(self, reason: str) -> None:
        """It can never be used: it goes to the dead letters with the reason code."""
        ...

    def later(self) -> None:
        """It cannot be used now: it comes again."""
        ...


class Feed(Protocol):
    """Messages that others send us, one after the other."""

    def receive(self, seconds: float) -> FeedMessage | None:
        """Wait for a message, at most this long. Raises `SourceUnavailable` when the broker is away."""
        ...

    def close(self) -> None: ...


class EventPublisher(Protocol):
    def publish(self, events: Sequence[Event]) -> int:
        """Publish in order and return how many of the first are confirmed. Raises `TargetUnavailable`."""
        ...

    def close(self) -> None: ...

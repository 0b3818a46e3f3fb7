"""The store on plain dicts: what the engine is tested with, and what other stores are compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from itertools import islice
from threading import Lock

from bridge.domain.entities import Kind
from bridge.domain.errors import StoreError, StoreUnavailable
from bridge.domain.events import Event
from bridge.domain.ids import CanonicalId, Key, TargetId, join_key
from bridge.ports import (
    RESTING,
    STUCK_AFTER,
    URGENT,
    AuditRow,
    Delivery,
    DeliveryCounts,
    Desired,
    Drift,
    EntityRow,
    ExpectedRoll,
    Hold,
    InstitutionState,
    KeptPerson,
    Ledger,
    QuarantineRow,
    Reader,
    Run,
    Subscription,
    TargetState,
    UnitOfWork,
)

_FINAL_HOLDS = ("applied", "rejected", "superseded")
_STATES: dict[str | None, Callable[[Delivery], bool]] = {
    None: lambda row: True,
    "due": lambda row: row.is_due,
    "rejected": lambda row: row.state == "rejected",
    "confirmed": lambda row: row.confirmed is not None,
}


@dataclass(slots=True)
class _Tables:
    entities: dict[tuple[str, Kind, str], EntityRow] = field(default_factory=dict)
    institutions: dict[tuple[str, str], InstitutionState] = field(default_factory=dict)
    subscriptions: dict[tuple[str, str], Subscription] = field(default_factory=dict)
    facts: dict[tuple[str, str], bytes] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    quarantine: dict[tuple[str, str], tuple[QuarantineRow, ...]] = field(default_factory=dict)
    holds: dict[int, Hold] = field(default_factory=dict)
    hold_bodies: dict[int, bytes] = field(default_factory=dict)
    events: dict[tuple[str, int], Event] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    floors: dict[str, int] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    deliveries: dict[tuple[TargetId, CanonicalId], Delivery] = field(default_factory=dict)
    ledgers: dict[TargetId, Ledger] = field(default_factory=dict)
    drift: dict[tuple[TargetId, CanonicalId], Drift] = field(default_factory=dict)
    kept: dict[tuple[str, str], KeptPerson] = field(default_factory=dict)
    rolls: dict[int, ExpectedRoll] = field(default_factory=dict)
    targets: dict[TargetId, TargetState] = field(default_factory=dict)
    audit: dict[int, AuditRow] = field(default_factory=dict)

    def copy(self) -> _Tables:
        """Tables of their own over the same rows, which are frozen."""
        return _Tables(**{part.name: dict(getattr(self, part.name)) for part in fields(self)})


class MemoryStore:
    """A store that forgets everything at the end: readers keep the state they began with, writers take turns."""

    def __init__(self, busy_timeout: timedelta = timedelta(seconds=30)) -> None:
        self._tables = _Tables()
        self._turn = Lock()
        self._busy_timeout = busy_timeout

    @contextmanager
    def read(self) -> Iterator[Reader]:
        yield MemoryUnitOfWork(self._tables, is_writer=False)

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        if not self._turn.acquire(timeout=self._busy_timeout.total_seconds()):
            raise StoreUnavailable("the memory store stayed locked by another writer; nothing was changed")
        try:
            unit = MemoryUnitOfWork(self._tables, is_writer=True)
            yield unit
            self._tables = unit.kept()
        finally:
            self._turn.release()

    def check(self) -> None: ...

    def close(self) -> None: ...


class _Part:
    def __init__(self, tables: _Tables, *, is_writer: bool) -> None:
        self._before = tables
        self._tables = tables.copy() if is_writer else tables
        self._is_writer = is_writer
        self._is_rolled_back = False

    def rollback(self) -> None:
        self._tables, self._is_rolled_back = self._before.copy(), True

    def kept(self) -> _Tables:
        """What a commit leaves behind."""
        return self._before if self._is_rolled_back else self._tables

    def _writing(self) -> _Tables:
        if not self._is_writer:
            raise StoreError("a reader was asked to write: open the store with write() instead")
        return self._tables


class _Entities(_Part):
    def hashes(self, municipality: str, institution: str, kind: Kind) -> dict[Key, bytes]:
        return {r.key: r.hash for r in self._living(municipality, kind) if r.institution == institution}

    def entities(self, municipality: str, kind: Kind, keys: Iterable[Key]) -> dict[Key, EntityRow]:
        wanted = [(municipality, kind, key) for key in sorted(set(map(join_key, keys)))]
        rows = [self._tables.entities[key] for key in wanted if key in self._tables.entities]
        return {row.key: row for row in rows}

    def entities_by_person(self, municipality: str, kind: Kind, people: Iterable[str]) -> list[EntityRow]:
        wanted = set(people)
        return [row for row in self._living(municipality, kind) if row.person in wanted]

    def entities_by_other(self, municipality: str, kind: Kind, others: Iterable[str]) -> list[EntityRow]:
        wanted = set(others)
        return [row for row in self._living(municipality, kind) if row.other in wanted]

    def scan(self, municipality: str, kind: Kind, after: Key | None, limit: int) -> list[EntityRow]:
        rows = self._living(municipality, kind)
        return [row for row in rows if after is None or join_key(row.key) > join_key(after)][:limit]

    def put_entities(self, municipality: str, rows: Iterable[EntityRow]) -> None:
        self._writing().entities.update({(municipality, row.kind, join_key(row.key)): row for row in rows})

    def shared_people(self, municipality: str, institution: str) -> set[str]:
        rows = self._living(municipality, Kind.CONTRIBUTION)
        here = {row.person for row in rows if row.institution == institution}
        there = {row.person for row in rows if row.institution != institution}
        return {person for person in here & there if person is not None}

    def entity_counts(self, municipality: str) -> dict[Kind, int]:
        living = ((key, row) for key, row in self._tables.entities.items() if row.body is not None)
        return dict(Counter(row.kind for key, row in living if key[0] == municipality))

    def _living(self, municipality: str, kind: Kind) -> list[EntityRow]:
        """The living entities of a kind, in key order."""
        found = [
            (key, row)
            for (home, what, key), row in self._tables.entities.items()
            if home == municipality and what is kind and row.body is not None
        ]
        return [row for _, row in sorted(found, key=lambda pair: pair[0])]


class _Intake(_Part):
    def institution_state(self, municipality: str, institution: str) -> InstitutionState | None:
        return self._tables.institutions.get((municipality, institution))

    def institution_states(self) -> list[InstitutionState]:
        return [state for _, state in sorted(self._tables.institutions.items(), key=lambda pair: pair[0])]

    def put_institution_state(self, state: InstitutionState) -> None:
        self._writing().institutions[state.municipality, state.institution] = state

    def subscriptions(self, municipality: str | None = None) -> list[Subscription]:
        found = self._tables.subscriptions
        return [found[key] for key in sorted(found) if municipality in (None, key[0])]

    def put_subscriptions(self, rows: Iterable[Subscription]) -> None:
        self._writing().subscriptions.update({(row.municipality, row.institution): row for row in rows})

    def forget_subscriptions(self, municipality: str) -> None:
        known = self._writing().subscriptions
        for place in [place for place in known if place[0] == municipality]:
            del known[place]

    def institution_facts(self, municipality: str) -> dict[str, bytes]:
        return {number: body for (code, number), body in self._tables.facts.items() if code == municipality}

    def put_institution_facts(self, municipality: str, facts: Mapping[str, bytes]) -> None:
        self._writing().facts.update({(municipality, number): body for number, body in facts.items()})

    def add_run(self, run: Run) -> None:
        runs = self._writing().runs
        runs[len(runs) + 1] = run

    def runs(self, limit: int) -> list[Run]:
        return list(reversed(self._tables.runs.values()))[:limit]

    def runs_by_id(self, ids: Iterable[str]) -> dict[str, Run]:
        wanted = set(ids)
        return {run.id: run for run in self._tables.runs.values() if run.id in wanted}

    def last_runs(self) -> list[Run]:
        last = {(run.municipality, run.institution or ""): run for run in self._tables.runs.values()}
        return [last[place] for place in sorted(last)]

    def runs_of(self, municipality: str, institution: str, since: datetime) -> list[Run]:
        here = (municipality, institution)
        runs = self._tables.runs.values()
        return [run for run in runs if (run.municipality, run.institution) == here and run.at >= since]

    def replace_quarantine(self, municipality: str, institution: str, rows: Sequence[QuarantineRow]) -> None:
        self._writing().quarantine[municipality, institution] = tuple(rows)

    def quarantine(self, limit: int, severity: str | None = None) -> list[QuarantineRow]:
        places = sorted(self._tables.quarantine)
        rows = [row for place in places for row in self._tables.quarantine[place]]
        return [row for row in rows if severity in (None, row.severity)][:limit]

    def quarantine_of(self, municipality: str, institution: str) -> list[QuarantineRow]:
        return list(self._tables.quarantine.get((municipality, institution), ()))

    def add_hold(self, hold: Hold, body: bytes | None) -> int:
        tables = self._writing()
        number = len(tables.holds) + 1
        tables.holds[number] = replace(hold, id=number)
        if body is not None:
            tables.hold_bodies[number] = body
        return number

    def holds(self, states: Sequence[str] | None = None) -> list[Hold]:
        return [hold for hold in self._tables.holds.values() if states is None or hold.state in states]

    def hold(self, number: int) -> Hold | None:
        return self._tables.holds.get(number)

    def hold_body(self, number: int) -> bytes | None:
        return self._tables.hold_bodies.get(number)

    def put_hold(self, hold: Hold) -> None:
        tables = self._writing()
        if hold.id not in tables.holds:
            raise StoreError(f"there is no hold {hold.id}")
        tables.holds[hold.id] = hold

    def set_hold_state(self, number: int, state: str, by: str | None, at: datetime) -> None:
        tables = self._writing()
        if number not in tables.holds:
            raise StoreError(f"there is no hold {number}")
        tables.holds[number] = replace(tables.holds[number], state=state, decided_by=by, decided_at=at)
        if state in _FINAL_HOLDS:
            tables.hold_bodies.pop(number, None)

    def kept_people(self, municipality: str) -> list[KeptPerson]:
        return [row for place, row in sorted(self._tables.kept.items()) if place[0] == municipality]

    def put_kept_person(self, kept: KeptPerson) -> None:
        self._writing().kept[kept.municipality, kept.user_id] = kept

    def drop_kept_person(self, municipality: str, user_id: str) -> bool:
        return self._writing().kept.pop((municipality, user_id), None) is not None

    def expected_rolls(self, municipality: str) -> list[ExpectedRoll]:
        return [roll for roll in self._tables.rolls.values() if roll.municipality == municipality]

    def add_expected_roll(self, roll: ExpectedRoll) -> None:
        rolls = self._writing().rolls
        rolls[len(rolls) + 1] = roll


class _Logs(_Part):
    def append_events(self, municipality: str, events: Sequence[Event]) -> int:
        tables = self._writing()
        for number, event in enumerate(events, start=self.last_sequence(municipality) + 1):
            tables.events[municipality, number] = replace(event, sequence=number, municipality=municipality)
            tables.sequences[municipality] = number
        return self.last_sequence(municipality)

    def events(
        self,
        municipality: str,
        after: int,
        limit: int,
        *,
        institution: str | None = None,
        subject: str | None = None,
    ) -> list[Event]:
        found = (
            event
            for (home, number), event in sorted(self._tables.events.items())
            if home == municipality
            and number > after
            and institution in (None, event.institution)
            and subject in (None, event.subject)
        )
        return list(islice(found, limit))

    def last_sequence(self, municipality: str) -> int:
        return self._tables.sequences.get(municipality, 0)

    def sequence_at(self, municipality: str, moment: datetime) -> int:
        log = self._tables.events.items()
        return max((n for (home, n), event in log if home == municipality and event.time <= moment), default=0)

    def log_floor(self, municipality: str) -> int:
        return self._tables.floors.get(municipality, 0)

    def compact_events(self, municipality: str, up_to: int) -> int:
        floor = min(up_to, self.last_sequence(municipality))
        if floor <= self.log_floor(municipality):
            return 0
        tables = self._writing()
        old = {key: e for key, e in sorted(tables.events.items()) if key[0] == municipality and key[1] <= floor}
        last = {event.subject: key for key, event in old.items()}
        gone = {key for key, event in old.items() if ".deleted." in event.type and key[1] != floor}
        removed = [key for key, event in old.items() if last[event.subject] != key or key in gone]
        for key in removed:
            del tables.events[key]
        tables.floors[municipality] = floor
        return len(removed)

    def cursor(self, name: str) -> int:
        return self._tables.cursors.get(name, 0)

    def cursors(self) -> dict[str, int]:
        return dict(sorted(self._tables.cursors.items()))

    def set_cursor(self, name: str, sequence: int) -> None:
        self._writing().cursors[name] = sequence

    def audit_head(self) -> tuple[int, bytes]:
        size = len(self._tables.audit)
        return (size, self._tables.audit[size].hash) if size else (0, bytes(32))

    def append_audit(self, rows: Sequence[AuditRow]) -> None:
        tables = self._writing()
        for expected, row in enumerate(rows, start=len(tables.audit) + 1):
            if row.seq != expected:
                raise StoreError(f"audit row {row.seq} was refused: the next one is {expected}")
        tables.audit.update({row.seq: row for row in rows})

    def audit_rows(self, after: int, limit: int) -> list[AuditRow]:
        return list(islice((row for row in self._tables.audit.values() if row.seq > after), limit))

    def audit_about(self, subject: str) -> list[AuditRow]:
        rows = self._tables.audit.values()
        intents = {row.intent for row in rows if row.subject == subject and row.intent is not None}
        return [row for row in rows if row.subject == subject or row.closes in intents]

    def open_intents(self) -> list[AuditRow]:
        closed = {row.closes for row in self._tables.audit.values()}
        rows = self._tables.audit.values()
        return [row for row in rows if row.intent is not None and row.intent not in closed]


class _Deliveries(_Part):
    def put_desired(self, rows: Iterable[Desired], now: datetime) -> set[CanonicalId]:
        table, stepped = self._writing().deliveries, set()
        for key, row in {(row.target, row.id): row for row in rows}.items():
            before = table.get(key)
            after = _desired(before, row, now)
            if after is None or after == before:
                continue
            table[key] = after
            if before is None or before.desired != after.desired:
                stepped.add(row.id)
                accepted = (before.carried if before else 0) + (row.carried or 0)
                self._count(row.target, superseded=accepted - after.carried)
        return stepped

    def desired_hashes(self, target: TargetId, ids: Iterable[CanonicalId]) -> dict[CanonicalId, bytes | None]:
        return {row.id: row.desired for row in self._some(target, ids)}

    def due(self, target: TargetId, now: datetime, limit: int) -> list[Delivery]:
        rows = [row for row in self._due(target) if row.next_attempt_at <= now]
        first = min(map(_lane, rows), default=None)
        lane = [row for row in rows if _lane(row) == first]
        return sorted(lane, key=lambda row: (row.next_attempt_at, row.id))[:limit]

    def begin_attempts(self, target: TargetId, ids: Sequence[CanonicalId]) -> None:
        self._change(replace(row, in_doubt=True) for row in self._some(target, ids))

    def put_deliveries(self, rows: Sequence[Delivery]) -> None:
        table = self._writing().deliveries
        for row in rows:
            if stored := table.get((row.target, row.id)):
                after = _written_back(stored, row)
                table[row.target, row.id] = after
                self._count(row.target, delivered=stored.carried - after.carried)

    def remote_ids(self, target: TargetId, ids: Iterable[CanonicalId]) -> dict[CanonicalId, str]:
        return {row.id: row.remote_id for row in self._some(target, ids) if row.remote_id is not None}

    def deliveries(
        self, target: TargetId | None, state: str | None, after: CanonicalId | None, limit: int
    ) -> list[Delivery]:
        if state not in _STATES:
            raise StoreError(f"no delivery is ever {state}: ask for due, rejected or confirmed")
        keys = sorted(self._tables.deliveries)
        rows = (self._tables.deliveries[key] for key in keys if target is None or key[0] == target)
        return [row for row in rows if _STATES[state](row) and (after is None or row.id > after)][:limit]

    def delivery(self, target: TargetId, identity: CanonicalId) -> Delivery | None:
        return self._tables.deliveries.get((target, identity))

    def wake(self, target: TargetId, reason: str | None, now: datetime) -> int:
        waiting = [row for row in self._due(target) if row.next_attempt_at > now]
        return self._change(
            replace(row, next_attempt_at=now, updated_at=now)
            for row in waiting
            if (row.reason not in RESTING if reason is None else row.reason == reason)
        )

    def retry_rejected(self, target: TargetId | None, ids: Sequence[CanonicalId] | None, now: datetime) -> int:
        return self._change(
            replace(row, state="pending", attempts=0, reason=None, next_attempt_at=now, updated_at=now)
            for row in list(self._tables.deliveries.values())
            if row.state == "rejected" and target in (None, row.target) and (ids is None or row.id in ids)
        )

    def forget_confirmed(self, target: TargetId, ids: Iterable[CanonicalId]) -> None:
        living = [row for row in self._some(target, ids) if row.desired is not None]
        self._change(replace(row, confirmed=None) for row in living)

    def delivery_counts(self, target: TargetId, now: datetime) -> DeliveryCounts:
        rows = [row for row in self._tables.deliveries.values() if row.target == target]
        due = self._due(target)
        return DeliveryCounts(
            confirmed=sum(row.confirmed is not None for row in rows),
            due=len(due),
            waiting=sum(row.next_attempt_at > now for row in due),
            rejected=sum(row.state == "rejected" for row in rows),
            oldest_due_at=self.next_due_at(target),
            stuck=sum(row.attempts >= STUCK_AFTER for row in due),
            resting=sum(row.next_attempt_at > now and row.reason in RESTING for row in due),
        )

    def next_due_at(self, target: TargetId) -> datetime | None:
        return min((row.next_attempt_at for row in self._due(target)), default=None)

    def clear(self, target: TargetId, ids: Iterable[CanonicalId], reason: str, now: datetime) -> None:
        for row in self._some(target, ids):
            freed = replace(row, is_cleared=True)
            is_waiting = row.reason == reason
            self._change([replace(freed, next_attempt_at=now, reason=None) if is_waiting else freed])

    def due_steps(self, target: TargetId) -> list[Delivery]:
        return sorted((row for row in self._due(target) if not row.is_cleared), key=lambda row: row.id)

    def living(self, target: TargetId) -> dict[Kind, int]:
        rows = (row for row in self._tables.deliveries.values() if row.target == target)
        return dict(Counter(row.kind for row in rows if row.confirmed or row.confirmed_body))

    def carry(self, target: TargetId, numbers: Mapping[CanonicalId, int]) -> None:
        grown = [row for row in self._some(target, numbers) if row.is_due or row.state == "rejected"]
        self._change(replace(row, carried=row.carried + numbers[row.id]) for row in grown)
        self._count(target, superseded=sum(numbers.values()) - sum(numbers[row.id] for row in grown))

    def ledger(self, target: TargetId) -> Ledger:
        carried: Counter[str] = Counter()
        for row in self._tables.deliveries.values():
            if row.target == target:
                carried[row.state] += row.carried
        ended = self._tables.ledgers.get(target, Ledger(target))
        return replace(ended, rejected=carried["rejected"], pending=carried["pending"])

    def count_changes(self, target: TargetId, *, accepted: int = 0, filtered: int = 0, unapplied: int = 0) -> None:
        self._count(target, accepted=accepted, filtered=filtered, unapplied=unapplied)

    def supersede_unapplied(self, target: TargetId) -> None:
        waiting = self._tables.ledgers.get(target, Ledger(target)).unapplied
        self._count(target, superseded=waiting, unapplied=-waiting)

    def _count(self, target: TargetId, **numbers: int) -> None:
        if any(numbers.values()):
            before = self._tables.ledgers.get(target, Ledger(target))
            grown = {name: getattr(before, name) + number for name, number in numbers.items()}
            self._writing().ledgers[target] = replace(before, **grown)

    def target_state(self, target: TargetId) -> TargetState:
        return self._tables.targets.get(target, TargetState(target))

    def target_states(self) -> list[TargetState]:
        return [self._tables.targets[target] for target in sorted(self._tables.targets)]

    def put_target_state(self, state: TargetState) -> None:
        self._writing().targets[state.target] = state

    def _due(self, target: TargetId) -> list[Delivery]:
        return [row for row in self._tables.deliveries.values() if row.target == target and row.is_due]

    def _some(self, target: TargetId, ids: Iterable[CanonicalId]) -> list[Delivery]:
        found = (self._tables.deliveries.get((target, identity)) for identity in dict.fromkeys(ids))
        return [row for row in found if row is not None]

    def _change(self, rows: Iterable[Delivery]) -> int:
        changed = {(row.target, row.id): row for row in rows}
        self._writing().deliveries.update(changed)
        return len(changed)


class _Drift(_Part):
    def drift(self, target: TargetId) -> list[Drift]:
        return [row for place, row in sorted(self._tables.drift.items()) if place[0] == target]

    def put_drift(self, rows: Iterable[Drift]) -> None:
        self._writing().drift.update({(row.target, row.id): row for row in rows})

    def drop_drift(self, target: TargetId, ids: Iterable[CanonicalId]) -> None:
        known = self._writing().drift
        for identity in ids:
            known.pop((target, identity), None)


class MemoryUnitOfWork(_Entities, _Intake, _Logs, _Deliveries, _Drift):
    """One transaction; after a rollback it still answers, and whatever it is told is forgotten."""


def _lane(row: Delivery) -> tuple[bool, int]:
    return (row.desired is None, -row.rank if row.desired is None else row.rank)


def _desired(before: Delivery | None, row: Desired, now: datetime) -> Delivery | None:
    if before is None:
        return None if row.hash is None else _first(row, now)
    is_still = before.rank == URGENT and before.is_due and before.desired is not None
    rank = URGENT if row.hash is not None and (row.is_urgent or is_still) else row.rank
    after = replace(before, rank=rank, resource=row.resource)
    if before.desired == row.hash:
        return after
    is_lost = row.hash is None and before.confirmed is None and before.confirmed_body is not None
    is_done = row.hash == before.confirmed and not before.in_doubt and not is_lost
    return replace(
        after,
        desired=row.hash,
        institution=row.institution or before.institution,
        version=before.version + 1,
        attempts=0,
        in_doubt=before.in_doubt or is_lost,
        state="pending",
        reason=row.reason,
        next_attempt_at=row.not_before or now,
        updated_at=now,
        carried=0 if is_done else before.carried if row.carried is None else row.carried,
        is_cleared=row.is_cleared,
    )


def _first(row: Desired, now: datetime) -> Delivery:
    return Delivery(
        target=row.target,
        id=row.id,
        kind=row.kind,
        key=row.key,
        institution=row.institution,
        resource=row.resource,
        rank=URGENT if row.is_urgent else row.rank,
        desired=row.hash,
        confirmed=None,
        confirmed_body=None,
        remote_id=None,
        etag=None,
        version=1,
        in_doubt=False,
        attempts=0,
        next_attempt_at=row.not_before or now,
        state="pending",
        reason=row.reason,
        updated_at=now,
        carried=row.carried or 0,
        is_cleared=row.is_cleared,
    )


def _written_back(stored: Delivery, row: Delivery) -> Delivery:
    after = replace(
        stored,
        confirmed=row.confirmed,
        confirmed_body=row.confirmed_body,
        remote_id=row.remote_id,
        etag=row.etag,
        in_doubt=row.in_doubt,
        reason=row.reason,
        updated_at=row.updated_at,
    )
    if stored.version != row.version:
        return after
    after = replace(after, attempts=row.attempts, next_attempt_at=row.next_attempt_at, state=row.state)
    is_settled = after.state == "pending" and not after.is_due
    return replace(after, carried=0) if is_settled else after

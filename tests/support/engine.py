"""A municipality on the desk: short builders, a source and a target by script, and a bench around them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from bridge.connector import Capabilities, Command, HandedOver, SourceFailure
from bridge.domain.entities import Code, Entity, Kind, Person, Role
from bridge.domain.errors import SnapshotInvalid, SourceUnauthorised, SourceUnavailable
from bridge.domain.ids import CanonicalId, Key, TargetId, canonical_id
from bridge.domain.outcomes import Delivered, Outcome
from bridge.domain.records import (
    AffiliationRecord,
    ContactRecord,
    GroupRecord,
    Header,
    ImportSource,
    PersonRecord,
    Record,
    Snapshot,
)
from bridge.engine.apply import apply_approved
from bridge.engine.audit import AuditBook
from bridge.engine.brake import AT_TARGETS, release
from bridge.engine.breaker import Breaker
from bridge.engine.codec import decode_entity
from bridge.engine.decide import decide_hold
from bridge.engine.deliver import deliver
from bridge.engine.desire import Rendering
from bridge.engine.detect import Detection
from bridge.engine.fetch import fetch
from bridge.engine.guard import GuardPolicy
from bridge.engine.intake import Intake
from bridge.engine.lane import Lane
from bridge.engine.leavers import Leaving
from bridge.engine.normalise import Normalised, normalise
from bridge.engine.refresh import refresh
from bridge.engine.retry import RetryPolicy
from bridge.engine.views import Scope
from bridge.mapping import TargetMapping, load_mapping
from bridge.ports import Delivery, EntityRow, Hold, Run, Store, TargetState
from tests.support.stores import new_store

TOWN = "101"
SCHOOL = "101001"
OTHER_SCHOOL = "101002"
TARGET = TargetId("101/platform")
MORNING = datetime(2026, 8, 11, 6, 0, tzinfo=UTC)
MAIN = Code("main", "Hovedgruppe")
MOTHER = Code("mother", "Mor")
PUPIL = Code("student", "Elev")
TEACHER = Code("teacher", "Lærer")
LEADER = Code("leader", "Ledelse")


# ---------------------------------------------------------------- records


def header(
    number: str = SCHOOL,
    *,
    at: datetime = MORNING,
    name: str | None = "Skolen",
    times: Mapping[str, datetime] | None = None,
) -> Header:
    sources = {"KMD": at} if times is None else times
    return Header(number, name, at, tuple(ImportSource(n, t, "2026/2027") for n, t in sources.items()))


def human(user: str, **fields: Any) -> Person:
    return Person(**{"user_id": user, "given_name": user.title(), "family_name": "Holm", **fields})


def group(identity: str, name: str | None = None, **fields: Any) -> GroupRecord:
    return GroupRecord(f"Group[{identity}]", identity, name or f"Klasse {identity}", MAIN, **fields)


def parent(user: str, *, custody: bool = True, **fields: Any) -> ContactRecord:
    return ContactRecord(f"Contact[{user}]", human(user, **fields), MOTHER, custody, 1)


def pupil(
    user: str,
    main: str = "1A",
    groups: Sequence[str] = (),
    *,
    contacts: Sequence[ContactRecord] = (),
    source: str = "KMD",
    local: str | None = None,
    level: str | None = None,
    **fields: Any,
) -> PersonRecord:
    """A pupil's record, its group ids as a source gives them: the main group first."""
    role = AffiliationRecord(
        Role.STUDENT, (PUPIL,), level, main, tuple(dict.fromkeys((main, *groups))), contacts=tuple(contacts)
    )
    return PersonRecord(f"Person[{user}]", source, local or f"L-{user}", human(user, **fields), role)


def teacher(
    user: str,
    groups: Sequence[str] = (),
    *,
    roles: Sequence[Code] = (TEACHER,),
    source: str = "KMD",
    local: str | None = None,
    short_name: str | None = None,
    **fields: Any,
) -> PersonRecord:
    role = AffiliationRecord(Role.EMPLOYEE, tuple(roles), group_ids=tuple(groups), short_name=short_name)
    return PersonRecord(f"Employee[{user}]", source, local or f"L-{user}", human(user, **fields), role)


def external(user: str, groups: Sequence[str] = (), *, source: str = "KMD", **fields: Any) -> PersonRecord:
    role = AffiliationRecord(Role.EXTERNAL, (Code("consultant", "Ekstern"),), group_ids=tuple(groups))
    return PersonRecord(f"Extern[{user}]", source, f"L-{user}", human(user, **fields), role)


def found(*records: Record, head: Header | None = None) -> Normalised:
    """The entities of one institution's records."""
    return normalise([head or header(), *records])


def key_id(kind: Kind, *key: str) -> CanonicalId:
    return canonical_id(TOWN, kind, key)


def person_id(user: str) -> CanonicalId:
    return key_id(Kind.PERSON, user)


def group_id(group: str, school: str = SCHOOL) -> CanonicalId:
    return key_id(Kind.GROUP, school, group)


# ---------------------------------------------------------------- a source by script


class FakeSource:
    """Has what it was offered last, remembers what was taken, and parses by looking up its own documents."""

    def __init__(self) -> None:
        self.offered: list[Snapshot | SourceFailure] = []
        self.taken_digests: list[str] = []
        self.parsed: list[str] = []
        self.failure: SourceUnavailable | SourceUnauthorised | None = None
        self._documents: dict[bytes, tuple[Record, ...] | SnapshotInvalid] = {}

    def offer(
        self,
        *records: Record,
        head: Header | None = None,
        expected: str | None = SCHOOL,
        digest: str | None = None,
        refused: SnapshotInvalid | None = None,
    ) -> Snapshot:
        """Offer one more document; its digest leaves the export time aside, as a real source's does."""
        head = head or header()
        content = repr((head.institution_number, head.institution_name, head.sources, records, refused))
        body = repr((head, content)).encode()
        self._documents[body] = refused or (head, *records)
        digest = digest or sha256(content.encode()).hexdigest()
        snapshot = Snapshot(body, digest, "fake://export", expected, export_time=head.export_time)
        self.offered.append(snapshot)
        return snapshot

    def snapshots(self) -> Iterator[Snapshot | SourceFailure]:
        if self.failure is not None:
            raise self.failure
        yield from self.offered

    def parse(self, snapshot: Snapshot) -> Iterator[Record]:
        self.parsed.append(snapshot.digest)
        document = self._documents[snapshot.body]
        if isinstance(document, SnapshotInvalid):
            raise document
        yield from document

    def taken(self, snapshot: Snapshot) -> None:
        self.taken_digests.append(snapshot.digest)


# ---------------------------------------------------------------- a target by script


Answer = Outcome | Exception


class FakeTarget:
    """Answers as its script says, then as a healthy target that keeps what it is sent.

    `script` is used up in order, one entry a command; `about` answers for one entity as long as it stands there;
    `before` is called with each batch before anything of it is looked at.
    """

    def __init__(self, capabilities: Capabilities | None = None) -> None:
        self.capabilities = capabilities or Capabilities(references="remote")
        self.batches: list[list[Command]] = []
        self.reached: list[Command] = []
        self.documents: dict[str, Mapping[str, Any]] = {}
        self.script: list[Answer] = []
        self.about: dict[str, Answer] = {}
        self.before: Callable[[Sequence[Command]], None] = lambda batch: None
        self._numbers = count(1)

    @property
    def commands(self) -> list[Command]:
        return [command for batch in self.batches for command in batch]

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        self.batches.append(list(batch))
        self.before(batch)
        for command in batch:
            self.reached.append(command)
            yield self._answer(command)

    def probe(self) -> None:
        """It is always there."""

    def _answer(self, command: Command) -> Outcome:
        answer = self.script.pop(0) if self.script else self.about.get(command.id)
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer
        if command.document is None:
            self.documents.pop(command.id, None)
            return Delivered()
        self.documents[command.id] = command.document
        return Delivered(command.remote_id or f"remote-{next(self._numbers)}")


# ---------------------------------------------------------------- a clock by hand


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = MORNING

    def now(self) -> datetime:
        return self.at

    def forward(self, **span: float) -> None:
        self.at += timedelta(**span)


# ---------------------------------------------------------------- mappings


PLATFORM = """
mapping: test/platform
purpose: Teaching
resources:
  User:
    entity: person
    when: {kinds: [student, employee]}
    fields:
      userName: {from: user_id, required: true}
      givenName: {from: given_name}
      familyName: {from: family_name}
      email: {from: email}
  Group:
    entity: group
    fields:
      displayName: {from: name, required: true}
      members:
        - value: {from: members}
"""


@cache
def mapping_of(text: str = PLATFORM) -> TargetMapping:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mapping.yaml"
        path.write_text(text, encoding="utf-8")
        return load_mapping(str(path))


# ---------------------------------------------------------------- witnesses


@dataclass(slots=True)
class Diary:
    """A witness of everything: what it was told, in order."""

    runs: list[Run] = field(default_factory=list)
    outcomes: list[tuple[Delivery, Outcome]] = field(default_factory=list)
    pauses: list[TargetState] = field(default_factory=list)
    resumptions: list[TargetState] = field(default_factory=list)
    crashes: list[Exception] = field(default_factory=list)
    files: list[HandedOver] = field(default_factory=list)
    files_failed: int = 0

    def run_ended(self, run: Run, detection: Detection | None) -> None:
        self.runs.append(run)

    def delivered(self, target: str, delivery: Delivery, outcome: Outcome, at: datetime) -> None:
        self.outcomes.append((delivery, outcome))

    def paused(self, before: TargetState, after: TargetState) -> None:
        self.pauses.append(after)

    def resumed(self, before: TargetState) -> None:
        self.resumptions.append(before)

    def crashed(self, target: str, error: Exception) -> None:
        self.crashes.append(error)

    def handed_over(self, target: str, what: HandedOver) -> None:
        self.files.append(what)

    def hand_over_failed(self, target: str) -> None:
        self.files_failed += 1

    @property
    def ends(self) -> list[tuple[str, str | None]]:
        return [(run.result, run.reason) for run in self.runs]


# ---------------------------------------------------------------- the bench


class Bench:
    """One municipality with one target, everything hand-held."""

    def __init__(
        self,
        *,
        mapping: TargetMapping | None = None,
        capabilities: Capabilities | None = None,
        institutions: frozenset[str] | None = None,
        policy: GuardPolicy | None = None,
        member: str = "",
    ) -> None:
        self.member, self.vendor = member, ""
        self.store: Store = new_store()
        self.clock = Hands()
        self.source = FakeSource()
        self.target = FakeTarget(capabilities)
        self.diary = Diary()
        self.policy = policy or GuardPolicy()
        self.chance = 0.5
        self.rendering = Rendering(TARGET, Scope(TOWN), mapping or mapping_of())
        self.institutions = institutions
        self.target_policy = AT_TARGETS
        self.leaving = Leaving()
        self.book = AuditBook(b"key", "tests", self.clock.now, member=member)
        self._ids = count(1)
        self._seconds = count()

    # ------------------------------------------------------------ parts

    def new_id(self) -> str:
        return f"id-{next(self._ids)}"

    @property
    def intake(self) -> Intake:
        return Intake(
            TOWN,
            self.institutions,
            self.store,
            self.source,
            self.policy,
            [self.rendering],
            self.book,
            self.clock.now,
            self.new_id,
        )

    @property
    def lane(self) -> Lane:
        return Lane(
            self.rendering,
            self.target,
            self.store,
            self.book,
            RetryPolicy(),
            Breaker(),
            self.clock.now,
            lambda: self.chance,
            self.new_id,
            policy=self.target_policy,
            leaving=replace(self.leaving, grace=self.policy.deletion_grace),
            member=self.member,
            vendor=self.vendor,
        )

    # ------------------------------------------------------------ intake

    def take(self, *records: Record, head: Header | None = None, **options: Any) -> tuple[str, str | None]:
        """Offer one document, take it in, and say how that ended. Without `head` it is a second younger."""
        self.source.offered.clear()
        younger = header(at=MORNING + timedelta(seconds=next(self._seconds)), times={"KMD": MORNING})
        self.source.offer(*records, head=head or younger, **options)
        return self.fetch()[-1]

    def fetch(self) -> list[tuple[str, str | None]]:
        """Take in all that is offered; returns how each ended."""
        before = len(self.diary.runs)
        refresh(self.store, self.rendering, self.policy, self.book, self.clock.now)
        fetch(self.intake, self.diary)
        return self.diary.ends[before:]

    def refresh(self, mapping: TargetMapping | None = None) -> bool:
        if mapping is not None:
            self.rendering = replace(self.rendering, mapping=mapping)
        return refresh(self.store, self.rendering, self.policy, self.book, self.clock.now)

    def apply_approved(self) -> int:
        return apply_approved(self.intake, self.diary)

    def release(self) -> int:
        return release(self.store, self.rendering, self.policy, self.book, self.clock.at)

    def decide(self, number: int, *, approve: bool, by: str = "anna", **how: Any) -> None:
        decide_hold(self.store, self.book, number, approve=approve, by=by, now=self.clock.now(), **how)

    def holds(self, *states: str) -> list[Hold]:
        with self.store.read() as reader:
            return reader.holds(states or None)

    # ------------------------------------------------------------ delivery

    def deliver(self) -> int:
        return deliver(self.lane, self.diary)

    def drain(self, limit: int = 200) -> list[Command]:
        """Deliver until nothing is due; returns the commands that went out."""
        before = len(self.target.commands)
        for _ in range(limit):
            if not self.deliver():
                return self.target.commands[before:]
        raise AssertionError("deliveries never come to an end")

    def delivery(self, identity: CanonicalId) -> Delivery:
        with self.store.read() as reader:
            row = reader.delivery(TARGET, identity)
        assert row is not None
        return row

    def target_state(self) -> TargetState:
        with self.store.read() as reader:
            return reader.target_state(TARGET)

    def audit(self) -> list[dict[str, Any]]:
        with self.store.read() as reader:
            return [msgspec.json.decode(row.record) for row in reader.audit_rows(0, 100_000)]

    # ------------------------------------------------------------ state

    def entities(self, kind: Kind) -> dict[Key, Entity]:
        return living(self.store, kind)


def rows_of(store: Store, kind: Kind) -> dict[Key, EntityRow]:
    with store.read() as reader:
        return {row.key: row for row in reader.scan(TOWN, kind, None, 100_000)}


def living(store: Store, kind: Kind) -> dict[Key, Entity]:
    """The living entities of a kind."""
    return {
        key: decode_entity(kind, row.body) for key, row in rows_of(store, kind).items() if row.body is not None
    }

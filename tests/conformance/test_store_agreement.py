"""Whatever is done in whatever order, the store on SQLite and the one on dicts end up telling the same."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from bridge.adapters.store_sql import open_throwaway
from bridge.domain.entities import Kind
from bridge.ports import Desired, EntityRow, Reader, UnitOfWork
from bridge.testing.memory import MemoryStore
from bridge.testing.store_samples import OTHER_TARGET, TARGET, TOWN, event, identity_of, later

TOWNS = (TOWN, "265")
SCHOOLS = ("", "280123", "280456")
KINDS = (Kind.PERSON, Kind.MEMBERSHIP, Kind.CONTRIBUTION)
NAMES = ("a", "b", "ø'\"", "c\x7f")
TARGETS = (TARGET, OTHER_TARGET)
IDS = tuple(map(identity_of, NAMES))

towns = st.sampled_from(TOWNS)
targets = st.sampled_from(TARGETS)
names = st.sampled_from(NAMES)
some_ids = st.lists(st.sampled_from(IDS), max_size=5)
hashes = st.sampled_from([b"1", b"2", b"3"])
maybe_hashes = st.none() | hashes
times = st.integers(0, 6).map(later)
reasons = st.none() | st.sampled_from(["waiting", "refused"])
entity_rows = st.builds(
    EntityRow,
    kind=st.sampled_from(KINDS),
    key=st.lists(names, min_size=1, max_size=2).map(tuple),
    institution=st.sampled_from(SCHOOLS),
    id=st.sampled_from(IDS),
    version=st.integers(1, 3),
    hash=hashes,
    body=st.none() | st.binary(max_size=3),
    person=st.none() | names,
    other=st.none() | names,
)
desires = st.builds(
    lambda target, name, value, rank, resource: Desired(
        target, identity_of(name), Kind.PERSON, (name,), "", resource, rank, value
    ),
    targets,
    names,
    maybe_hashes,
    st.integers(0, 3),
    st.sampled_from(["Users", "Groups"]),
)
changes = st.fixed_dictionaries(
    {
        "confirmed": maybe_hashes,
        "confirmed_body": st.none() | st.binary(max_size=3),
        "remote_id": st.none() | names,
        "etag": st.none() | names,
        "in_doubt": st.booleans(),
        "attempts": st.integers(0, 3),
        "next_attempt_at": times,
        "state": st.sampled_from(["pending", "rejected"]),
        "reason": reasons,
        "updated_at": times,
        "desired": maybe_hashes,
        "rank": st.integers(0, 3),
    }
)


class Agreement(RuleBasedStateMachine):
    """Every rule is done in both stores; an open unit of work may end in a commit or a rollback."""

    def __init__(self) -> None:
        super().__init__()
        self.stores = (open_throwaway(), MemoryStore())
        self.attempts = ()
        self._begin()

    def _begin(self) -> None:
        self.open = [store.write() for store in self.stores]
        self.units: list[UnitOfWork] = [unit.__enter__() for unit in self.open]

    def _end(self) -> None:
        sql, memory = map(told, self.units)
        for unit in self.open:
            unit.__exit__(None, None, None)
        assert sql == memory

    def both(self, name: str, *arguments: object) -> object:
        sql, memory = (getattr(unit, name)(*arguments) for unit in self.units)
        assert sql == memory
        return sql

    @rule()
    def commit(self) -> None:
        self._end()
        self._begin()

    @rule()
    def roll_back(self) -> None:
        self.both("rollback")
        self.commit()

    @rule(town=towns, rows=st.lists(entity_rows, max_size=6))
    def put_entities(self, town: str, rows: list[EntityRow]) -> None:
        self.both("put_entities", town, rows)

    @rule(town=towns, some=st.lists(names.map(event), max_size=3))
    def append_events(self, town: str, some: list[object]) -> None:
        self.both("append_events", town, some)

    @rule(rows=st.lists(desires, max_size=6), now=times)
    def put_desired(self, rows: list[Desired], now: object) -> None:
        self.both("put_desired", rows, now)

    @rule(place=targets, now=times, limit=st.integers(0, 3))
    def begin_what_is_due(self, place: str, now: object, limit: int) -> None:
        self.attempts = tuple(self.both("due", place, now, limit))
        self.both("begin_attempts", place, [row.id for row in self.attempts])

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def put_deliveries(self, data: st.DataObject) -> None:
        self.both("put_deliveries", [replace(row, **data.draw(changes)) for row in self.attempts])

    @rule(place=targets, reason=reasons, now=times)
    def wake(self, place: str, reason: str | None, now: object) -> None:
        self.both("wake", place, reason, now)

    @rule(place=st.none() | targets, ids=st.none() | some_ids.map(set).map(sorted), now=times)
    def retry_rejected(self, place: str | None, ids: object, now: object) -> None:
        self.both("retry_rejected", place, ids, now)

    @rule(place=targets, ids=some_ids)
    def forget_confirmed(self, place: str, ids: object) -> None:
        self.both("forget_confirmed", place, ids)

    def teardown(self) -> None:
        self._end()
        for store in self.stores:
            store.close()


def told(reader: Reader) -> list[object]:
    """Everything that a reader tells of entities, events and deliveries."""
    return [
        [told_of_entities(reader, town, kind) for town in TOWNS for kind in KINDS],
        [(reader.events(town, 0, 99), reader.events(town, 1, 2), reader.last_sequence(town)) for town in TOWNS],
        [told_of_deliveries(reader, target) for target in TARGETS],
        [reader.deliveries(None, state, None, 99) for state in (None, "due", "rejected", "confirmed")],
    ]


def told_of_entities(reader: Reader, town: str, kind: Kind) -> list[object]:
    return [
        [reader.hashes(town, school, kind) for school in SCHOOLS],
        reader.entities(town, kind, [(name,) for name in NAMES]),
        reader.entities_by_person(town, kind, NAMES[:2]),
        reader.entities_by_other(town, kind, NAMES[2:]),
        reader.scan(town, kind, ("a",), 3),
        [reader.shared_people(town, school) for school in SCHOOLS],
        reader.entity_counts(town),
    ]


def told_of_deliveries(reader: Reader, target: str) -> list[object]:
    return [
        [reader.due(target, later(seconds), 2) for seconds in (0, 3, 9)],
        reader.next_due_at(target),
        reader.delivery_counts(target, later(3)),
        reader.desired_hashes(target, IDS),
        reader.remote_ids(target, IDS),
        reader.deliveries(target, "due", IDS[0], 2),
    ]


TestAgreement = Agreement.TestCase
TestAgreement.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

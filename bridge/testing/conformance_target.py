"""A target that passes these tests can be trusted with a retry: it tells what happened to each entity, in
order, says who must act when all of it fails, and sends nothing but the document.

Subclass `HttpTargetConformance` and give it three fixtures: `target`, `samples` (see `Samples.of`) and `receiver`,
the other side, empty at first and made to fail at will (`ProxiedReceiver` does that to any HTTP server). A target
that calls nobody, but keeps what it is told for others to fetch, subclasses `TargetConformance`, which is the same
without the failures of the other side; there `ShelfReceiver` is the shelf and the receiver at once. What a suite
cannot know stays with the author: how documents look at the receiver, and which conflicts it has.
A target that can be read back subclasses `HttpReadsBackConformance` or `ReadsBackConformance` too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

import pytest

from bridge.connector import (
    Command,
    Compares,
    ContractBroken,
    Deferred,
    Delivered,
    Entry,
    Outcome,
    ReadsBack,
    Rejected,
    Remote,
    Shelf,
    Shelved,
    Target,
    TargetUnauthorised,
    TargetUnavailable,
    Unchanged,
    differing_fields,
)
from bridge.domain.changes import Operation
from bridge.domain.ids import canonical_id
from bridge.testing.faulty_proxy import Fault, FaultyProxy
from bridge.testing.memory_shelf import MemoryShelf

MUNICIPALITY = "9999"
_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_WAIT = timedelta(seconds=7)


class Receiver(Protocol):
    """The other side of a target."""

    def bodies(self) -> Sequence[bytes]:
        """The bodies of all requests so far, those without one left out."""
        ...

    def count(self) -> int:
        """How many entities it holds."""
        ...


class FailingReceiver(Receiver, Protocol):
    """One that is asked over HTTP."""

    def fail(self, status: int, headers: Mapping[str, str] | None = None, times: int | None = None) -> None:
        """Answer the next `times` requests with this status (None: all, until `heal`)."""
        ...

    def heal(self) -> None: ...


class ProxiedReceiver:
    """Any HTTP server behind a `FaultyProxy`; `count` says how many entities the server holds."""

    def __init__(self, proxy: FaultyProxy, count: Callable[[], int]) -> None:
        self._proxy = proxy
        self.count = count

    def fail(self, status: int, headers: Mapping[str, str] | None = None, times: int | None = None) -> None:
        self._proxy.fault = Fault("status", code=status, headers=headers or {}, remaining=times)

    def heal(self) -> None:
        self._proxy.fault = None

    def bodies(self) -> Sequence[bytes]:
        return [request.body for request in self._proxy.requests if request.body]


class ShelfReceiver:
    """A shelf that remembers every document that was put on it."""

    def __init__(self) -> None:
        self._shelf: Shelf = MemoryShelf(lambda: _TIME)
        self._bodies: list[bytes] = []
        self._live: set[tuple[str, str]] = set()

    def bodies(self) -> Sequence[bytes]:
        return list(self._bodies)

    def count(self) -> int:
        """How many documents are there and are no mark of something gone."""
        return len(self._live)

    def put(self, entries: Iterable[Entry]) -> int:
        told = list(entries)
        changed = self._shelf.put(told)
        self._bodies += [json.dumps(entry.document).encode() for entry in told]
        for entry in told:
            (self._live.discard if entry.is_gone else self._live.add)((entry.collection, entry.id))
        return changed

    def remove(self, collection: str, ids: Iterable[str]) -> None:
        told = list(ids)
        self._shelf.remove(collection, told)
        self._live -= {(collection, one) for one in told}

    def get(self, collection: str, id: str) -> Shelved | None:  # noqa: A002 - the port's own name
        return self._shelf.get(collection, id)

    def all(self, collection: str, *, after: int = 0) -> Iterator[Shelved]:
        return self._shelf.all(collection, after=after)

    def version(self) -> int:
        return self._shelf.version()

    def forget_gone(self, before: datetime) -> int:
        return self._shelf.forget_gone(before)

    def note(self, name: str) -> str | None:
        return self._shelf.note(name)

    def set_note(self, name: str, value: str) -> None:
        self._shelf.set_note(name, value)


@dataclass(frozen=True, slots=True)
class Samples:
    """One entity's life, and the creation of another entity. The suite adds what the target told meanwhile."""

    create: Command
    update: Command
    delete: Command
    other: Command

    @classmethod
    def of(
        cls,
        resource: str,
        kind: str,
        first: Mapping[str, str],
        second: Mapping[str, str],
        render: Callable[[str, str], Mapping[str, Any]],
    ) -> Self:
        """Make samples of entities with the identities `first` and `second` (key fields by name).

        `render(id, name)` gives the document of the entity with this canonical id; the update is a change
        of its name.
        """
        one, two = _create(resource, kind, first), _create(resource, kind, second)
        was, becomes = render(one.id, "Astrid"), render(one.id, "Birgit")
        return cls(
            create=replace(one, document=was),
            update=_step(one, 2, Operation.UPDATED, becomes, was),
            delete=_step(one, 3, Operation.DELETED, None, becomes),
            other=replace(two, document=render(two.id, "Carsten")),
        )


def _create(resource: str, kind: str, identity: Mapping[str, str]) -> Command:
    key = tuple(identity.values())
    identifier = canonical_id(MUNICIPALITY, kind, key)
    return Command(
        operation=Operation.CREATED,
        resource=resource,
        kind=kind,
        id=identifier,
        key=key,
        identity={"id": identifier, **identity},
        document={},
        previous=None,
        remote_id=None,
        etag=None,
        in_doubt=False,
        municipality=MUNICIPALITY,
        institution=identity.get("institution_number", ""),
        version=1,
        sequence=1,
        cause="conformance",
        time=_TIME,
        delivery_key=f"{identifier}-1",
    )


def _step(
    command: Command,
    version: int,
    operation: Operation,
    document: Mapping[str, Any] | None,
    previous: Mapping[str, Any],
) -> Command:
    return replace(
        command,
        operation=operation,
        document=document,
        previous=previous,
        version=version,
        sequence=version,
        delivery_key=f"{command.id}-{version}",
    )


class TargetConformance:
    """The promises of `Target` that the engine relies on."""

    def sent_object(self, body: bytes) -> Mapping[str, Any]:
        """Return the entity in a request's body. Override it where the body has an envelope."""
        entity = json.loads(body)
        assert isinstance(entity, dict)
        return entity

    def stays(self, document: Mapping[str, Any]) -> Collection[str]:
        """Return what may stay of a document when its entity is deleted, besides its key; override it.

        A mark that others fetch has to say where what is gone was. Nothing personal may be in it.
        """
        return ()

    def test_each_command_has_one_outcome_in_order(
        self, target: Target, samples: Samples, receiver: Receiver
    ) -> None:
        outcomes = list(target.apply([samples.create, samples.other]))
        assert [type(outcome) for outcome in outcomes] == [Delivered, Delivered]
        assert receiver.count() == 2

    def test_no_commands_have_no_outcomes(self, target: Target) -> None:
        assert list(target.apply([])) == []

    def test_an_entity_is_created_changed_and_deleted(
        self, target: Target, samples: Samples, receiver: Receiver
    ) -> None:
        created = _apply(target, samples.create)
        assert isinstance(created, Delivered)
        assert receiver.count() == 1
        updated = _apply(target, _after(created, samples.update))
        assert isinstance(updated, Delivered)
        assert receiver.count() == 1
        assert isinstance(_apply(target, _after(updated, samples.delete)), Delivered)
        assert receiver.count() == 0

    def test_a_create_whose_outcome_was_lost_ends_in_one_entity(
        self, target: Target, samples: Samples, receiver: Receiver
    ) -> None:
        first = _apply(target, samples.create)
        again = _apply(target, replace(samples.create, in_doubt=True))
        assert isinstance(first, Delivered)
        assert isinstance(again, Delivered | Unchanged)
        assert again.remote_id == first.remote_id
        assert receiver.count() == 1

    def test_deleting_twice_is_fine(self, target: Target, samples: Samples, receiver: Receiver) -> None:
        delete = _after(_apply(target, samples.create), samples.delete)
        for command in (delete, replace(delete, in_doubt=True), replace(delete, remote_id=None, etag=None)):
            assert isinstance(_apply(target, command), Delivered | Unchanged)
        assert receiver.count() == 0

    def test_what_is_gone_does_not_come_into_being_by_being_put_to_sleep(
        self, target: Target, samples: Samples, receiver: Receiver
    ) -> None:
        if samples.create.resource not in target.capabilities.inactive:
            pytest.skip("this target puts nothing to sleep")
        created = _apply(target, samples.create)
        _apply(target, _after(created, samples.delete))
        sleep = replace(_after(created, samples.update), may_create=False)
        assert _apply(target, sleep) == Unchanged(is_gone=True)
        assert receiver.count() == 0

    def test_nothing_but_the_document_leaves(self, target: Target, samples: Samples, receiver: Receiver) -> None:
        created = _apply(target, samples.create)
        _apply(target, _after(created, samples.update))
        sent = [self.sent_object(body) for body in receiver.bodies()]
        assert sent == [samples.create.document, samples.update.document]

    def test_a_deletion_tells_who_and_nothing_else(
        self, target: Target, samples: Samples, receiver: Receiver
    ) -> None:
        created = _apply(target, samples.create)
        before = len(receiver.bodies())
        _apply(target, _after(created, samples.delete))
        told = {leaf for body in receiver.bodies()[before:] for leaf in _leaves(json.loads(body))}
        assert samples.delete.previous is not None
        may_stay = {*samples.delete.identity.values(), *self.stays(samples.delete.previous)}
        assert told.isdisjoint({*_leaves(samples.delete.previous)} - may_stay)


class HttpTargetConformance(TargetConformance):
    """The same, and what is told when the other side of an HTTP target fails."""

    def test_a_target_that_is_away_says_when_to_come_back(
        self, target: Target, samples: Samples, receiver: FailingReceiver
    ) -> None:
        receiver.fail(503, {"Retry-After": str(int(_WAIT.total_seconds()))})
        with pytest.raises(TargetUnavailable) as caught:
            _apply(target, samples.create)
        assert caught.value.retry_after == _WAIT
        with pytest.raises(TargetUnavailable):
            target.probe()
        receiver.heal()
        target.probe()
        assert isinstance(_apply(target, samples.create), Delivered)

    def test_a_refused_credential_is_nobodys_fault_but_the_operators(
        self, target: Target, samples: Samples, receiver: FailingReceiver
    ) -> None:
        for status in (401, 403):
            receiver.fail(status)
            with pytest.raises(TargetUnauthorised):
                _apply(target, samples.create)
            with pytest.raises(TargetUnauthorised):
                target.probe()

    def test_a_redirect_breaks_the_contract(
        self, target: Target, samples: Samples, receiver: FailingReceiver
    ) -> None:
        receiver.fail(307, {"Location": "https://192.0.2.1/"})
        with pytest.raises(ContractBroken):
            _apply(target, samples.create)

    def test_a_refused_entity_does_not_stop_the_next(
        self, target: Target, samples: Samples, receiver: FailingReceiver
    ) -> None:
        receiver.fail(400, times=1)
        refused, taken = target.apply([samples.create, samples.other])
        assert isinstance(refused, Rejected)
        assert isinstance(taken, Delivered)
        assert receiver.count() == 1

    def test_a_stumble_over_one_entity_is_tried_again_later(
        self, target: Target, samples: Samples, receiver: FailingReceiver
    ) -> None:
        receiver.fail(500, times=1)
        stumbled, taken = target.apply([samples.create, samples.other])
        assert isinstance(stumbled, Deferred)
        assert isinstance(taken, Delivered)


class ReadsBackConformance:
    """The promises of `ReadsBack`, with the fixtures of `TargetConformance`: subclass both."""

    def test_what_was_delivered_is_read_back_as_it_was_sent(
        self, target: Target, samples: Samples, receiver: Receiver
    ) -> None:
        outcomes = [_apply(target, command) for command in (samples.create, samples.other)]
        found = {remote.id: remote for remote in _read(target, samples)}
        assert found.keys() == {samples.create.id, samples.other.id}
        for command, outcome in zip((samples.create, samples.other), outcomes, strict=True):
            assert isinstance(outcome, Delivered)
            assert found[command.id].remote_id == outcome.remote_id
            assert found[command.id].resource == command.resource
            assert _differing(target, command, found[command.id]) == []

    def test_a_field_that_is_otherwise_is_named(
        self, target: Target, samples: Samples, receiver: Receiver
    ) -> None:
        _apply(target, samples.create)
        (found,) = _read(target, samples)
        assert samples.update.document is not None
        assert samples.create.document is not None
        changed = {k for k, v in samples.update.document.items() if samples.create.document.get(k) != v}
        assert set(_differing(target, samples.update, found)) == changed

    def test_what_was_deleted_is_not_read_back(self, target: Target, samples: Samples, receiver: Receiver) -> None:
        delete = _after(_apply(target, samples.create), samples.delete)
        _apply(target, samples.other)
        _apply(target, delete)
        assert [remote.id for remote in _read(target, samples)] == [samples.other.id]

    def test_an_empty_target_has_nothing(self, target: Target, samples: Samples, receiver: Receiver) -> None:
        assert _read(target, samples) == []

    def test_reading_sends_nothing_and_changes_nothing(
        self, target: Target, samples: Samples, receiver: Receiver
    ) -> None:
        _apply(target, samples.create)
        before = (receiver.count(), len(receiver.bodies()))
        _read(target, samples)
        assert (receiver.count(), len(receiver.bodies())) == before


class HttpReadsBackConformance(ReadsBackConformance):
    """The same, and what is told when an HTTP target cannot be read."""

    def test_what_cannot_be_read_is_never_taken_for_nothing(
        self, target: Target, samples: Samples, receiver: FailingReceiver
    ) -> None:
        _apply(target, samples.create)
        for status, error in _FAILURES.items():
            receiver.fail(status)
            with pytest.raises(error):
                _read(target, samples)
            receiver.heal()
        assert len(_read(target, samples)) == 1


_FAILURES: Mapping[int, type[Exception] | tuple[type[Exception], ...]] = {
    307: ContractBroken,
    401: TargetUnauthorised,
    403: TargetUnauthorised,
    404: (ContractBroken, TargetUnavailable),
    500: TargetUnavailable,
    503: TargetUnavailable,
}


def _read(target: Target, samples: Samples) -> list[Remote]:
    assert isinstance(target, ReadsBack)
    return list(target.read_back([samples.create.resource]))


def _differing(target: Target, command: Command, found: Remote) -> list[str]:
    compare = target.differing if isinstance(target, Compares) else None
    sent = command.document or {}
    if compare is None:
        return list(differing_fields(sent, found.document))
    return list(compare(command.resource, sent, found.document))


def _apply(target: Target, command: Command) -> Outcome:
    (outcome,) = target.apply([command])
    return outcome


def _after(outcome: Outcome, command: Command) -> Command:
    """The command as the engine would send it after this outcome."""
    assert isinstance(outcome, Delivered | Unchanged)
    return replace(command, remote_id=outcome.remote_id, etag=outcome.etag)


def _leaves(value: object) -> Iterator[str]:
    """Every text in a JSON value, names of fields left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _leaves(inner)

"""A made-up school of one run, of which single events are made; nobody in it exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Any

from bridge.connector import Command
from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.ids import Key, canonical_id
from bridge.domain.tracing import span_id, trace_id, traceparent
from bridge.engine.codec import identity_fields

SCHOOL = "999001"
NAMES = ("Ane", "Bo", "Carla", "Dines", "Esther", "Frode", "Gry", "Holger")


@dataclass(slots=True)
class Cast:
    """Makes commands. `town` is this run's own, so that its ids were never told before."""

    town: str
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    cause: str = field(init=False)
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.cause = self.new_id()

    def institution(self) -> Command:
        return self._create(Kind.INSTITUTION, (SCHOOL,), {"institution_number": SCHOOL, "name": "Testskolen"})

    def group(self, group_id: str) -> Command:
        document = {"institution_number": SCHOOL, "group_id": group_id, "name": group_id, "type": "Hovedgruppe"}
        return self._create(Kind.GROUP, (SCHOOL, group_id), {**document, "level": group_id[0]})

    def person(self, **fields: Any) -> Command:
        number = next(self._numbers)
        user_id = f"test{number:04d}"
        document = {
            "user_id": user_id,
            "given_name": NAMES[number % len(NAMES)],
            "family_name": f"Testesen {number}",
        }
        return self._create(Kind.PERSON, (user_id,), {**document, "protected": False, **fields})

    def affiliation(self, person: Command) -> Command:
        (user_id,) = person.key
        document = {"institution_number": SCHOOL, "user_id": user_id, "kind": "student", "roles": ["Elev"]}
        return self._create(
            Kind.AFFILIATION, (SCHOOL, user_id, "student"), {**document, "level": "1", "main_group": "1A"}
        )

    def membership(self, person: Command, group: Command) -> Command:
        (user_id,), (_, group_id) = person.key, group.key
        document = {"institution_number": SCHOOL, "group_id": group_id, "user_id": user_id}
        return self._create(Kind.MEMBERSHIP, (SCHOOL, group_id, user_id), document)

    def changed(self, before: Command, by: int = 1, **fields: Any) -> Command:
        """The same entity some versions later, with other fields."""
        document = {**(before.document or {}), **fields}
        return self._step(before, Operation.UPDATED, document, before.version + by)

    def created(self, before: Command) -> Command:
        """The same entity told anew, as one that was not there, a version later."""
        return self._step(before, Operation.CREATED, before.document or before.previous, before.version + 1)

    def deleted(self, before: Command) -> Command:
        return self._step(before, Operation.DELETED, None, before.version + 1)

    def _step(
        self, before: Command, operation: Operation, document: Mapping[str, Any] | None, version: int
    ) -> Command:
        message = self.new_id()
        return replace(
            before,
            operation=operation,
            document=document,
            previous=before.document,
            version=version,
            sequence=next(self._numbers),
            time=self.now(),
            delivery_key=message,
            traceparent=self._traceparent(message),
        )

    def _create(self, kind: Kind, key: Key, document: Mapping[str, Any]) -> Command:
        message = self.new_id()
        return Command(
            operation=Operation.CREATED,
            resource=str(kind),
            kind=kind,
            id=canonical_id(self.town, kind, key),
            key=key,
            identity=identity_fields(kind, key),
            document=document,
            previous=None,
            remote_id=None,
            etag=None,
            in_doubt=False,
            municipality=self.town,
            institution=SCHOOL,
            version=1,
            sequence=next(self._numbers),
            cause=self.cause,
            time=self.now(),
            delivery_key=message,
            traceparent=self._traceparent(message),
        )

    def _traceparent(self, message: str) -> str:
        return traceparent(trace_id(self.cause), span_id(message))

"""A made-up school of one run, of which single events are made; nobody in it exists."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Any

from bridge.connector import Command
from bridge.domain.changes import Operation
from bridge.domain.entities import PUBLISHED_KINDS, Kind
from bridge.domain.ids import Key, canonical_id
from bridge.domain.tracing import span_id, trace_id, traceparent
from bridge.engine.codec import identity_fields

SCHOOL = "999001"
TEXTS = {
    "Danish letters": "Åse Øjvind Ægidius",
    "apostrophe and quotes": 'O\'Neill "Bob"',
    "SQL": "Robert'); DROP TABLE students;--",
    "formula": "=1+1",
    "formula with @": "@SUM(A1)",
    "HTML": "-2+3 <b>&amp;</b>",
    "combining accent": "naïve\N{COMBINING ACUTE ACCENT}",
    "emoji": "\N{FAMILY}\N{ZERO WIDTH JOINER}\N{GIRL}",
    "right to left": "عائشة \N{RIGHT-TO-LEFT OVERRIDE}evil",
    "zero width": "zero\N{ZERO WIDTH SPACE}width",
    "the word null": "null",
    "200 characters": "x" * 200,
    "Japanese": "日本語",
}
"""Names that hurt, by what is in them."""
_AFTER_ALL_DAYS = 1_000_001
"""Nothing goes back in the log of a municipality."""
NAMES = ("Ane", "Bo", "Carla", "Dines", "Esther", "Frode", "Gry", "Holger")


@dataclass(slots=True)
class Cast:
    """Makes commands of `kinds`. `town` is this run's own, so that its ids were never told before."""

    town: str
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    kinds: Collection[Kind] = PUBLISHED_KINDS
    cause: str = field(init=False)
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _sequence: count[int] = field(default_factory=lambda: count(_AFTER_ALL_DAYS))

    def __post_init__(self) -> None:
        self.cause = self.new_id()

    def institution(self) -> Command:
        return self._create(Kind.INSTITUTION, (SCHOOL,), {"institution_number": SCHOOL, "name": "Testskolen"})

    def group(self, group_id: str) -> Command:
        document = {"institution_number": SCHOOL, "group_id": group_id, "name": group_id, "type": "main"}
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
        document = {"institution_number": SCHOOL, "user_id": user_id, "kind": "student", "roles": ["pupil"]}
        return self._create(
            Kind.AFFILIATION, (SCHOOL, user_id, "student"), {**document, "level": "1", "main_group": "1A"}
        )

    def guardianship(self, child: Command, contact: Command) -> Command:
        key = (SCHOOL, *child.key, *contact.key)
        document = {**identity_fields(Kind.GUARDIANSHIP, key), "relation": "mother", "custody": True}
        return self._create(Kind.GUARDIANSHIP, key, {**document, "access_level": 1})

    def membership(self, person: Command, group: Command) -> Command:
        (user_id,), (_, group_id) = person.key, group.key
        document = {"institution_number": SCHOOL, "group_id": group_id, "user_id": user_id}
        return self._create(Kind.MEMBERSHIP, (SCHOOL, group_id, user_id), document)

    def changed(self, before: Command, by: int = 1, **fields: Any) -> Command:
        """The same entity some versions later, with other fields."""
        document = {**(before.document or {}), **fields}
        return self._step(before, Operation.UPDATED, document, before.version + by)

    def resent(self, before: Command) -> Command:
        """The same entity a version later and told whole, as to one of whom is not known what it holds."""
        return replace(self.changed(before), previous=None)

    def protected(self, before: Command) -> Command:
        """The same person masked; what was before is not told again."""
        fields: dict[str, Any] = {"given_name": "Navn", "family_name": "Beskyttet", "protected": True}
        return replace(self.changed(before, **fields), previous=None)

    def tried_again(self, before: Command) -> Command:
        """The same event at another attempt, which has a trace of its own."""
        return replace(before, traceparent=self._traceparent(self.new_id()))

    def created(self, before: Command, **fields: Any) -> Command:
        """The same entity told anew, as one that was not there, a version later."""
        document = {**(before.document or before.previous or {}), **fields}
        return self._step(before, Operation.CREATED, document, before.version + 1)

    def deleted(self, before: Command, known: int = 0) -> Command:
        """The end of an entity of which versions up to `known` may have been told."""
        return self._step(before, Operation.DELETED, None, max(before.version, known) + 1)

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
            sequence=next(self._sequence),
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
            sequence=next(self._sequence),
            cause=self.cause,
            time=self.now(),
            delivery_key=message,
            traceparent=self._traceparent(message),
        )

    def _traceparent(self, message: str) -> str:
        return traceparent(trace_id(self.cause), span_id(message))

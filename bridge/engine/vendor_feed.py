"""What a vendor fetches: the changes of what it may see, in order, and all of it as it is now.

An event is a pointer: what it shows is rendered when it is read, by the vendor's mapping and with the protection
that holds then. Each page is in the audit before it leaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.events import Event, attributes, event_type
from bridge.domain.ids import TargetId, name_uuid
from bridge.domain.shelf import Shelved
from bridge.engine.audit import AuditBook
from bridge.engine.desire import Rendered, Rendering
from bridge.engine.vendor_feed_cursor import AtFeed, AtSnapshot, CursorPast
from bridge.engine.vendor_feed_follow import JOURNAL, bodies, floor_of, follow, is_followed, number_at
from bridge.engine.vendor_page import Page, page_of
from bridge.mapping import references, resolve
from bridge.ports import Reader, Store, UnitOfWork

EVENTS, SNAPSHOT = "events", "snapshot"
_NAMESPACE = UUID("7d0c1f3e-5d2b-5b0a-9c11-3f6a4f1f7e90")
_CHUNK = 500

_Told = tuple[Shelved, Rendered | None]


def vendor_target(municipality: str, vendor: str) -> TargetId:
    """The name under which the store keeps what a vendor may see of a municipality."""
    return TargetId(f"{municipality}/vendors/{vendor}")


@dataclass(frozen=True, slots=True)
class VendorFeed:
    """One vendor's view of its municipalities, one rendering each."""

    vendor: str
    store: Store
    renderings: Sequence[Rendering]
    book: AuditBook
    retention: timedelta
    now: Callable[[], datetime]

    @property
    def municipalities(self) -> frozenset[str]:
        return frozenset(one.scope.municipality for one in self.renderings)

    def has_news(self, at: AtFeed) -> bool:
        """Whether anything may have happened behind this place; nothing is written and nothing disclosed."""
        with self.store.read() as reader:
            return any(
                not is_followed(reader, one) or reader.shelf_version(one.target) != at.of(one.scope.municipality)
                for one in self.renderings
            )

    def at_time(self, moment: datetime) -> AtFeed:
        """The place in the feed from which on it tells all that changed since then, and perhaps a little more.

        Raises `CursorPast` where what was gone since is forgotten.
        """
        with self.store.read() as reader:
            return AtFeed({one.scope.municipality: number_at(reader, one, moment) for one in self.renderings})

    def events(self, at: AtFeed, limit: int, known: Collection[str] = ()) -> Page:
        """A page of the feed. Raises `CursorPast` where what is gone is forgotten.

        `known` are the etags of what the vendor has: that is neither sent nor audited again.
        """
        if not self.has_news(at):
            return page_of([], at, known, is_empty=True)
        with self.store.write() as uow:
            self._follow(uow, at)
            come = dict(at.numbers)
            shown: list[dict[str, Any]] = []
            records: list[dict[str, Any]] = []
            for one in self.renderings:
                after = at.of(one.scope.municipality)
                entries = uow.shelved_after(one.target, JOURNAL, after, limit - len(shown))
                told = _told(uow, one, entries)
                come[one.scope.municipality] = entries[-1].number if entries else after
                shown += [_event(one, after, *each) for each in told]
                records += self._record(EVENTS, one, after, told)
                if len(shown) >= limit:
                    break
            page = page_of(shown, AtFeed(come), known, is_empty=not shown)
            self.book.write(uow, records if page.body is not None else ())
        return page

    def snapshot(self, at: AtSnapshot | None, limit: int, known: Collection[str] = ()) -> Page:
        """A page of the state. Its first page fixes where the feed goes on, and all pages tell it.

        What changes meanwhile is left to the feed or shown as it is by then. Raises `CursorPast`.
        """
        with self.store.write() as uow:
            self._follow(uow, at.feed if at else None)
            feed = at.feed if at else AtFeed(self._versions(uow))
            come = dict(at.numbers) if at else {}
            shown: list[dict[str, Any]] = []
            records: list[dict[str, Any]] = []
            for one in self.renderings:
                home = one.scope.municipality
                after = come.get(home, 0)
                told, come[home] = _living(uow, one, after, feed.of(home), limit - len(shown))
                shown += [_entity(one, *each) for each in told]
                records += self._record(SNAPSHOT, one, after, told)
                if len(shown) >= limit:
                    break
            is_over = all(come.get(home, 0) >= feed.of(home) for home in self.municipalities)
            following = None if is_over else AtSnapshot(feed, come)
            body = {"cursor": feed.text(), "entities": shown}
            page = page_of(body, following, known, is_empty=not shown)
            self.book.write(uow, records if page.body is not None else ())
        return page

    # ------------------------------------------------------------ where it stands

    def _follow(self, uow: UnitOfWork, at: AtFeed | None) -> None:
        for one in self.renderings:
            follow(uow, one, self.retention, self.now())
        if at is not None:
            self._check(uow, at)

    def _versions(self, reader: Reader) -> dict[str, int]:
        return {one.scope.municipality: reader.shelf_version(one.target) for one in self.renderings}

    def _check(self, reader: Reader, at: AtFeed) -> None:
        """Whoever begins at nothing has nothing that could be gone."""
        for one in self.renderings:
            number = at.of(one.scope.municipality)
            if number and not floor_of(reader, one) <= number <= reader.shelf_version(one.target):
                raise CursorPast

    # ------------------------------------------------------------ what is written down

    def _record(self, what: str, rendering: Rendering, after: int, told: Sequence[_Told]) -> list[dict[str, Any]]:
        """Who was shown what, without a value and without saying of whom; none for nothing."""
        if not told:
            return []
        made = [one for _, one in told if one is not None]
        kinds = Counter(str(one.document["kind"]) for one, _ in told)
        return [
            {
                "kind": "disclosure.fetched",
                "vendor": self.vendor,
                "municipality": rendering.scope.municipality,
                "target": rendering.target,
                "what": what,
                "from": after + 1,
                "to": told[-1][0].number,
                "count": len(told),
                "deleted": len(told) - len(made),
                "masked": sum(one.is_masked for one in made),
                "entities": [f"{kind} {number}" for kind, number in sorted(kinds.items())],
                "fields": sorted({f"{one.resource.name}.{name}" for one in made for name in one.body}),
                "purpose": rendering.mapping.purpose,
                "mapping": rendering.mapping.digest,
            }
        ]


def _told(reader: Reader, rendering: Rendering, entries: Sequence[Shelved]) -> list[_Told]:
    """Entries with what they show now; the journal has just been brought up to date, so those that live do."""
    made = bodies(reader, rendering, entries)
    return [(one, made.get(one.id)) for one in entries if one.is_gone or one.id in made]


def _living(reader: Reader, rendering: Rendering, after: int, until: int, limit: int) -> tuple[list[_Told], int]:
    """Up to so many of those that live, by the number of their last change, and how far that came."""
    found: list[_Told] = []
    while len(found) < limit and after < until:
        page = reader.shelved_after(rendering.target, JOURNAL, after, min(_CHUNK, limit - len(found)))
        page = [one for one in page if one.number <= until]
        found += [each for each in _told(reader, rendering, page) if each[1] is not None]
        after = page[-1].number if page else until
    return found, after


# ---------------------------------------------------------------- how it is said


def _event(rendering: Rendering, after: int, one: Shelved, made: Rendered | None) -> dict[str, Any]:
    """One CloudEvent. Whom the vendor has not seen up to `after` is created, whatever came since."""
    if made is None:
        operation = Operation.DELETED
    else:
        operation = Operation.CREATED if after <= one.document["began"] else Operation.UPDATED
    event = Event(
        sequence=one.number,
        id=name_uuid(_NAMESPACE, f"{rendering.target}/{one.number}/{operation}"),
        type=event_type(Kind(one.document["kind"]), operation),
        municipality=rendering.scope.municipality,
        institution=one.document["institution"],
        subject=one.id,
        key=(),
        version=one.number,
        time=one.changed_at,
        cause=one.document["cause"],
        data=b"",
    )
    told = {name: value for name, value in attributes(event).items() if value != ""}  # none may be empty
    return {**told, "data": {"object": _object(one, made)}}


def _entity(rendering: Rendering, one: Shelved, made: Rendered | None) -> dict[str, Any]:
    """One entity of a snapshot, under the names that its events have."""
    event = _event(rendering, 0, one, made)
    told = {name: event[name] for name in ("source", "subject", "time", "entityversion")}
    return {**told, "object": event["data"]["object"]}


def _object(one: Shelved, made: Rendered | None) -> Mapping[str, Any]:
    """The body with references by canonical id; of what is gone only such keys as the vendor was shown."""
    identity = {"id": one.id.partition("/")[2]}
    if made is None:
        return {**identity, **one.document["shown"]}
    return {**identity, **resolve(made.body, {ref.id: ref.id for ref in references(made.body)})}

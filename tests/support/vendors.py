"""A vendor's feed over a bench, and a consumer that keeps what it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from bridge.domain.ids import TargetId
from bridge.engine.desire import Rendering, desire, everything, render
from bridge.engine.vendor_feed import VendorFeed, vendor_target
from bridge.engine.vendor_feed_cursor import AtFeed, AtSnapshot, feed_cursor, snapshot_cursor
from bridge.engine.vendor_log import VendorLog
from bridge.engine.vendor_page import Page
from bridge.engine.vendor_replay import VendorReplay
from bridge.engine.views import Scope
from bridge.mapping import TargetMapping, references, resolve
from tests.support.engine import TOWN, Bench, mapping_of

VENDOR = """
mapping: test/vendor
purpose: Books
resources:
  municipality:
    entity: municipality
    fields:
      code: {from: municipality_code, required: true}
  institution:
    entity: institution
    fields:
      institution_number: {from: institution_number, required: true}
      name: {from: name}
  group:
    entity: group
    fields:
      group_id: {from: group_id, required: true}
      school: {from: institution_name}
      members: [{value: {from: members, purpose: who is in it}}]
  person:
    entity: person
    when: {kinds: [student, employee, contact]}
    fields:
      user_id: {from: user_id, required: true, purpose: log-in}
      name: {from: given_name, purpose: shown}
      family: {from: family_name, purpose: shown}
      email: {from: email, purpose: messages}
      kinds: {from: kinds, purpose: rights}
      institutions: {from: institutions, purpose: rights}
  affiliation:
    entity: affiliation
    fields:
      user_id: {from: user_id, required: true, purpose: whose it is}
      person: {from: person, required: true, purpose: whose it is}
      kind: {from: kind, required: true, purpose: rights}
      initials: {from: short_name, purpose: shown}
  guardianship:
    entity: guardianship
    fields:
      child: {from: child, required: true, purpose: whose}
      contact: {from: contact, required: true, purpose: who}
  membership:
    entity: membership
    fields:
      group: {from: group, required: true, purpose: in what}
      person: {from: person, required: true, purpose: who}
  teaching:
    entity: teaching
    fields:
      group: {from: group, required: true, purpose: what}
      employees: [{value: {from: employees, purpose: who}}]
"""
MONTH = timedelta(days=30)


def vendor_feed(
    bench: Bench,
    *,
    text: str = VENDOR,
    institutions: frozenset[str] | None = None,
    retention: timedelta = MONTH,
    mapping: TargetMapping | None = None,
) -> VendorFeed:
    scope = Scope(TOWN, institutions, "Byen")
    rendering = Rendering(vendor_target(TOWN, "books"), scope, mapping or mapping_of(text))
    return VendorFeed("books", bench.store, (rendering,), bench.book, retention, bench.clock.now)


def log_and_replays(
    feed: VendorFeed, renderings: Sequence[Rendering] = (), per_minute: int = 60
) -> tuple[VendorLog, VendorReplay]:
    own: dict[str, Rendering] = {one.target: one for one in renderings}
    return (
        VendorLog(feed.vendor, feed.store, feed.book),
        VendorReplay(feed.vendor, feed.store, feed.book, own, per_minute, feed.now),
    )


def body_of(page: Page) -> Any:
    assert page.body is not None
    return msgspec.json.decode(page.body)


@dataclass
class Consumer:
    """Takes the snapshot, page by page, then follows the feed; `between` is called before each next answer."""

    feed: VendorFeed
    limit: int = 3
    held: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    at: AtFeed = field(default_factory=AtFeed)
    seen: list[bytes] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def start(self, between: Callable[[], None] = lambda: None) -> None:
        at: AtSnapshot | None = None
        while True:
            page = self.feed.snapshot(at, self.limit)
            told = body_of(page)
            self.seen.append(page.body or b"")
            for one in told["entities"]:
                self._put(one["subject"], one["entityversion"], one["object"])
            self.at = feed_cursor(told["cursor"], self.feed.municipalities)
            if page.at is None:
                return
            at = snapshot_cursor(page.at.text(), self.feed.municipalities)
            between()

    def page(self) -> int:
        """Take one page of the feed; return how many events it had."""
        page = self.feed.events(self.at, self.limit)
        assert isinstance(page.at, AtFeed)
        self.seen.append(page.body or b"")
        told = body_of(page)
        for event in told:
            is_gone = event["type"].endswith(".deleted.v1")
            self._put(event["subject"], event["entityversion"], None if is_gone else event["data"]["object"])
        self.events += told
        self.at = page.at
        return len(told)

    def follow(self, between: Callable[[], None] = lambda: None) -> None:
        while self.page():
            between()

    def _put(self, subject: str, version: int, shown: Any) -> None:
        """By the rule of every consumer: a version that is not higher than the one held is dropped."""
        if version > self.versions.get(subject, 0):
            self.versions[subject] = version
            if shown is None:
                self.held.pop(subject, None)
            else:
                self.held[subject] = shown


class _Undone(Exception):
    """What was only tried out."""


def reference(bench: Bench, feed: VendorFeed) -> dict[str, Any]:
    """What a target with the vendor's mapping and scope would be given now: the whole line over, nothing kept."""
    (own,) = feed.renderings
    rendering = Rendering(TargetId(f"{TOWN}/reference"), own.scope, own.mapping)
    found: dict[str, Any] = {}
    try:
        with bench.store.write() as uow:
            desire(uow, rendering, everything(uow, rendering), bench.clock.at)
            for kind, keys in everything(uow, rendering).items():
                for key, made in render(uow, rendering, kind, list(keys)).items():
                    ids = {ref.id: ref.id for ref in references(made.body)}
                    name = rendering.scope.id(kind, key)
                    found[f"{kind}/{name}"] = {"id": name, **resolve(made.body, ids)}
            raise _Undone
    except _Undone:
        return msgspec.json.decode(msgspec.json.encode(found))  # type: ignore[no-any-return]


def kinds_of(subjects: Sequence[str]) -> set[str]:
    return {subject.partition("/")[0] for subject in subjects}

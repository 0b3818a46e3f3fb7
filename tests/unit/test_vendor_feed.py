"""What a vendor is told, and above all what it is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bridge.domain.entities import Kind
from bridge.engine.vendor_feed import VendorFeed
from bridge.engine.vendor_feed_cursor import AtFeed, CursorPast
from tests.support.engine import (
    MORNING,
    OTHER_SCHOOL,
    SCHOOL,
    TOWN,
    Bench,
    group,
    header,
    key_id,
    mapping_of,
    parent,
    person_id,
    pupil,
    teacher,
)
from tests.support.vendors import VENDOR, Consumer, body_of, reference, vendor_feed

ANNA = f"person/{person_id('anna')}"
NAMES_ONLY = """
mapping: test/names
purpose: Greetings
resources:
  person:
    entity: person
    when: {kinds: student}
    fields:
      name: {from: given_name, purpose: shown}
"""


def consumer(bench: Bench, **how: Any) -> Consumer:
    return Consumer(vendor_feed(bench, **how), limit=100)


def told(one: Consumer) -> list[tuple[str, str]]:
    """What comes next of people: operation and subject."""
    before = len(one.events)
    one.follow()
    return [
        (event["type"].split(".")[2], event["subject"])
        for event in one.events[before:]
        if event["subject"].startswith("person/")
    ]


def fetched(bench: Bench) -> list[dict[str, Any]]:
    return [one for one in bench.audit() if one["kind"] == "disclosure.fetched"]


class TestWhatIsTold:
    def test_created_updated_and_deleted_in_order(self) -> None:
        bench = Bench()
        one = consumer(bench)
        bench.take(pupil("anna"), pupil("bo"))
        assert ("created", ANNA) in told(one)
        bench.take(pupil("anna", given_name="Ane"), pupil("bo"))
        assert told(one) == [("updated", ANNA)]
        bench.take(pupil("bo"))
        assert told(one) == [("deleted", ANNA)]
        assert told(one) == []

    def test_whoever_has_not_seen_it_is_told_it_is_created(self) -> None:
        bench = Bench()
        first, second = consumer(bench), consumer(bench)
        bench.take(pupil("anna"))
        told(first)
        bench.take(pupil("anna", given_name="Ane"))
        assert (told(first), told(second)) == ([("updated", ANNA)], [("created", ANNA)])

    def test_an_event_is_the_same_whenever_it_is_read(self) -> None:
        bench = Bench()
        bench.take(group("1A"), pupil("anna"))
        feed = vendor_feed(bench)
        once, again = (feed.events(AtFeed(), 100) for _ in range(2))
        assert (once.body, once.etag) == (again.body, again.etag)
        ids = [event["id"] for event in body_of(once)]
        assert len(set(ids)) == len(ids)

    def test_dependencies_come_first(self) -> None:
        bench = Bench()
        bench.take(group("1A"), pupil("anna"), teacher("bo", ["1A"]))
        one = consumer(bench)
        one.follow()
        kinds = list(dict.fromkeys(event["subject"].partition("/")[0] for event in one.events))
        assert kinds.index("person") < kinds.index("group") < kinds.index("membership")

    def test_a_change_of_what_the_mapping_does_not_name_is_none(self) -> None:
        bench = Bench()
        bench.take(pupil("anna", birth_date="2019-01-01"))
        one = consumer(bench)
        one.follow()
        bench.take(pupil("anna", birth_date="2019-01-02"))
        assert one.page() == 0

    def test_the_word_of_one_school_is_news_to_whom_sees_that_school_only(self) -> None:
        """No event of the log tells of it: the municipality's own view of the pupil stays as it is."""
        bench = Bench()
        newer = {"KMD": MORNING + timedelta(days=9)}
        bench.take(pupil("anna", email="a@x.dk"), head=header(SCHOOL, times=newer))
        other = header(OTHER_SCHOOL, times={"KMD": MORNING})
        bench.take(pupil("anna", email="old@x.dk"), head=other, expected=OTHER_SCHOOL)
        one = consumer(bench, institutions=frozenset({OTHER_SCHOOL}))
        one.follow()
        with bench.store.read() as reader:
            before = reader.last_sequence(TOWN)
        later = header(OTHER_SCHOOL, at=MORNING + timedelta(hours=1), times={"KMD": MORNING})
        bench.take(pupil("anna", email="new@x.dk"), head=later, expected=OTHER_SCHOOL)
        with bench.store.read() as reader:
            assert reader.last_sequence(TOWN) == before
        assert told(one) == [("updated", ANNA)]
        assert one.held[ANNA]["email"] == "new@x.dk"

    def test_a_changed_mapping_comes_by_the_feed(self) -> None:
        bench = Bench()
        bench.take(group("1A"), pupil("anna"), teacher("bo"))
        one = consumer(bench)
        one.follow()
        one.feed = vendor_feed(bench, text=NAMES_ONLY)
        one.follow()
        assert one.held == {ANNA: {"id": person_id("anna"), "name": "Anna"}} == reference(bench, one.feed)

    def test_a_person_who_is_told_of_again_before_anybody_looked_is_there(self) -> None:
        bench = Bench()
        bench.take(pupil("anna"), pupil("bo"))
        one = consumer(bench)
        one.follow()
        bench.take(pupil("bo"))
        bench.take(pupil("anna"), pupil("bo"))
        one.follow()
        assert one.held == reference(bench, one.feed)


class TestProtection:
    def test_who_is_protected_since_is_masked_in_what_was_recorded_before(self) -> None:
        bench = Bench()
        bench.take(pupil("anna", given_name="Hemmelig", email="hemmelig@x.dk"), teacher("bo"))
        late = consumer(bench)
        bench.take(pupil("anna", given_name="Hemmelig", email="hemmelig@x.dk", protected=True), teacher("bo"))
        late.start()
        late.at = AtFeed()
        late.follow()
        assert not any(b"emmelig" in page for page in late.seen)
        assert "email" not in late.held[ANNA] or late.held[ANNA]["email"] is None
        assert "Hemmelig" not in str(bench.audit())

    def test_the_initials_of_the_protected_go_at_once(self) -> None:
        bench = Bench()
        bench.take(teacher("bo", short_name="BHO"))
        one = consumer(bench)
        one.follow()
        bench.take(teacher("bo", short_name="BHO", protected=True))
        one.follow()
        (affiliation,) = [shown for name, shown in one.held.items() if name.startswith("affiliation/")]
        assert "BHO" not in str(affiliation)

    @pytest.mark.parametrize(("text", "keys"), [(VENDOR, {"user_id": "anna"}), (NAMES_ONLY, {})])
    def test_of_what_is_gone_only_keys_are_shown_that_the_mapping_named(
        self, text: str, keys: dict[str, str]
    ) -> None:
        bench = Bench()
        one = consumer(bench, text=text)
        bench.take(pupil("anna"), pupil("bo"))
        one.follow()
        bench.take(pupil("bo"))
        one.follow()
        gone = [event["data"] for event in one.events if event["type"] == "skolebro.person.deleted.v1"]
        assert gone == [{"object": {"id": person_id("anna"), **keys}}]

    def test_whom_the_mapping_leaves_out_is_in_nothing_not_even_by_id(self) -> None:
        bench = Bench()
        one = Consumer(vendor_feed(bench, text=NAMES_ONLY), limit=100)
        bench.take(pupil("anna", contacts=[parent("mor")]), teacher("bo"))
        one.start()
        one.at = AtFeed()
        one.follow()
        bench.take(pupil("anna"))
        one.follow()
        for user in ("mor", "bo"):
            assert not any(person_id(user).encode() in page for page in one.seen)

    def test_whom_another_school_tells_of_is_in_nothing(self) -> None:
        bench = Bench()
        bench.take(pupil("anna"))
        bench.take(pupil("carl"), head=header(OTHER_SCHOOL), expected=OTHER_SCHOOL)
        one = consumer(bench, institutions=frozenset({SCHOOL}))
        one.start()
        one.at = AtFeed()
        one.follow()
        assert ANNA in one.held
        assert not any(person_id("carl").encode() in page or b"carl" in page for page in one.seen)

    def test_the_journal_keeps_no_field_of_anybody(self) -> None:
        bench = Bench()
        bench.take(pupil("anna", given_name="Hemmelig", email="hemmelig@x.dk"))
        feed = vendor_feed(bench)
        feed.events(AtFeed(), 100)
        with bench.store.read() as reader:
            kept = reader.shelved_after(feed.renderings[0].target, "journal", 0, 1_000)
        assert kept and "emmelig" not in str([one.document for one in kept])


class TestAudit:
    def test_each_page_is_written_down_with_what_was_in_it(self) -> None:
        bench = Bench()
        bench.take(group("1A"), pupil("anna", protected=True), pupil("bo"))
        feed = vendor_feed(bench, text=NAMES_ONLY)
        feed.events(AtFeed(), 1)
        feed.snapshot(None, 5)
        first, second = fetched(bench)
        wanted = {"vendor": "books", "municipality": TOWN, "what": "events", "from": 1, "to": 1, "count": 1}
        assert {name: first[name] for name in wanted} == wanted
        assert (first["purpose"], first["fields"], first["entities"]) == (
            "Greetings",
            ["person.name"],
            ["person 1"],
        )
        assert (second["what"], second["count"], second["masked"], second["deleted"]) == ("snapshot", 2, 1, 0)

    def test_nothing_is_no_disclosure(self) -> None:
        bench = Bench()
        feed = vendor_feed(bench)
        page = feed.events(AtFeed(), 10)
        assert (page.is_empty, body_of(page), fetched(bench)) == (True, [], [])
        bench.take(pupil("anna"))
        page = feed.events(AtFeed(), 10)
        known = feed.events(AtFeed(), 10, (page.etag,))
        assert (known.body, len(fetched(bench))) == (None, 1)

    def test_what_could_not_be_written_down_does_not_leave(self) -> None:
        bench = Bench()
        bench.take(pupil("anna"))
        broken = bench.book
        object.__setattr__(broken, "now", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            vendor_feed(bench).events(AtFeed(), 10)


class TestRetention:
    def lived(self, days: int) -> tuple[Bench, VendorFeed, AtFeed]:
        """A feed of which somebody read the beginning, and anna is gone since; so many days pass with changes."""
        bench = Bench()
        feed = vendor_feed(bench, retention=timedelta(days=3))
        bench.take(pupil("anna"), pupil("bo"))
        at = feed.events(AtFeed(), 100).at
        assert isinstance(at, AtFeed)
        bench.take(pupil("bo"))
        feed.snapshot(None, 100)
        for number in range(days):
            bench.clock.forward(days=1)
            bench.take(pupil("bo", given_name=f"Bo {number}"))
            feed.snapshot(None, 100)
        return bench, feed, at

    def test_within_it_what_is_gone_is_told(self) -> None:
        _, feed, at = self.lived(2)
        assert any(event["type"] == "skolebro.person.deleted.v1" for event in body_of(feed.events(at, 100)))

    def test_past_it_only_the_snapshot_helps(self) -> None:
        bench, feed, at = self.lived(8)
        with pytest.raises(CursorPast):
            feed.events(at, 100)
        one = Consumer(feed, limit=100)
        one.start()
        one.follow()
        assert one.held == reference(bench, feed)
        with bench.store.read() as reader:
            gone = [
                row for row in reader.shelved_after(feed.renderings[0].target, "journal", 0, 1_000) if row.is_gone
            ]
        assert gone == []

    def test_whoever_begins_at_nothing_misses_nothing(self) -> None:
        bench, feed, _ = self.lived(2)
        one = Consumer(feed, limit=100)
        one.follow()
        assert one.held == reference(bench, feed)

    def test_a_number_that_was_never_reached_is_of_another_journal(self) -> None:
        bench = Bench()
        bench.take(pupil("anna"))
        with pytest.raises(CursorPast):
            vendor_feed(bench).events(AtFeed({TOWN: 999}), 10)

    def test_a_log_that_was_compacted_meanwhile_costs_nobody_anything(self) -> None:
        bench = Bench()
        bench.take(pupil("anna"), pupil("bo"), pupil("carl"))
        one = consumer(bench)
        one.follow()
        bench.take(pupil("bo"), pupil("carl", given_name="Karl"))
        with bench.store.write() as uow:
            uow.compact_events(TOWN, uow.last_sequence(TOWN))
        one.follow()
        assert one.held == reference(bench, one.feed)
        assert ANNA not in one.held


def test_several_municipalities_are_one_feed() -> None:
    bench = Bench()
    bench.take(pupil("anna"))
    here = vendor_feed(bench)
    elsewhere = vendor_feed(bench, mapping=mapping_of(NAMES_ONLY))
    (own,) = here.renderings
    (other,) = elsewhere.renderings
    object.__setattr__(other, "scope", type(other.scope)("102", None, "Naboby"))
    object.__setattr__(other, "target", "102/vendors/books")
    both = VendorFeed("books", bench.store, (own, other), bench.book, timedelta(days=30), bench.clock.now)
    one = Consumer(both, limit=2)
    one.start()
    one.follow()
    assert one.held == reference(bench, here)
    assert set(one.at.numbers) <= {TOWN, "102"}


def test_the_canonical_ids_are_those_of_every_target() -> None:
    bench = Bench()
    bench.take(group("1A"), pupil("anna"))
    one = consumer(bench)
    one.follow()
    membership = one.held[f"membership/{key_id(Kind.MEMBERSHIP, SCHOOL, '1A', 'anna')}"]
    assert membership["person"] == person_id("anna")
    assert VENDOR.count("purpose") > 5

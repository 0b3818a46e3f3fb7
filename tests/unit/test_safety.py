"""What a careful attacker found once stays impossible: each test is named by what went wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.domain.changes import Operation
from bridge.domain.entities import Contribution, Kind, Phone
from bridge.domain.errors import ConfigError, MappingError
from bridge.domain.http_dates import parse_retry_after
from bridge.domain.ids import TargetId
from bridge.domain.outcomes import Deferred
from bridge.domain.records import Quarantined
from bridge.domain.shelf import Entry
from bridge.engine.audit import verify
from bridge.engine.deliver import deliver
from bridge.engine.publish import identifying
from bridge.engine.shelf import SERVED, StoreShelf
from bridge.engine.status import read_status
from bridge.engine.views import Scope
from tests.support.engine import (
    OTHER_SCHOOL,
    PLATFORM,
    SCHOOL,
    TARGET,
    TOWN,
    Bench,
    group,
    header,
    key_id,
    mapping_of,
    person_id,
    pupil,
    teacher,
)

PHONES = PLATFORM.replace("email: {from: email}", "email: {from: email}\n      phone: {from: mobile_phone.number}")


def later(bench: Bench, school: str = SCHOOL) -> dict[str, Any]:
    """The next hour, as the head of a school's next snapshot."""
    bench.clock.forward(hours=1)
    return {"head": header(school, at=bench.clock.at), "expected": school}


def sent(bench: Bench) -> str:
    """Everything that ever left, as one text."""
    return " ".join(str(command.document) + str(command.previous) for command in bench.target.commands)


class TestAProtection:
    def test_of_a_record_that_is_otherwise_unusable_holds(self) -> None:
        bench = Bench()
        bench.take(pupil("ane", family_name="Rigtig", email="ane.rigtig@x.example"))
        bench.drain()
        broken = Quarantined("Person[1]", "missing_main_group", "KMD", "L-ane", "ane", protected=True)
        bench.take(broken, pupil("bo"), **later(bench))
        (command,) = (c for c in bench.drain() if c.id == person_id("ane"))
        assert "Rigtig" not in str(command.document) + str(command.previous)
        assert command.document is not None and "email" not in command.document

    def test_goes_along_with_who_moves_to_a_school_whose_exports_cannot_state_it(self) -> None:
        bench = Bench()
        bench.take(pupil("ane", protected=True, email="ane.rigtig@x.example"))
        silent = later(bench, OTHER_SCHOOL)
        silent["head"] = replace(silent["head"], states_protection=False)
        bench.take(pupil("ane", email="ane.rigtig@x.example"), **silent)
        bench.take(pupil("bo"), **later(bench))
        bench.drain()
        assert (("ane",) in bench.entities(Kind.PERSON), "ane.rigtig" in sent(bench)) == (True, False)

    def test_of_a_number_at_one_school_holds_for_all(self) -> None:
        bench = Bench(mapping=mapping_of(PHONES))
        bench.take(teacher("ane", mobile_phone=Phone("20202020", protected=True)))
        bench.take(teacher("ane", mobile_phone=Phone("20202020")), **later(bench, OTHER_SCHOOL))
        bench.drain()
        assert "20202020" not in sent(bench)

    def test_set_by_a_source_that_writes_the_alias_as_the_name_tells_no_old_name(self) -> None:
        bench = Bench()
        bench.take(pupil("ane", family_name="Rigtig"))
        bench.drain()
        alias = {"family_name": "Alias", "alias_family_name": "Alias", "alias_given_name": "Ane"}
        bench.take(pupil("ane", protected=True, **alias), **later(bench))
        (command,) = (c for c in bench.drain() if c.id == person_id("ane"))
        assert command.previous is None


class TestATargetOfOneSchool:
    def test_is_not_told_what_only_another_school_says(self) -> None:
        bench = Bench()
        bench.rendering = replace(bench.rendering, scope=Scope(TOWN, frozenset({SCHOOL})))
        bench.take(teacher("ane", family_name="Her"))
        bench.take(pupil("ane", family_name="Dér", email="privat@x.example"), **later(bench, OTHER_SCHOOL))
        bench.drain()
        assert "privat@x.example" not in sent(bench)
        assert "Dér" not in sent(bench)

    def test_keeps_a_protection_that_another_school_states(self) -> None:
        bench = Bench()
        bench.rendering = replace(bench.rendering, scope=Scope(TOWN, frozenset({SCHOOL})))
        bench.take(teacher("ane", family_name="Rigtig"))
        bench.take(pupil("ane", protected=True, family_name="Rigtig"), **later(bench, OTHER_SCHOOL))
        bench.drain()
        assert "Rigtig" not in sent(bench)


class TestARecordOfNobody:
    def test_keeps_everyone_it_may_be_about(self) -> None:
        """Neither Person nor LocalPersonId: it may be any of its source's people who had no LocalPersonId."""
        bench = Bench()
        manual = replace(pupil("ane"), local_person_id=None)
        bench.take(manual, pupil("bo"), pupil("cai"))
        bench.drain()
        bench.take(Quarantined("Person[1]", "missing_person", "KMD", None), pupil("bo"), **later(bench))
        living = {key[0] for key in bench.entities(Kind.PERSON)}
        assert living == {"ane", "bo"}, "ane may be the one; cai had a LocalPersonId, so cai is gone"


class TestAMapping:
    def test_that_drops_a_whole_kind_waits_for_a_person(self) -> None:
        bench = Bench()
        bench.take(*(pupil(f"p{n}", f"{n}A") for n in range(30)), *(group(f"{n}A") for n in range(30)))
        bench.drain()
        without_groups = PLATFORM[: PLATFORM.index("  Group:")]
        assert not bench.refresh(mapping_of(without_groups))
        assert bench.drain() == []

    def test_that_loses_a_whole_school_waits_for_a_person(self) -> None:
        bench = Bench()
        bench.take(*(pupil(f"p{n}") for n in range(50)))
        bench.take(*(pupil(f"q{n}") for n in range(5)), **later(bench, OTHER_SCHOOL))
        bench.drain()
        bench.rendering = replace(bench.rendering, scope=Scope(TOWN, frozenset({SCHOOL})))
        assert not bench.refresh()

    @pytest.mark.parametrize("path", ["type", "type.valeu", "members.id"])
    def test_that_looks_at_what_is_no_single_value_is_refused(self, path: str) -> None:
        with pytest.raises(MappingError, match="has no field"):
            mapping_of(PLATFORM.replace("entity: group", f"entity: group\n    when: {{{path}: main}}"))


class TestAnotherSystemBehindATarget:
    def test_waits_for_a_person_and_then_gets_everything(self) -> None:
        bench = Bench()
        bench.rendering = replace(bench.rendering, system="https://old.example")
        bench.take(pupil("ane"), group("1A"))
        first = bench.drain()
        bench.rendering = replace(bench.rendering, system="https://new.example")
        assert not bench.refresh()
        assert bench.drain() == []
        (hold,) = bench.holds("open")
        assert hold.reasons == ("other_system",)
        bench.decide(hold.id, approve=True)
        assert bench.refresh()
        again = bench.drain()
        assert {c.id for c in again} == {c.id for c in first}
        assert all(c.remote_id is None and c.previous is None for c in again)

    def test_gets_nothing_of_what_was_kept_for_the_old_one(self) -> None:
        bench = Bench()
        bench.rendering = replace(bench.rendering, system="/old/folder")
        bench.take(pupil("ane"))
        bench.drain()
        shelf = StoreShelf(bench.store, TARGET, bench.clock.now)
        shelf.put([Entry("users", "ane", {})])
        shelf.set_note("handed over", "1")
        shelf.set_note(SERVED, "/targets/101/platform/")
        bench.rendering = replace(bench.rendering, system="/new/folder")
        bench.refresh()
        assert shelf.note("handed over") == "1", "nobody has decided yet"
        bench.decide(bench.holds("open")[0].id, approve=True)
        bench.refresh()
        assert (shelf.get("users", "ane"), shelf.note("handed over"), shelf.version()) == (None, None, 0)
        assert shelf.note(SERVED) == "/targets/101/platform/"


class TestAttention:
    def test_is_asked_for_what_a_target_defers_for_ever(self) -> None:
        bench = Bench()
        bench.take(pupil("ane"))
        bench.target.about[person_id("ane")] = Deferred("server_error_500")
        for _ in range(12):
            bench.deliver()
            bench.clock.forward(days=1)
        status = read_status(bench.store, [TARGET], bench.clock.at)
        assert any("keeps deferring 1" in sentence for sentence in status.attention)

    def test_is_asked_for_a_target_that_is_configured_no_more(self) -> None:
        bench = Bench()
        bench.take(pupil("ane"))
        bench.drain()
        status = read_status(bench.store, [TargetId("101/another")], bench.clock.at)
        assert any(f"{TARGET} is not configured any more" in sentence for sentence in status.attention)

    def test_is_asked_for_a_target_whose_mapping_was_rejected(self) -> None:
        bench = Bench()
        bench.take(*(pupil(f"p{n}") for n in range(9)))
        bench.drain()
        bench.refresh(mapping_of(PLATFORM.replace("[student, employee]", "[employee]")))
        bench.decide(bench.holds("open")[0].id, approve=False)
        bench.refresh()
        digests = {TARGET: bench.rendering.digest}
        status = read_status(bench.store, [TARGET], bench.clock.at, renderings=digests)
        assert any(f"{TARGET} gets nothing" in sentence for sentence in status.attention)


class TestASnapshotFromTheFuture:
    def test_waits_for_a_person_instead_of_making_all_others_older(self) -> None:
        bench = Bench()
        bench.take(pupil("ane"))
        ahead = header(at=bench.clock.at + timedelta(days=800))
        assert bench.take(pupil("ane"), pupil("bo"), head=ahead) == ("held", "from_future")
        assert bench.take(pupil("ane"), pupil("cai"), **later(bench)) == ("recorded", None)


class TestDeletions:
    def test_wait_until_a_pass_over_all_schools_has_ended(self) -> None:
        bench = Bench()
        bench.take(pupil("ane"), pupil("bo"))
        bench.drain()
        bench.take(pupil("bo"), **later(bench))
        while deliver(replace(bench.lane, may_delete=lambda: False), bench.diary):
            pass
        assert bench.take(pupil("ane"), **later(bench, OTHER_SCHOOL)) == ("recorded", None)
        bench.drain()
        assert not [c for c in bench.target.commands if c.operation is Operation.DELETED]


def test_a_published_event_holds_identifiers_and_names_of_fields_only() -> None:
    bench = Bench()
    bench.take(pupil("ane", email="ane@x.example"))
    bench.take(pupil("ane", email="ny@x.example"), **later(bench))
    with bench.store.read() as reader:
        told = [identifying(event) for event in reader.events(TOWN, 0, 100)]
    bodies = b" ".join(event.data for event in told)
    assert b"x.example" not in bodies and b"Holm" not in bodies
    assert b'"changed":["email"]' in bodies
    assert key_id(Kind.PERSON, "ane").encode() in bodies


@pytest.mark.parametrize("value", ["²", "--5", "1.5", "５"])
def test_a_retry_after_that_is_no_number_is_absent(value: str) -> None:
    assert parse_retry_after(value) is None


@pytest.mark.parametrize("expect", ["abc", "0:ffff", "1:", "1:" + "F" * 64])
def test_a_head_that_cannot_be_one_is_told_so(expect: str) -> None:
    bench = Bench()
    bench.take(pupil("ane"))
    with bench.store.read() as reader, pytest.raises(ConfigError, match="SIZE:HASH"):
        verify(reader, expect)


def test_every_record_about_a_person_is_remembered_by_its_source_and_local_id() -> None:
    bench = Bench()
    bench.take(pupil("ane", local="A"), teacher("ane", local="B", source="SFO"))
    (contribution,) = bench.entities(Kind.CONTRIBUTION).values()
    assert isinstance(contribution, Contribution)
    assert contribution.records == (("KMD", "A"), ("SFO", "B"))

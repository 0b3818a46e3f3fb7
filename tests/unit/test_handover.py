"""A file leaves when it is whole and only then, written down before it goes, and survives a death at any line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from bridge.domain.errors import StoreUnavailable, TargetUnauthorised, TargetUnavailable
from bridge.domain.outcomes import Rejected
from bridge.engine.audit import verify
from bridge.engine.drop import AuditedDrop
from bridge.engine.guard import GuardPolicy
from bridge.engine.handover import LOOK, HandingOver, hand_over, missing_in
from bridge.engine.shelf import StoreShelf
from bridge.engine.status import read_status
from bridge.engine.tell import Teller
from bridge.engine.views import Scope
from bridge.observe import Metrics
from bridge.ports import PARTS, Reader, Store, Subscription, UnitOfWork
from bridge.testing.memory_shelf import MemoryDrop
from tests.support.deliveries import later
from tests.support.engine import OTHER_SCHOOL, SCHOOL, TARGET, TOWN, Bench, group, header, mapping_of, pupil
from tests.support.shelf import FILE, NOTE, RosterTarget, users

AWAY = TargetUnavailable("sftp_unreachable")


class Desk(Bench):
    """A bench whose target keeps a roster; `step` is what the daemon does in the target's lane."""

    def __init__(self, **options: Any) -> None:
        super().__init__(policy=GuardPolicy(max_deleted_percent=100.0, deletion_grace=timedelta(0)), **options)
        self.files = MemoryDrop()
        self.is_reading = False
        self.start_anew()

    def start_anew(self) -> None:
        """What a restart makes new: the connector, and all that the engine remembers."""
        drop = AuditedDrop(self.files, self.rendering, self.store, self.book, self.new_id)
        self.roster = RosterTarget(StoreShelf(self.store, TARGET, self.clock.now), drop)
        self.target = self.roster  # type: ignore[assignment] - a target of another kind
        self.handing = HandingOver(self.lane)

    @property
    def lane(self) -> Any:
        return replace(super().lane, may_delete=lambda: not self.is_reading)

    def step(self) -> int:
        self.handing.lane = self.lane
        return self.handing.step(self.diary)

    def settle(self) -> None:
        """Until there is nothing to do, and a while more."""
        for _ in range(50):
            if not self.step():
                self.clock.forward(seconds=60)
                if not self.step():
                    return
        raise AssertionError("it never comes to an end")

    def attention(self) -> tuple[str, ...]:
        return read_status(self.store, [TARGET], self.clock.at).attention

    def kinds(self, prefix: str = "disclosure.hand") -> list[str]:
        return [one["kind"] for one in self.audit() if one["kind"].startswith(prefix)]

    def subscribe(self, **agreements: str | None) -> None:
        rows = [Subscription(TOWN, number.strip("_"), said) for number, said in agreements.items()]
        with self.store.write() as uow:
            uow.put_subscriptions([*rows, *(Subscription(TOWN, part) for part in PARTS)])


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.take(group("1A"), pupil("ane"), pupil("bo"))
    return desk


def two_schools(**options: Any) -> Desk:
    desk = Desk(**options)
    desk.rendering = replace(desk.rendering, scope=Scope(TOWN, frozenset({SCHOOL, OTHER_SCHOOL})))
    desk.take(group("1A"), pupil("ane"))
    return desk


# ---------------------------------------------------------------- when


class TestAFileLeaves:
    def test_once_all_has_been_told_and_again_only_when_something_changed(self, desk: Desk) -> None:
        desk.settle()
        assert [name for name, _ in desk.files.puts] == [FILE]
        assert users(desk.files.read(FILE)) == ["ane", "bo"]
        desk.settle()
        assert len(desk.files.puts) == 1
        later(desk, group("1A"), pupil("bo"), pupil("carl"))
        desk.settle()
        assert len(desk.files.puts) == 2
        assert users(desk.files.read(FILE)) == ["bo", "carl"]

    def test_and_says_what_was_in_it(self, desk: Desk) -> None:
        desk.settle()
        assert [(one.name, one.counts) for one in desk.diary.files] == [(FILE, {"User": 2, "Group": 1})]
        assert desk.target_state().last_success_at is not None

    def test_never_while_something_is_still_to_be_told(self, desk: Desk) -> None:
        assert desk.step() > 0
        assert (desk.roster.calls, hand_over(desk.lane, desk.diary)) == (0, 0)
        assert desk.roster.calls == 0

    def test_never_while_what_is_due_waits_for_a_later_try(self, desk: Desk) -> None:
        desk.settle()
        later(desk, group("1A"), pupil("ane", given_name="Anne"), pupil("bo"))
        with desk.store.write() as uow:
            (row,) = uow.deliveries(TARGET, "due", None, 10)
            uow.put_deliveries([replace(row, next_attempt_at=desk.clock.at + timedelta(hours=1), reason="busy")])
        calls = desk.roster.calls
        desk.clock.forward(seconds=60)
        assert (desk.step(), desk.roster.calls) == (0, calls)

    def test_though_somebody_is_left_in_it_for_a_while_on_purpose(self, desk: Desk) -> None:
        desk.settle()
        desk.policy = replace(desk.policy, deletion_grace=timedelta(hours=24))
        later(desk, group("1A"), pupil("bo", given_name="Bob"))
        desk.settle()
        assert users(desk.files.read(FILE)) == ["ane", "bo"]
        assert b"Bob" in (desk.files.read(FILE) or b"")

    def test_though_one_entity_was_rejected(self, desk: Desk) -> None:
        refusing = desk.roster.apply
        desk.roster.apply = lambda batch: [  # type: ignore[method-assign,assignment,return-value]
            Rejected("odd") if one.key[-1] == "bo" else outcome
            for one, outcome in zip(batch, refusing(batch), strict=True)
        ]
        desk.settle()
        assert len(desk.files.puts) == 1

    def test_never_while_schools_are_being_read(self, desk: Desk) -> None:
        while desk.step():
            pass
        desk.is_reading = True
        later(desk, group("1A"), pupil("ane"), pupil("bo"), pupil("carl"))
        desk.settle()
        assert len(desk.files.puts) == 1
        desk.is_reading = False
        desk.settle()
        assert len(desk.files.puts) == 2

    def test_never_while_a_changed_mapping_waits_for_a_person(self, desk: Desk) -> None:
        desk.settle()
        desk.rendering = replace(desk.rendering, mapping=mapping_of("mapping: other\npurpose: x\nresources: {}\n"))
        calls = desk.roster.calls
        desk.settle()
        assert desk.roster.calls == calls

    def test_is_looked_for_at_once_after_work_and_else_in_a_while(self, desk: Desk) -> None:
        while desk.step():
            pass
        calls = desk.roster.calls
        desk.step()
        assert desk.roster.calls == calls
        desk.take(group("1A"), pupil("ane"), pupil("bo"), pupil("carl"))
        while desk.step():
            pass
        assert desk.roster.calls == calls + 1
        desk.clock.forward(seconds=LOOK.total_seconds())
        desk.step()
        assert desk.roster.calls == calls + 2
        desk.clock.forward(hours=-5)
        desk.step()
        assert desk.roster.calls == calls + 3, "a clock that was set back stops nothing"


class TestASchoolThatWasNeverHeard:
    def test_is_waited_for_and_named(self) -> None:
        desk = two_schools()
        desk.settle()
        assert (desk.files.puts, desk.roster.calls) == ([], 0)
        assert any(
            f"Files for target {TARGET} wait until {OTHER_SCHOOL} has been" in one for one in desk.attention()
        )
        later_there = header(OTHER_SCHOOL, at=desk.clock.at)
        desk.take(group("1A"), pupil("zoe"), head=later_there, expected=OTHER_SCHOOL)
        desk.settle()
        assert users(desk.files.read(FILE)) == ["ane", "zoe"]
        assert not any("Files for" in one for one in desk.attention())

    @pytest.mark.parametrize("agreement", ["missing", "withdrawn", "unused"])
    def test_is_not_waited_for_without_an_agreement(self, agreement: str) -> None:
        desk = two_schools()
        desk.subscribe(**{f"_{SCHOOL}": "agreed", f"_{OTHER_SCHOOL}": agreement})
        desk.settle()
        assert users(desk.files.read(FILE)) == ["ane"]

    @pytest.mark.parametrize("agreement", ["agreed", None])
    def test_is_waited_for_with_an_agreement_or_when_that_is_not_known(self, agreement: str | None) -> None:
        desk = two_schools()
        desk.subscribe(**{f"_{SCHOOL}": "agreed", f"_{OTHER_SCHOOL}": agreement})
        desk.settle()
        assert desk.files.puts == []

    def test_is_waited_for_where_all_are_wanted_and_it_has_an_agreement(self, desk: Desk) -> None:
        desk.subscribe(**{f"_{SCHOOL}": "agreed", f"_{OTHER_SCHOOL}": "agreed", "_101009": "missing"})
        desk.settle()
        assert desk.files.puts == []
        assert any(f"until {OTHER_SCHOOL} has been" in one for one in desk.attention())

    @pytest.mark.parametrize("configured", [None, frozenset({SCHOOL})])
    def test_was_heard_though_its_agreement_has_ended_since(
        self, desk: Desk, configured: frozenset[str] | None
    ) -> None:
        desk.rendering = replace(desk.rendering, scope=Scope(TOWN, configured))
        desk.refresh()
        desk.subscribe(**{f"_{SCHOOL}": "withdrawn"})
        desk.settle()
        assert len(desk.files.puts) == 1

    def test_is_any_as_long_as_there_is_none(self) -> None:
        desk = Desk()
        desk.refresh()
        desk.settle()
        assert (desk.files.puts, desk.roster.calls) == ([], 0)
        assert any("until an institution has been" in one for one in desk.attention())

    def test_of_another_municipality_is_nobodys_concern(self, desk: Desk) -> None:
        with desk.store.write() as uow:
            uow.put_subscriptions([Subscription("265", "265001", "agreed")])
            assert missing_in(uow, desk.rendering.scope) is None
            assert missing_in(uow, Scope("265")) == ["265001"]
            assert missing_in(uow, Scope("266")) == []


# ---------------------------------------------------------------- trouble


class TestAFailure:
    def test_pauses_the_target_and_the_file_leaves_once_that_is_over(self, desk: Desk) -> None:
        desk.roster.trouble = AWAY
        while desk.step():
            pass
        state = desk.target_state()
        assert (state.failures, state.pause_reason) == (1, "sftp_unreachable")
        assert (len(desk.diary.pauses), desk.diary.files_failed) == (1, 1)
        assert (hand_over(desk.lane, desk.diary), desk.roster.calls) == (0, 1), (
            "nobody is called while the target pauses"
        )
        desk.roster.trouble = None
        desk.settle()
        assert len(desk.files.puts) == 1
        assert (desk.target_state().failures, len(desk.diary.resumptions)) == (0, 1)

    def test_is_not_over_because_something_more_was_kept(self, desk: Desk) -> None:
        desk.roster.trouble = AWAY
        for day in range(4):
            later(desk, group("1A"), pupil("ane"), pupil(f"new{day}"), hours=24)
            while desk.step():
                pass
        assert desk.target_state().failures == 4
        assert desk.diary.resumptions == []

    def test_of_the_credential_asks_for_a_person(self, desk: Desk) -> None:
        desk.roster.trouble = TargetUnauthorised("refused")
        while desk.step():
            pass
        assert any("refuses our credential" in one for one in desk.attention())

    def test_again_and_again_asks_for_a_person(self, desk: Desk) -> None:
        desk.roster.trouble = AWAY
        for _ in range(12):
            while desk.step():
                pass
            desk.clock.forward(hours=1)
        assert any("failed 1" in one and "times in a row" in one for one in desk.attention())

    def test_of_the_connector_itself_is_told_and_tried_again(self, desk: Desk) -> None:
        desk.roster.trouble = ValueError("0101011234")
        while desk.step():
            pass
        assert [type(one) for one in desk.diary.crashes] == [ValueError]
        assert desk.target_state().pause_reason == "connector_error"
        desk.roster.trouble = None
        desk.settle()
        assert len(desk.files.puts) == 1

    def test_of_the_store_is_the_loops_concern_and_spends_nothing(self, desk: Desk) -> None:
        desk.roster.trouble = StoreUnavailable("full")
        with pytest.raises(StoreUnavailable):
            desk.settle()
        assert desk.target_state().failures == 0

    def test_of_the_store_while_something_is_kept_is_no_rejection(self, desk: Desk) -> None:
        def full() -> None:
            raise StoreUnavailable("full")

        desk.roster.after_apply = full
        with pytest.raises(StoreUnavailable):
            desk.step()
        desk.roster.after_apply = lambda: None
        desk.settle()
        assert users(desk.files.read(FILE)) == ["ane", "bo"]

    def test_is_over_when_nothing_is_left_to_be_handed_over(self, desk: Desk) -> None:
        desk.settle()
        success = desk.target_state().last_success_at
        desk.roster.trouble = AWAY
        desk.clock.forward(hours=1)
        desk.step()
        desk.roster.trouble = None
        desk.settle()
        state = desk.target_state()
        assert (state.failures, state.pause_reason, state.last_success_at) == (0, None, success)


# ---------------------------------------------------------------- what is written down


class TestTheAudit:
    def test_names_the_file_before_it_leaves_and_says_afterwards_that_it_did(self, desk: Desk) -> None:
        seen: list[list[str]] = []
        put = desk.files.put
        desk.files.put = lambda *file: (seen.append(desk.kinds()), put(*file))[1]  # type: ignore[method-assign]
        desk.settle()
        assert seen == [["disclosure.handing_over"]]
        intent, closing, told = desk.audit()[-3:]
        assert (intent["kind"], closing["kind"], told["kind"]) == (
            "disclosure.handing_over",
            "disclosure.outcome",
            "disclosure.handed_over",
        )
        content = desk.files.read(FILE) or b""
        assert (intent["file"], intent["size"], intent["digest"]) == (
            FILE,
            len(content),
            sha256(content).hexdigest(),
        )
        assert (intent["target"], intent["municipality"], intent["purpose"]) == (TARGET, TOWN, "Teaching")
        assert (closing["closes"], closing["outcome"]) == (intent["intent"], "delivered")
        assert (told["file"], told["counts"], told["mapping"]) == (
            FILE,
            {"Group": 1, "User": 2},
            desk.rendering.mapping.digest,
        )

    @pytest.mark.parametrize("error", [AWAY, ValueError("0101011234")])
    def test_of_a_file_whose_fate_nobody_saw_says_so(self, desk: Desk, error: Exception) -> None:
        def fail(*_: object) -> None:
            raise error

        desk.files.put = fail  # type: ignore[method-assign]
        while desk.step():
            pass
        closing = desk.audit()[-1]
        assert (closing["kind"], closing["outcome"]) == ("disclosure.outcome", "unknown")
        assert "0101011234" not in json.dumps(desk.audit())
        with desk.store.read() as reader:
            assert reader.open_intents() == []

    def test_and_the_log_name_no_person(self, desk: Desk, stream: io.StringIO) -> None:
        teller = Teller(Metrics("1"), desk.clock.now)
        desk.handing.lane = desk.lane
        while desk.handing.step(teller):
            pass
        (line,) = [json.loads(one) for one in stream.getvalue().splitlines() if "handed_over" in one]
        assert (line["event"], line["target"], line["file"]) == ("target.handed_over", TARGET, FILE)
        assert line["counts"] == {"User": 2, "Group": 1}
        assert "ane" not in json.dumps(line)

    def test_and_the_numbers_count_what_left_and_what_failed(self, desk: Desk) -> None:
        metrics = Metrics("1")
        teller = Teller(metrics, desk.clock.now)
        desk.handing.lane = desk.lane
        desk.roster.trouble = AWAY
        while desk.handing.step(teller):
            pass
        desk.roster.trouble = None
        desk.clock.forward(hours=1)
        assert desk.handing.step(teller) == 1
        shown = metrics.exposition().decode()
        for result in ("failed", "handed_over"):
            assert f'bridge_hand_overs_total{{result="{result}",target="{TARGET}"}} 1.0' in shown


# ---------------------------------------------------------------- a death


class Killed(BaseException):
    """The process ends here."""


class Mortal:
    """A store in which the process dies right before or after the commit with a number."""

    def __init__(self, inner: Store, number: int, *, is_after: bool) -> None:
        self.inner, self.left, self.is_after = inner, number, is_after

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with self.inner.read() as reader:
            yield reader

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        self.left -= 1
        with self.inner.write() as uow:
            yield uow
            if not self.left and not self.is_after:
                raise Killed
        if not self.left and self.is_after:
            raise Killed

    def check(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("is_after", [False, True])
def test_a_death_at_any_commit_is_put_right_by_the_next_start(is_after: bool) -> None:
    deaths = 0
    while _dies_and_rises(deaths + 1, is_after=is_after):
        deaths += 1
    assert deaths > 8, "there were more commits than that"


def _dies_and_rises(number: int, *, is_after: bool) -> bool:
    """Whether there was a commit with that number; whatever happened, all is well afterwards."""
    desk = Desk()
    desk.take(group("1A"), pupil("ane"), pupil("bo"))
    whole = desk.store
    desk.store = Mortal(whole, number, is_after=is_after)
    desk.start_anew()
    is_dead = _ends_by_death(desk.settle)
    desk.store = whole
    with whole.write() as uow:
        desk.book.close_open(uow)
    desk.start_anew()
    desk.clock.forward(hours=1)
    desk.settle()
    assert users(desk.files.read(FILE)) == ["ane", "bo"]
    assert len(desk.files.puts) <= 2
    assert len({content for _, content in desk.files.puts}) == 1
    assert (desk.roster.shelf.version(), desk.roster.shelf.note(NOTE)) == (3, "3"), "a repeat is no change"
    with whole.read() as reader:
        verdict = verify(reader)
        assert not [row for row in reader.deliveries(TARGET, None, None, 100) if row.is_due]
    assert (verdict.ok, verdict.open_intents) == (True, 0)
    return is_dead


def _ends_by_death(work: Callable[[], None]) -> bool:
    try:
        work()
    except Killed:
        return True
    return False


def test_a_death_while_the_file_is_written_leaves_an_open_intent_that_the_next_start_closes(desk: Desk) -> None:
    def die(*_: object) -> None:
        raise Killed

    whole = desk.files.put
    desk.files.put = die  # type: ignore[method-assign]
    assert _ends_by_death(desk.settle)
    with desk.store.write() as uow:
        assert desk.book.close_open(uow) == 1
    desk.files.put = whole  # type: ignore[method-assign]
    desk.start_anew()
    desk.settle()
    assert desk.kinds() == ["disclosure.handing_over", "disclosure.handing_over", "disclosure.handed_over"]

"""Whoever has to decide is told once, reminded once, and never by name."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.adapters.notify_mail import message
from bridge.adapters.notify_webhook import WebhookNotifier, payload
from bridge.config import load_settings
from bridge.domain.errors import ConfigError
from bridge.engine.guard import REASON_TEXTS, GuardPolicy
from bridge.engine.notice_texts import Writer
from bridge.engine.notices import Notices, Way, hand_over, tell_holds
from bridge.engine.tell import Teller
from bridge.observe import Metrics, configure_logging
from bridge.ports import Hold, Notice, NoticeFailed
from bridge.registry import Registry
from tests.support.engine import MORNING, OTHER_SCHOOL, SCHOOL, STEADY, TOWN, Bench, group, pupil

DAY = timedelta(hours=24)
PEOPLE = ("kanarina", "fuglekvid", "sangfugl")


@dataclass
class FakeNotifier:
    """Keeps what it is given, unless it is told to fail."""

    failure: NoticeFailed | None = None
    sent: list[Notice] = field(default_factory=list)
    attempts: int = 0

    def send(self, notice: Notice) -> None:
        self.attempts += 1
        if self.failure is not None:
            raise self.failure
        self.sent.append(notice)

    @property
    def told(self) -> list[tuple[str, str, list[int]]]:
        """Kind, municipality and holds of each notice."""
        return [(one.kind, one.municipality, [facts.hold for facts in one.holds]) for one in self.sent]


DOWN = NoticeFailed("connect_failed", "nobody answers there")


class Town:
    """A bench with people to tell."""

    def __init__(self) -> None:
        self.bench = Bench(policy=GuardPolicy(max_deleted_percent=100.0))
        self.clock = self.bench.clock
        self.metrics = Metrics("0")
        self.mail, self.webhook = FakeNotifier(), FakeNotifier()
        self.notices = self.restarted()

    def restarted(self, *, both: bool = False) -> Notices:
        """The same over the same state, as a new process makes it."""
        ways = [Way("mail", self.mail), *([Way("webhook", self.webhook)] if both else [])]
        names = {TOWN: "Prøveby", "102": "Naboby"}
        witness = Teller(self.metrics, self.clock.now)
        self.notices = Notices(
            self.bench.store, ways, Writer(names), witness, self.clock.now, lambda: 0.5, remind_after=DAY
        )
        return self.notices

    def open(self, **fields: Any) -> int:
        with self.bench.store.write() as uow:
            return uow.add_hold(replace(a_hold(), opened_at=self.clock.now(), **fields), None)

    def hold(self, number: int) -> Hold:
        with self.bench.store.read() as reader:
            found = reader.hold(number)
        assert found is not None
        return found

    def tell(self) -> int:
        return tell_holds(self.notices)

    def count(self, kind: str, result: str) -> float:
        value = self.metrics.registry.get_sample_value("bridge_notices_total", {"kind": kind, "result": result})
        return value or 0.0


def a_hold() -> Hold:
    return Hold(
        id=0,
        municipality=TOWN,
        institution=SCHOOL,
        subject="snapshot",
        target=None,
        digest="digest-1",
        reasons=("shrunken",),
        counts={"person.deleted": 120, "person.stored": 800, "group.created": 1, "contribution.deleted": 120},
        people=PEOPLE,
        state="open",
        opened_at=MORNING,
        origin="drop/kanarina.xml",
        groups=(f"{SCHOOL}/kanarina-gruppen",),
        summary={"leaving": PEOPLE},
    )


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    out = io.StringIO()
    configure_logging(stream=out, json=True)
    yield out
    configure_logging(stream=io.StringIO())


def logged(stream: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


# ---------------------------------------------------------------- once


def test_a_new_hold_is_told_and_the_time_is_written_down(town: Town) -> None:
    number = town.open()
    assert town.tell() == 1
    assert town.mail.told == [("opened", TOWN, [number])]
    assert town.hold(number) == replace(a_hold(), id=number, notified_at=MORNING)
    assert town.count("opened", "sent") == 1


def test_nobody_is_told_twice_not_after_a_restart_either(town: Town) -> None:
    town.open()
    town.tell()
    town.clock.forward(hours=1)
    assert town.tell() == 0
    town.restarted()
    assert town.tell() == 0
    assert len(town.mail.sent) == 1


def test_a_crash_between_sending_and_writing_repeats_the_very_same_notice(town: Town) -> None:
    number = town.open()
    town.tell()
    with town.bench.store.write() as uow:
        uow.put_hold(replace(town.hold(number), notified_at=None))
    town.restarted()
    town.clock.forward(minutes=5)
    town.tell()
    first, second = town.mail.sent
    assert first.id == second.id


def test_thirty_schools_are_told_in_one_notice(town: Town) -> None:
    numbers = [town.open(institution=f"1010{n:02}") for n in range(30)]
    assert town.tell() == 30
    assert town.mail.told == [("opened", TOWN, numbers)]
    assert "30 holds wait" in town.mail.sent[0].subject
    assert all(f"skolebro holds show {number}" in town.mail.sent[0].text for number in numbers)


def test_a_very_long_list_is_cut_and_says_so(town: Town) -> None:
    for number in range(50):
        town.open(institution=f"1010{number:02}")
    town.tell()
    assert "And 10 more: skolebro holds list" in town.mail.sent[0].text
    assert "Hold 40:" in town.mail.sent[0].text and "Hold 41:" not in town.mail.sent[0].text
    assert len(town.mail.sent[0].holds) == 50


def test_each_municipality_is_told_of_its_own_holds(town: Town) -> None:
    here, there = town.open(), town.open(municipality="102")
    assert town.tell() == 2
    assert town.mail.told == [("opened", TOWN, [here]), ("opened", "102", [there])]
    assert "Naboby" not in town.mail.sent[0].text + town.mail.sent[0].subject


def test_holds_of_a_municipality_that_is_not_configured_any_more_are_told_to_nobody(town: Town) -> None:
    town.open(municipality="999")
    assert town.tell() == 0


@pytest.mark.parametrize("state", ["approved", "applied", "rejected", "superseded"])
def test_nothing_is_told_of_a_decided_hold(town: Town, state: str) -> None:
    town.open(state=state)
    town.clock.forward(days=3)
    assert town.tell() == 0
    assert town.mail.attempts == 0


def test_a_hold_whose_trouble_was_told_before_is_not_told(town: Town) -> None:
    town.open(notified_at=MORNING)
    assert town.tell() == 0


def test_a_hold_that_was_decided_while_its_notice_was_under_way_stays_decided(town: Town) -> None:
    number = town.open()

    class Approving(FakeNotifier):
        def send(self, notice: Notice) -> None:
            super().send(notice)
            town.bench.decide(number, approve=False)

    town.notices.ways[0].notifier = Approving()
    town.tell()
    hold = town.hold(number)
    assert (hold.state, hold.decided_by, hold.notified_at) == ("rejected", "anna", MORNING)


def test_a_real_hold_is_told(town: Town) -> None:
    town.bench.policy = GuardPolicy()
    town.bench.take(group("1A"), *(pupil(f"user{n}") for n in range(10)))
    town.bench.take(group("1A"), pupil("user0"))
    assert town.tell() == 1
    assert REASON_TEXTS["shrunken"] in town.mail.sent[0].text


# ---------------------------------------------------------------- together


def test_holds_of_a_pass_are_told_at_its_end(town: Town) -> None:
    busy = {TOWN}
    town.notices.is_busy = lambda code: code in busy
    first = town.open()
    assert town.tell() == 0
    second = town.open(institution=OTHER_SCHOOL)
    busy.clear()
    assert town.tell() == 2
    assert town.mail.told == [("opened", TOWN, [first, second])]


def test_a_pass_without_end_delays_a_notice_by_a_quarter_of_an_hour_at_most(town: Town) -> None:
    town.notices.is_busy = lambda code: True
    town.open()
    town.clock.forward(minutes=14)
    assert town.tell() == 0
    town.clock.forward(minutes=1)
    assert town.tell() == 1


def test_holds_that_follow_soon_are_told_together(town: Town) -> None:
    town.notices.pace = timedelta(minutes=10)
    first = town.open()
    town.tell()
    later = []
    for _ in range(3):
        town.clock.forward(minutes=3)
        later.append(town.open())
        assert town.tell() == 0
    town.clock.forward(minutes=1)
    assert town.tell() == 3
    assert town.mail.told == [("opened", TOWN, [first]), ("opened", TOWN, later)]


# ---------------------------------------------------------------- the reminder


def test_one_reminder_follows_after_a_day(town: Town) -> None:
    number = town.open()
    town.tell()
    town.clock.forward(hours=23, minutes=59)
    assert town.tell() == 0
    town.clock.forward(minutes=1)
    assert town.tell() == 1
    town.clock.forward(days=30)
    town.restarted()
    assert town.tell() == 0
    assert town.mail.told == [("opened", TOWN, [number]), ("reminder", TOWN, [number])]
    assert town.hold(number).reminded_at == MORNING + DAY
    assert town.mail.sent[1].subject == "Skolebro: Reminder: 1 hold waits for a decision in Prøveby (101)"
    assert "24 hours ago" in town.mail.sent[1].text


def test_without_remind_after_nobody_is_reminded(town: Town) -> None:
    town.notices.remind_after = None
    town.open()
    town.tell()
    town.clock.forward(days=30)
    assert town.tell() == 0


def test_a_decided_hold_needs_no_reminder(town: Town) -> None:
    number = town.open()
    town.tell()
    town.bench.decide(number, approve=False)
    town.clock.forward(days=2)
    assert town.tell() == 0


def test_a_trouble_that_is_held_anew_every_hour_is_reminded_of_once(town: Town) -> None:
    number = town.open()
    town.tell()
    for _ in range(72):
        town.clock.forward(hours=1)
        with town.bench.store.write() as uow:
            uow.set_hold_state(number, "superseded", None, town.clock.now())
        number = town.open(notified_at=MORNING, digest=f"{town.clock.now()}")
        town.tell()
    assert [kind for kind, _, _ in town.mail.told] == ["opened", "reminder"]


# ---------------------------------------------------------------- a way that fails


def test_a_mail_server_that_is_down_is_tried_again_later_and_then_told(town: Town) -> None:
    number = town.open()
    town.mail.failure = DOWN
    assert town.tell() == 0
    assert town.hold(number).notified_at is None
    town.mail.failure = None
    assert town.tell() == 0  # not at once
    town.clock.forward(minutes=1)
    assert town.tell() == 1
    assert town.mail.told == [("opened", TOWN, [number])]
    assert (town.count("opened", "failed"), town.count("opened", "sent")) == (1, 1)


def test_a_server_that_stays_down_is_asked_less_and_less_often(town: Town) -> None:
    town.open()
    town.mail.failure = DOWN
    for _ in range(24 * 60):
        town.tell()
        town.clock.forward(minutes=1)
    assert 20 < town.mail.attempts < 50


def test_failing_and_recovering_are_a_line_each(town: Town, stream: io.StringIO) -> None:
    town.open()
    town.mail.failure = DOWN
    for _ in range(3):
        town.tell()
        town.clock.forward(hours=2)
    town.mail.failure = None
    town.tell()
    assert logged(stream) == ["notice.failed", "notice.recovered", "notice.sent"]


def test_no_municipality_is_tried_at_a_server_that_has_just_failed(town: Town) -> None:
    town.open()
    town.open(municipality="102")
    town.mail.failure = DOWN
    town.tell()
    assert town.mail.attempts == 1


def test_the_receivers_own_wish_to_wait_is_heeded(town: Town) -> None:
    town.open()
    town.mail.failure = NoticeFailed("status_429", "too much", timedelta(minutes=20))
    town.tell()
    town.mail.failure = None
    town.clock.forward(minutes=19)
    assert town.tell() == 0
    town.clock.forward(minutes=1)
    assert town.tell() == 1


def test_with_two_ways_one_that_fails_neither_delays_nor_repeats_the_other(town: Town) -> None:
    town.restarted(both=True)
    first = town.open()
    town.webhook.failure = DOWN
    assert town.tell() == 1
    second = town.open(institution=OTHER_SCHOOL)
    town.clock.forward(seconds=30)
    assert town.tell() == 1
    town.webhook.failure = None
    town.clock.forward(hours=1)
    assert town.tell() == 0
    assert town.mail.told == [("opened", TOWN, [first]), ("opened", TOWN, [second])]
    assert town.webhook.told == [("opened", TOWN, [first, second])]
    assert [way.owed for way in town.notices.ways] == [set(), set()]


def test_a_way_that_recovers_is_not_told_of_what_was_decided_meanwhile(town: Town) -> None:
    town.restarted(both=True)
    number = town.open()
    town.webhook.failure = DOWN
    town.tell()
    town.bench.decide(number, approve=False)
    town.webhook.failure = None
    town.clock.forward(hours=1)
    town.tell()
    assert town.webhook.sent == []
    assert town.notices.ways[1].owed == set()


def test_a_stop_is_heeded_before_the_next_message(town: Town) -> None:
    town.open()
    town.notices.go_on = lambda: False
    assert town.tell() == 0
    assert town.mail.attempts == 0


# ---------------------------------------------------------------- words


def test_a_notice_says_why_how_much_what_is_safe_and_what_to_do(town: Town) -> None:
    town.notices.writer = Writer({TOWN: "Prøveby"}, "https://skolebro.prøveby.example")
    town.open()
    town.tell()
    assert town.mail.sent[0].subject == "Skolebro: 1 hold waits for a decision in Prøveby (101)"
    assert town.mail.sent[0].text == (
        "1 hold waits for a decision in Prøveby (101).\n"
        "\n"
        "Hold 1: a snapshot of institution 101001, since 2026-08-11 06:00 UTC\n"
        "  Why: more would be deleted than the threshold allows\n"
        "  How much: 120 of 800 people deleted; 1 group created\n"
        "  Look at it: skolebro holds show 1\n"
        "  Decide: skolebro holds approve 1, or skolebro holds reject 1\n"
        "\n"
        "Nothing is deleted until you decide, and nothing of what waits is changed or sent.\n"
        "Everything else goes on.\n"
        "Console: https://skolebro.prøveby.example\n"
    )


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("deletions", "deletions at target 101/platform"),
        ("target", "a changed mapping of target 101/platform"),
        ("drift", "differences found at target 101/platform"),
    ],
)
def test_a_notice_says_what_a_hold_is_about(town: Town, subject: str, words: str) -> None:
    town.open(subject=subject, target="101/platform", institution="")
    town.tell()
    assert words in town.mail.sent[0].text


def test_no_user_id_no_group_and_no_file_name_is_told(town: Town, stream: io.StringIO) -> None:
    number = town.open()
    town.tell()
    town.clock.forward(days=2)
    town.tell()
    assert len(town.mail.sent) == 2
    told = (
        "".join(f"{notice}{payload(notice)}{mail_of(notice).decode()}" for notice in town.mail.sent)
        + stream.getvalue()
    )
    assert '"count": 1' in stream.getvalue() and str(number) in told
    for word in (*PEOPLE, "kanarina-gruppen", "drop/"):
        assert word not in told


def test_what_a_source_wrote_as_an_institution_number_is_masked(town: Town) -> None:
    town.open(institution="311299-4987\r\nBcc: all@example.com", reasons=("wrong_institution",))
    town.tell()
    text = town.mail.sent[0].text
    assert "311299" not in text and "all@example" not in text and "\nBcc" not in text


def test_counts_of_unknown_things_are_left_out(town: Town) -> None:
    town.open(counts={"person.deleted": 1, "Hr. Kanarina": 3, "person.stored": 4})
    town.tell()
    assert dict(town.mail.sent[0].holds[0].counts) == {"person.deleted": 1, "person.stored": 4}
    assert "1 of 4 people deleted" in town.mail.sent[0].text


def mail_of(notice: Notice) -> bytes:
    return message(notice, "skolebro@example.com", ["it@example.com"]).as_bytes()


@STEADY
@given(name=st.text(min_size=1))
def test_no_name_of_a_municipality_can_add_a_header_or_a_line(name: str) -> None:
    for hostile in (name, f"{name}\r\nBcc: all@example.com\r\n\r\n{name}"):
        notice = Writer({TOWN: hostile}).opened(TOWN, [replace(a_hold(), id=1)], MORNING)
        head, _, _ = mail_of(notice).partition(b"\r\n\r\n")
        names = [line.partition(b":")[0] for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
        assert sorted(names) == sorted(
            [
                *(b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Auto-Submitted"),
                *(b"X-Auto-Response-Suppress", b"MIME-Version", b"Content-Type", b"Content-Transfer-Encoding"),
            ]
        )
        assert notice.subject.splitlines() == [notice.subject]


def test_a_mail_can_be_known_as_made_by_a_machine_and_as_a_repeat() -> None:
    notice = Writer({TOWN: "Prøveby"}).opened(TOWN, [replace(a_hold(), id=1)], MORNING)
    mail = message(notice, "skolebro@example.com", ["it@example.com", "skole@example.com"])
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == f"<{notice.id}@example.com>"
    assert mail["Date"] == "Tue, 11 Aug 2026 06:00:00 +0000"
    assert mail["To"] == "it@example.com, skole@example.com"
    assert "Prøveby" in mail["Subject"]


def test_a_test_notice_names_no_hold(town: Town) -> None:
    notice = town.notices.writer.test(TOWN, "id-1", MORNING)
    assert hand_over(town.notices, town.notices.ways[0], notice)
    assert town.mail.told == [("test", TOWN, [])]
    assert town.count("test", "sent") == 1


@pytest.mark.parametrize("secret", ["", "whsec_", "kanarina", "whsec_" + base64.b64encode(b"short").decode()])
def test_what_is_no_webhook_secret_is_refused_unquoted(secret: str, bench: Bench) -> None:
    with pytest.raises(ConfigError) as caught:
        WebhookNotifier(None, "/", secret, bench.clock.now)  # type: ignore[arg-type]  # nothing is called
    assert str(caught.value).startswith("secret_file: not a Standard Webhooks secret")
    assert not secret or secret not in str(caught.value).replace("(whsec_", "")


# ---------------------------------------------------------------- the configuration

MAIL = """
  mail:
    server: 127.0.0.1
    security: none
    sender: skolebro@example.com
    to: [it@example.com]
"""


def settings(folder: Path, notices: str, own: str = "") -> object:
    (folder / "in").mkdir(exist_ok=True)
    for name in ("secret", "password"):
        (folder / name).write_text("x")
    path = folder / "skolebro.yaml"
    path.write_text(
        f"state_folder: state\nmunicipalities:\n  '101':\n    name: P\n    institutions: all\n"
        f"    source: {{connector: stil-folder, folder: in}}\n{own}{notices}"
    )
    return load_settings(path, Registry())


@pytest.mark.parametrize(
    ("notices", "own", "message"),
    [
        ("notices: {remind_after: 1h}", "", "nobody would be told"),
        (
            "notices:" + MAIL.replace("127.0.0.1", "mail.example.com"),
            "",
            "security none: mail.example.com is another",
        ),
        (
            "notices:" + MAIL + "    user_name: a\n    password_file: password",
            "",
            "security none sends no password",
        ),
        ("notices:" + MAIL + "    user_name: a", "", "user_name and password_file belong together"),
        (
            "notices:" + MAIL.replace("it@example.com", "'it@example.com\\r\\nBcc: x@y.z'"),
            "",
            "plain mail address",
        ),
        ("notices:" + MAIL + "    timeout: 2m", "", "notices.mail.timeout"),
        ("notices:" + MAIL + "    password: hemmelig", "", "unknown key; did you mean 'password_file'"),
        ("notices: {webhook: {base_url: 'https://a.example', secret_file: none}}", "", "no file at"),
        ("notices:" + MAIL, "    notices: {to: []}\n", "municipalities.101.notices.to"),
        (
            "notices: {webhook: {base_url: 'https://a.example', secret_file: secret}}",
            "    notices: {to: [it@example.com]}\n",
            "municipalities.101.notices.to: there is no mail server",
        ),
    ],
)
def test_a_mistake_in_the_section_is_told_at_its_place(
    tmp_path: Path, notices: str, own: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        settings(tmp_path, notices, own)
    assert "hemmelig" not in str(caught.value)


def test_a_municipality_may_name_whom_to_tell(tmp_path: Path) -> None:
    found = settings(tmp_path, "notices:" + MAIL, "    notices: {to: [skole@example.com]}\n")
    assert found.municipalities[0].recipients == ("skole@example.com",)  # type: ignore[attr-defined]

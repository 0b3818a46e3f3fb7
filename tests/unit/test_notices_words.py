"""A notice says what to decide and how, and names nobody."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.adapters.notify_mail import message
from bridge.adapters.notify_webhook import payload
from bridge.engine.notice_texts import Writer
from bridge.engine.notices import hand_over
from bridge.ports import Notice
from tests.support.anything import STEADY
from tests.support.engine import MORNING, TOWN
from tests.support.notices import PEOPLE, Town, a_hold


@pytest.fixture
def town() -> Town:
    return Town()


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

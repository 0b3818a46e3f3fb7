"""Every code that a source may fail with is told in words, and a strange one as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.engine.guard import REJECTED
from bridge.observe import in_words, needs_person
from bridge.observe.reasons import WORDS

ROOT = Path(__file__).parents[2]
_RAISED = re.compile(r"(?:SnapshotInvalid\(|refuse\(|Source(?:Unavailable|Unauthorised)\(\s*f?)\"([a-z_]+)[\":]")
_UNAUTHORISED = re.compile(r"SourceUnauthorised\(\s*f?\"([a-z_]+):")
_TABLE = re.compile(r"^\| (`.*?`) \|", re.MULTILINE)


def documented(page: str) -> set[str]:
    """The codes in the first column of the tables of a page."""
    text = (ROOT / "docs" / "how-to" / page).read_text("utf-8")
    return {code for cell in _TABLE.findall(text) for code in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", cell)}


def raised(pattern: re.Pattern[str]) -> set[str]:
    """The codes that connectors raise in so many words."""
    files = (ROOT / "connectors").rglob("*.py")
    return {code for file in files for code in pattern.findall(file.read_text("utf-8"))}


def test_every_code_that_a_connector_raises_has_words() -> None:
    assert raised(_RAISED) <= WORDS.keys()


def test_every_refusal_that_a_connector_raises_needs_a_person() -> None:
    assert raised(_UNAUTHORISED) and all(map(needs_person, raised(_UNAUTHORISED)))


def test_every_code_that_the_guide_to_stil_explains_has_words() -> None:
    keys = {"udbydersystem_id"}
    assert documented("connect-to-stil.md") - keys <= WORDS.keys()


def test_a_snapshot_that_a_person_rejected_has_words() -> None:
    assert REJECTED in WORDS


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("truncated", "the document was cut off before its end; it is tried again (truncated)"),
        ("http_503", "the source answered with HTTP status 503 (http_503)"),
        ("status_429", "the source answered with HTTP status 429 (status_429)"),
        ("some_new_code", "some_new_code"),
        (None, "the reason is not known"),
    ],
)
def test_a_code_is_told_in_words(code: str | None, words: str) -> None:
    assert in_words(code) == words


@pytest.mark.parametrize(
    "code",
    ["signature_refused", "request_unsigned", "provider_system_unknown", "credential_refused", "http_refused"],
)
def test_a_refusal_of_ourselves_needs_a_person(code: str) -> None:
    assert needs_person(code)


@pytest.mark.parametrize("code", ["timeout", "http_503", "truncated", "source_unavailable", None])
def test_what_mends_itself_needs_nobody(code: str | None) -> None:
    assert not needs_person(code)

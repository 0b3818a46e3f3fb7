"""`skolebro check` asks a source one harmless question, and says which institutions may be fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.app import Checked, check, open_bridge
from bridge.config import load_settings
from bridge.connector import Connector, ConnectorConfig, Record, Snapshot, SourceFailure
from bridge.domain.errors import SnapshotInvalid, SourceUnauthorised, SourceUnavailable
from tests.support.rabbitmq import require_rabbitmq, url

CONFIG = """
state_folder: state
municipalities:
  "0751":
    name: Prøveby
    institutions: {institutions}
    source: {{connector: asked}}
"""


class PlainSource:
    """A source that is read as a whole."""

    def snapshots(self) -> Iterator[Snapshot | SourceFailure]:
        raise AssertionError("a check fetches nothing")

    def parse(self, snapshot: Snapshot) -> Iterator[Record]:
        raise AssertionError("a check reads nothing")

    def taken(self, snapshot: Snapshot) -> None: ...


@dataclass
class AskedSource(PlainSource):
    """One that is asked institution by institution; an error stands for its answer."""

    answer: frozenset[str] | Exception
    concurrency: int = 1

    def agreements(self) -> frozenset[str]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def fetch(self, institution: str) -> Snapshot:
        raise AssertionError("a check fetches nothing")


@dataclass
class GreetingSource(AskedSource):
    """One that says hello, or does not."""

    word: str | Exception = "Hello AB1!"

    def greeting(self) -> str:
        if isinstance(self.word, Exception):
            raise self.word
        return self.word


Ask = Callable[..., Checked]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Check a bridge with this source, and return what is said of it."""

    def checked(
        source: PlainSource, institutions: str = "all", is_offline: bool = False, feed: str | None = None
    ) -> Checked:
        text = CONFIG.format(institutions=institutions)
        if feed is not None:
            (tmp_path / "feed-url").touch(mode=0o600)
            (tmp_path / "feed-url").write_text(feed)
            text += "    feed: {url_file: feed-url, queue: skolebro.test.check}\n"
        (tmp_path / "skolebro.yaml").write_text(text)
        connector = Connector("asked", ConnectorConfig, source=lambda config, services: source)
        bridge = open_bridge(load_settings(tmp_path / "skolebro.yaml", {"asked": connector}))
        found = {one.name: one for one in check(bridge, is_offline=is_offline)}
        bridge.store.close()
        return found["source 0751" if feed is None else "feed 0751"]

    return checked


def agreed(*institutions: str) -> AskedSource:
    return AskedSource(frozenset(institutions))


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (
            "751.#",
            "no event has the key 751.#, for there is no municipality '751'; did you mean '0751'? there are 0751",
        ),
        ("0751.pupil.*", "there is no kind 'pupil'; "),
        ("*.person.gone", "there is no operation 'gone'; there are created, deleted, updated"),
        ("#", ""),
        ("0751.#", ""),
        ("0751.person.*", ""),
        ("*.*.deleted", ""),
        ("#.deleted", ""),
    ],
)
def test_a_binding_key_that_no_event_has_is_told(key: str, told: str, tmp_path: Path) -> None:
    broker = f"broker: {{url_file: url, queues: {{some: ['{key}']}}}}\n"
    (tmp_path / "url").touch(mode=0o600)
    (tmp_path / "url").write_text("amqp://guest:guest@127.0.0.1:1/")
    path = tmp_path / "skolebro.yaml"
    path.write_text(CONFIG.format(institutions="all") + broker)
    connector = Connector("asked", ConnectorConfig, source=lambda config, services: agreed("101"))
    bridge = open_bridge(load_settings(path, {"asked": connector}))
    found = [one.text for one in check(bridge, is_offline=True) if one.name == "queue some"]
    assert [told in text for text in found] == [True] * bool(told)


@pytest.mark.parametrize(
    ("address", "is_offline", "ok", "text"),
    [
        (url(), False, True, "works"),
        (url(credential="guest:wrong"), False, False, "(broker_refused"),
        ("amqp://guest:guest@127.0.0.1:1/", False, False, "the broker cannot be reached"),
        ("amqp://guest:guest@127.0.0.1:1/", True, True, "works"),
    ],
)
def test_a_feed_is_greeted(ask: Ask, address: str, is_offline: bool, ok: bool, text: str) -> None:
    require_rabbitmq()
    found = ask(PlainSource(), is_offline=is_offline, feed=address)
    assert found.ok is ok and text in found.text.replace("broker_refused:", "(broker_refused")
    assert "wrong" not in found.text


def test_a_source_that_is_read_as_a_whole_works(ask: Ask) -> None:
    assert ask(PlainSource()) == Checked("source 0751", True, "works")


def test_all_institutions_are_counted(ask: Ask) -> None:
    assert ask(agreed("101001", "101002")).text == "2 institutions are agreed"
    assert ask(agreed("101001")).text == "1 institution is agreed"


def test_configured_institutions_without_an_agreement_are_named(ask: Ask) -> None:
    found = ask(agreed("101002", "101009"), '["101003", "101001", "101002"]')
    assert not found.ok
    assert found.text.startswith(
        "1 of 3 configured institutions are agreed; missing: 101001, 101003; the institution"
    )


def test_nothing_is_missing_where_all_are_agreed(ask: Ask) -> None:
    assert ask(agreed("101001"), '["101001"]').text == "1 of 1 configured institutions are agreed"


@pytest.mark.parametrize("institutions", ["all", '["101001"]'])
def test_a_source_that_would_give_nothing_fails(ask: Ask, institutions: str) -> None:
    found = ask(agreed() if institutions == "all" else agreed("101009"), institutions)
    assert not found.ok and found.text.startswith("none of the institutions is agreed")
    assert "101009" not in found.text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SourceUnauthorised("signature_refused: register it"), "signature_refused: register it"),
        (SourceUnavailable("timeout: no answer"), "the source did not answer in time (timeout): no answer"),
        (SourceUnavailable("strange"), "strange"),
        (SnapshotInvalid("signature_missing"), "the answer is not signed;"),
    ],
)
def test_a_source_that_cannot_be_asked_fails_and_says_why(ask: Ask, error: Exception, text: str) -> None:
    found = ask(AskedSource(error))
    assert not found.ok and found.text.startswith(text)


def test_nobody_is_asked_offline(ask: Ask) -> None:
    assert ask(AskedSource(AssertionError("asked")), is_offline=True).text == "works"


def test_where_nothing_is_agreed_it_is_said_whether_the_source_knows_us(ask: Ask) -> None:
    found = ask(GreetingSource(frozenset()))
    assert not found.ok and found.text.endswith('the connection itself works, the source says "Hello AB1!"')


def test_a_source_that_does_not_greet_either_says_why(ask: Ask) -> None:
    found = ask(GreetingSource(frozenset(), word=SourceUnavailable("service_fault: STIL failed")))
    assert not found.ok and "it does not greet us either (" in found.text and "service_fault" in found.text


def test_where_something_is_agreed_no_more_is_asked(ask: Ask) -> None:
    assert ask(GreetingSource(frozenset({"101001"}), word=AssertionError("asked"))).ok

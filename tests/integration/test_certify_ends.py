"""`skolebro certify` ends in bounded time whatever the receiver does, and leaves nobody there."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bridge.adapters.clock import SystemClock
from bridge.adapters.http import HttpEdge
from bridge.app.certify import BrokenOff, Order, certify
from bridge.cli.main import app
from bridge.domain.errors import ConfigError
from bridge.registry import Registry
from bridge.testing.certify import CHECKS, Receiver, Verdict, judge
from bridge.testing.certify.cast import Cast
from bridge.testing.certify.wire import Patience
from bridge.testing.loopback import Request, Response
from tests.support.vendor_receiver import VendorReceiver

pytestmark = pytest.mark.slow  # each a whole school

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
BURST = next(check for check in CHECKS if check.name == "burst")


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    return secret(tmp_path / "secret", SECRET)


def secret(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def run(url: str, secret_file: Path, *more: str) -> Result:
    words = ["certify", url, "--secret-file", str(secret_file), "--pupils", "10", *more]
    return CliRunner().invoke(app, words)


def failed(done: Result) -> set[str]:
    return {one["check"] for one in json.loads(done.stdout)["checks"] if not one["passed"]}


class Fading(VendorReceiver):
    """Answers so many requests, and then, for as long as `is_silent`, none."""

    def __init__(self, secret: str, lasts: int) -> None:
        super().__init__(secret)
        self._lasts, self.is_silent = lasts, True

    def answer(self, request: Request) -> Response | None:
        return None if self.is_silent and self.arrivals > self._lasts else super().answer(request)


@pytest.mark.parametrize("defect", ["believes anybody", "forgets who is gone"])
def test_who_came_in_by_a_fault_of_the_receiver_is_deleted_too(secret_file: Path, defect: str) -> None:
    with VendorReceiver(SECRET, defect) as receiver:
        done = run(receiver.url, secret_file, "--held", receiver.url, "--json")
    assert receiver.held == {} and "all gone" not in failed(done)
    assert done.exit_code == 1


def test_who_is_still_there_although_all_was_deleted_is_told(secret_file: Path) -> None:
    with VendorReceiver(SECRET, "never deletes") as receiver:
        done = run(receiver.url, secret_file, "--held", receiver.url, "--json")
    assert "all gone" in failed(done)


def test_a_receiver_that_answers_every_event_by_a_page_comes_to_an_end(secret_file: Path) -> None:
    with VendorReceiver(SECRET, "answers with a page") as receiver:
        order = Order(receiver.url, secret_file, pupils=10)
        found = certify(order, Registry(), rest=lambda _: None)
    assert receiver.held == {}
    (first,) = [one for one in found.verdicts if one.name == "first load"]
    assert not first.is_passed and "200 a web page" in first.counted


@pytest.mark.parametrize("lasts", [40, 290])
def test_a_receiver_that_falls_silent_is_given_up_by_a_sentence_that_counts_who_is_left(
    secret_file: Path, lasts: int
) -> None:
    verdicts: list[Verdict] = []
    with Fading(SECRET, lasts) as receiver:
        order = Order(receiver.url, secret_file, pupils=10)
        with pytest.raises(
            BrokenOff, match=r"fell silent \(connection_lost\).* [1-9]\d* entities of /municipality/"
        ):
            certify(order, Registry(), verdicts.append, rest=lambda _: None)
    assert receiver.held and receiver.arrivals < lasts + 20
    assert all(one.is_passed for one in verdicts)


def test_a_receiver_that_fell_silent_and_is_back_is_left_empty(secret_file: Path) -> None:
    with Fading(SECRET, 40) as receiver:
        waits: list[float] = []

        def rest(seconds: float) -> None:
            waits.append(seconds)
            receiver.is_silent = len(waits) < 2

        certify(Order(receiver.url, secret_file, pupils=10), Registry(), rest=rest)
    assert receiver.held == {}


def test_the_command_says_that_a_receiver_fell_silent(secret_file: Path) -> None:
    with Fading(SECRET, 40) as receiver:
        done = run(receiver.url, secret_file)
    assert done.exit_code == 3 and "fell silent" in done.output and "delete them" in done.output


def put_through_burst(receiver: VendorReceiver, waits: list[float]) -> Verdict:
    clock, edge = SystemClock(), HttpEdge(receiver.url)
    told = Receiver(edge, "/", SECRET, clock.now, Patience(waits.append))
    found = judge(BURST, told, Cast("certify-1", clock.now, clock.new_id))
    edge.close()
    return found


class Busy(VendorReceiver):
    """Asks for patience by `headers` at each fortieth event, or for ever."""

    headers: dict[str, str]
    every = 40

    def answer(self, request: Request) -> Response | None:
        is_busy = self.arrivals % self.every == 0
        return Response(429, headers=self.headers) if is_busy else super().answer(request)


@pytest.mark.parametrize(("headers", "waits"), [({"Retry-After": "7"}, 7.0), ({}, 1.0)])
def test_who_asks_for_patience_is_given_it_and_has_passed(headers: dict[str, str], waits: float) -> None:
    given: list[float] = []
    with Busy(SECRET) as receiver:
        receiver.headers = headers
        found = put_through_burst(receiver, given)
    assert found.is_passed and found.put_off == len(given) == 2 and set(given) == {waits}


def test_patience_is_bounded(secret_file: Path) -> None:
    given: list[float] = []
    with Busy(SECRET) as receiver:
        receiver.headers, receiver.every = {"Retry-After": "3600"}, 1
        found = put_through_burst(receiver, given)
    assert not found.is_passed and set(found.answers) == {"429"}
    assert timedelta(minutes=4) < timedelta(seconds=sum(given)) <= timedelta(minutes=5)


def test_a_look_that_wants_a_token_is_given_it(secret_file: Path, tmp_path: Path) -> None:
    token_file = secret(tmp_path / "token", "of-the-test")
    with VendorReceiver(SECRET, token="of-the-test") as receiver:
        refused = run(receiver.url, secret_file, "--held", receiver.url)
        done = run(receiver.url, secret_file, "--held", receiver.url, "--held-token-file", str(token_file))
    assert refused.exit_code == 3 and "it answers 401" in refused.output
    assert done.exit_code == 0 and "held: passed" in done.stdout


def test_what_the_mapping_does_not_tell_has_neither_passed_nor_failed(secret_file: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "people.yaml"
    mapping.write_text("mapping: people\nextends: webhook/events\nresources:\n  membership: null\n")
    with VendorReceiver(SECRET) as receiver:
        done = run(receiver.url, secret_file, "--mapping", str(mapping))
    assert done.exit_code == 0, done.output
    assert "-       reference ahead" in done.stdout and "1 of them not judged" in done.stdout
    assert not any(b"membership" in request.body for request in receiver.received)


def test_a_token_without_a_look_is_a_mistake(secret_file: Path, tmp_path: Path) -> None:
    done = run("http://127.0.0.1:1/", secret_file, "--held-token-file", str(secret_file))
    assert isinstance(done.exception, ConfigError) and "--held" in str(done.exception)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--mapping", "nosuch"), "--mapping: mapping 'nosuch' is no preset"),
        (("--secret-file", "{bad}"), "--secret-file {bad}: not a Standard Webhooks secret"),
        (("--client-key-file", "{bad}"), "client_certificate_file and client_key_file belong together"),
    ],
)
def test_a_mistake_is_told_of_the_option_it_is_in(
    secret_file: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    bad = tmp_path / "bad"
    bad.touch(mode=0o600)
    bad.write_text("bad")
    done = run("http://127.0.0.1:1/", secret_file, *(word.format(bad=bad) for word in more))
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).startswith(message.format(bad=bad))
    assert "skolebro.yaml" not in str(done.exception)


@pytest.mark.parametrize(
    "told",
    [
        b'["x"]',
        b'{"x": {}}',
        b'{"x": {"entityversion": "1", "object": {}}}',
        b'{"x": {"entityversion": 1, "object": "x"}}',
        b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    ],
    ids=["list", "empty", "version", "object", "deep"],
)
def test_a_look_of_another_form_is_told_plainly_and_nobody_is_sent(secret_file: Path, told: bytes) -> None:
    class Odd(VendorReceiver):
        def answer(self, request: Request) -> Response | None:
            return Response(200, told) if request.method == "GET" else super().answer(request)

    with Odd(SECRET) as receiver:
        done = run(receiver.url, secret_file, "--held", receiver.url)
    assert done.exit_code == 3 and "not JSON of the form" in done.output
    assert receiver.received == []

"""`skolebro certify` passes a receiver that does what the guide says, and names what another does wrong."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bridge.adapters.clock import SystemClock
from bridge.adapters.http import HttpEdge
from bridge.cli.main import app
from bridge.testing.certify import CHECKS, Receiver, judge
from bridge.testing.certify.cast import Cast
from bridge.testing.certify.wire import Patience
from tests.support.vendor_receiver import VendorReceiver

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "webhooks.md"
CERTIFY = HOW_TO.with_name("certify.md")
SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
FORGERIES = {"wrong secret", "changed body", "missing headers", "other id", "old timestamp", "future timestamp"}


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text(SECRET)
    return path


def run(url: str, secret_file: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["certify", url, "--secret-file", str(secret_file), *more])


@contextmanager
def of_the_guide() -> Iterator[tuple[str, dict[str, Any]]]:
    """The receiver of the guide, with the address for `--held` that the kit's page adds to it."""
    (code,) = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"SECRET": SECRET}
    exec(compile(code.split("# ---", 1)[0], str(HOW_TO), "exec"), names)  # noqa: S102 - our own document

    (look,) = re.findall(r"```python\n(.*?)```", CERTIFY.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(look, str(CERTIFY), "exec"), names)  # noqa: S102 - our own document

    class Looked(names["Receiver"]):  # type: ignore[misc]
        do_GET = names["do_GET"]  # noqa: N815 - the library's name

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Looked) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/events", names
        server.shutdown()


def test_the_receiver_of_the_guide_passes_and_holds_nobody_afterwards(secret_file: Path) -> None:
    with of_the_guide() as (url, names):
        done = run(url, secret_file, "--held", url, "--json")
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert {(one["answered"], one["held"]) for one in told["checks"]} == {("passed", "passed")}
        assert {one["check"] for one in told["checks"]} >= FORGERIES | {"first load", "school year", "all gone"}
        assert len(names["versions"]) > 200 and names["held"] == {}


def test_a_second_run_is_of_others(secret_file: Path) -> None:
    with of_the_guide() as (url, names):
        assert run(url, secret_file, "--pupils", "10").exit_code == 0
        first = set(names["versions"])
        assert run(url, secret_file, "--pupils", "10", "--held", url).exit_code == 0
        assert len(names["versions"]) > len(first) * 1.9


def test_without_a_look_only_the_answers_are_judged(secret_file: Path) -> None:
    with VendorReceiver(SECRET, "counts no versions") as receiver:
        done = run(receiver.url, secret_file, "--pupils", "10")
    assert done.exit_code == 0
    assert "held: not judged" in done.stdout and "Only its answers were judged" in done.stdout


def test_a_receiver_that_does_wrong_fails_with_advice_and_is_left_empty(secret_file: Path) -> None:
    with VendorReceiver(SECRET, "looks at the first signature", "asks for patience") as receiver:
        done = run(receiver.url, secret_file, "--held", receiver.url, "--pupils", "10")
        assert (done.exit_code, receiver.held) == (1, {})
    assert [one for one in done.stdout.splitlines() if one.startswith("FAILED")] == [
        "FAILED  two signatures: two signatures, the second one right; answers 401 (1); held: failed"
    ]
    assert "one that holds is enough" in done.stdout and "1 of " in done.stdout


@pytest.mark.parametrize(
    ("defect", "failed"),
    [
        ("", set()),
        ("asks for patience", set()),
        ("believes anybody", FORGERIES),
        ("does not look at the time", {"old timestamp", "future timestamp"}),
        ("looks at the first signature", {"two signatures"}),
        ("counts no versions", {"late repeat", "older version", "stays gone"}),
        ("forgets who is gone", {"stays gone"}),
        ("never deletes", {"each kind", "deletion", "stays gone"}),
        ("refuses to delete nobody", {"deletion", "unknown deletion"}),
        ("breaks on deleting nobody", {"unknown deletion"}),
        ("refuses repeats", {"repeat", "late repeat", "deletion", "stays gone"}),
        ("refuses gaps", {"gap", "older version", "stays gone"}),
        ("creates once", {"created again"}),
        ("updates what it has", {"unknown update"}),
        ("lets nobody return", {"comes back"}),
        ("keeps old names", {"protection"}),
        ("knows no guardians", {"each kind"}),
        ("tires", {"burst"}),
        ("believes who does not sign", {"missing headers"}),
        ("cuts names", {"texts", "large event"}),
        ("refuses what it does not know", {"more fields"}),
        ("wants order", {"reference ahead"}),
        ("takes little", {"large event"}),
        ("hangs up on what is large", {"large event"}),
        ("knows ASCII only", {"texts"}),
    ],
)
def test_what_is_wrong_is_named(defect: str, failed: set[str]) -> None:
    clock = SystemClock()
    with VendorReceiver(SECRET, defect) as server:
        edge = HttpEdge(server.url)

        def held() -> dict[str, tuple[int, dict[str, Any]]]:
            told = json.loads(edge.request("GET", "/").body)
            return {subject: (one["entityversion"], one["object"]) for subject, one in told.items()}

        receiver = Receiver(edge, "/", SECRET, clock.now, Patience(lambda _: None), held)
        cast = Cast("certify-1", clock.now, clock.new_id)
        verdicts = [judge(check, receiver, cast) for check in CHECKS]
        edge.close()
    assert {one.name for one in verdicts if not one.is_passed} == failed


def test_a_page_in_place_of_an_answer_confirms_nothing(secret_file: Path) -> None:
    clock = SystemClock()
    with VendorReceiver(SECRET, "answers with a page") as server:
        edge = HttpEdge(server.url)
        receiver = Receiver(edge, "/", SECRET, clock.now, Patience(lambda _: None))
        found = judge(CHECKS[0], receiver, Cast("certify-1", clock.now, clock.new_id))
        edge.close()
    assert not found.is_passed and found.counted == f"200 a web page ({len(found.answers)})"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:1/", "cannot be certified: nothing answers at that address"),
        ("http://vendor.example/", "http:// is for loopback addresses only"),
        ("nowhere", "must be https://host"),
    ],
)
def test_an_address_that_cannot_be_is_told_plainly(secret_file: Path, url: str, told: str) -> None:
    done = run(url, secret_file)
    assert done.exit_code != 0 and told in f"{done.output}{done.exception}"


def test_a_look_that_tells_something_else_is_told_plainly(secret_file: Path) -> None:
    with VendorReceiver(SECRET) as receiver, VendorReceiver(SECRET) as other:
        other.held = {"x": {}}
        done = run(receiver.url, secret_file, "--held", "http://127.0.0.1:1/held")
        assert done.exit_code == 3 and "docs/how-to/certify.md" in done.output
        assert receiver.held == {}


def test_another_secret_is_found_before_anything_is_told(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.touch(mode=0o600)
    path.write_text("whsec_" + base64.b64encode(b"x" * 32).decode())
    with VendorReceiver(SECRET) as receiver:
        done = run(receiver.url, path)
        assert (done.exit_code, receiver.held) == (3, {})
    assert "answers 401" in done.output


def test_another_secret_is_found_at_the_first_events_where_a_receiver_takes_posts_only(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.touch(mode=0o600)
    path.write_text("whsec_" + base64.b64encode(b"x" * 32).decode())
    with of_the_guide() as (url, names):
        done = run(url, path)
        assert (done.exit_code, names["held"]) == (3, {})
    assert "see that it has the same secret" in done.output and "FAILED" not in done.output

"""How many deliveries two `skolebro run --role deliver` confirm in the time in which one confirms one.

The target is an endpoint for events in a process of its own, which answers each request after 20 ms. It has no
batch: each entity is a request. What is counted is what it has answered between its first and its last answer.
That it is not what limits is shown by bare sessions, of one process and of two, that post as fast as they can.
"""

from __future__ import annotations

import base64
import multiprocessing
import secrets
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Condition
from typing import Self

import psycopg
import requests

from benchmarks.measuring import Bench
from benchmarks.postgres import is_missing
from bridge.testing.loopback import LoopbackServer, Request, Response
from bridge.testing.stil_folder import write_exports
from bridge.testing.stil_municipality import Municipality
from tests.support.daemon import Daemon
from tests.support.model import rows_of
from tests.support.postgres import database

LEAST_GROWTH = 1.6
ANSWERS_AFTER = timedelta(milliseconds=20)
TOWN = "101"
PUPILS = 400
BARE_REQUESTS = 500  # of each process
PATIENCE = 300.0
LATER = timedelta(hours=1)

_CONFIG = """\
state_folder: state
database: {{url_file: database-url}}
web: {{listen: null}}
log: {{format: json}}
municipalities:
  "{town}":
    name: Eksempel Kommune
    institutions: all
    interval: 1s
    source: {{connector: stil-folder, folder: incoming}}
    targets:
      vendor: {{connector: webhook, url: "{url}/events", secret_file: secret}}
"""

spawning = multiprocessing.get_context("spawn")


def delivering(bench: Bench) -> None:
    """Compare one process with two; without a server for the database say so and measure nothing."""
    if why := is_missing():
        bench.left_out("deliveries by two processes", why)
        return
    bare = [_bare(processes) for processes in (1, 2)]
    ours = [_ours(processes) for processes in (1, 2)]
    for name, (one, two) in (("bare sessions", bare), ("deliveries", ours)):
        growth = two.rate / one.rate
        told = (
            bench.bound(name, growth >= LEAST_GROWTH, f"at least {LEAST_GROWTH}") if name == "deliveries" else ""
        )
        rates = f"{one.rate:>7.1f}/s by one process   {two.rate:>7.1f}/s by two"
        print(
            f"{name}, {one.number:,} to a target that waits 20 ms   {rates}   growth {growth:.2f}{told}",
            flush=True,
        )


@dataclass(frozen=True, slots=True)
class _Answered:
    """How many requests were answered, and in how many seconds after the first of them."""

    number: int
    seconds: float

    @property
    def rate(self) -> float:
        return (self.number - 1) / self.seconds


# ---------------------------------------------------------------- the target


class _Endpoint(LoopbackServer):
    """Answers everything after its time, and notes when it did."""

    def __init__(self) -> None:
        super().__init__()
        self._answered = Condition()
        self._times: list[float] = []

    def answer(self, request: Request) -> Response:
        self.stopping.wait(ANSWERS_AFTER.total_seconds())
        with self._answered:
            self._times.append(time.monotonic())
            self._answered.notify_all()
        return Response(204)

    def wait_for(self, number: int) -> _Answered:
        """What was answered, once that is so much or nothing more comes."""
        with self._answered:
            self._answered.wait_for(lambda: len(self._times) >= number, PATIENCE)
            return _Answered(len(self._times), self._times[-1] - self._times[0])


def _serve(pipe: Connection) -> None:
    with _Endpoint() as server:
        pipe.send(server.url)
        pipe.send(server.wait_for(pipe.recv()))


class _Target:
    """The endpoint in a process of its own, as long as the block lasts."""

    def __init__(self) -> None:
        self._pipe, self._other = spawning.Pipe()
        self._process = spawning.Process(target=_serve, args=(self._other,), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self.url: str = self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join(PATIENCE)

    def expect(self, number: int) -> None:
        self._pipe.send(number)

    @property
    def answered(self) -> _Answered:
        """What it has answered, once that is as much as it expects."""
        answered: _Answered = self._pipe.recv()
        return answered


# ---------------------------------------------------------------- bare


def _bare(processes: int) -> _Answered:
    with _Target() as target:
        target.expect(processes * BARE_REQUESTS)
        posting = [spawning.Process(target=_post, args=(target.url,), daemon=True) for _ in range(processes)]
        for one in posting:
            one.start()
        answered = target.answered
        for one in posting:
            one.join(PATIENCE)
    return answered


def _post(url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(BARE_REQUESTS):
            session.post(f"{url}/events", data=b"x" * 600).raise_for_status()


# ---------------------------------------------------------------- ours


def _ours(processes: int) -> _Answered:
    with tempfile.TemporaryDirectory() as made, database() as at, ExitStack() as stack:
        target = stack.enter_context(_Target())
        config = _configure(Path(made), at, target.url)
        target.expect(_prepare(config, at))
        names = [f"deliver-{number}" for number in range(processes)]
        crew = [stack.enter_context(Daemon(config, "--role", "deliver", name=name)) for name in names]
        for one in crew:
            one.start()
        for one in crew:
            one.wait_until_started()
        _put_off(at, -LATER)
        answered = target.answered
        assert [one.stop() for one in crew] == [0] * processes
        assert rows_of(at, "SELECT count(*) FROM deliveries WHERE confirmed IS NULL") == [(0,)]
        return answered


def _configure(folder: Path, at: str, url: str) -> Path:
    """A school whose export lies ready, and a bridge that is to send all of it to the target."""
    write_exports(Municipality(7, schools=1, pupils=PUPILS, code=TOWN), folder / "incoming")
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    for name, text in (("database-url", at), ("secret", secret)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    config = folder / "skolebro.yaml"
    config.write_text(_CONFIG.format(town=TOWN, url=url))
    return config


def _prepare(config: Path, at: str) -> int:
    """Have the export recorded, and put off what is due until all who deliver are there; return how much it is."""
    with Daemon(config, "--role", "ingest", name="ingest") as reading:
        reading.start().wait_until(lambda: bool(reading.logged("snapshot.recorded")), "the export is recorded")
        assert reading.stop() == 0
    _put_off(at, LATER)
    return int(rows_of(at, "SELECT count(*) FROM deliveries WHERE is_due = 1")[0][0])


def _put_off(at: str, by: timedelta) -> None:
    with psycopg.connect(at) as connection:
        moved = by // timedelta(microseconds=1)
        connection.execute("UPDATE deliveries SET next_attempt_at = next_attempt_at + %s", [moved])

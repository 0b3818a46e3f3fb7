"""Rows 58, 60, 61 and 63 of the fault matrix: an answer of STIL is believed, or it touches nobody."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.adapters.http import HttpEdge
from bridge.connector import Services, SourceUnauthorised, SourceUnavailable, Subscribes
from bridge.domain.entities import Kind
from bridge.engine.intake import Listener
from bridge.engine.retry import RetryPolicy
from bridge.engine.schedule import Schedule
from bridge.engine.status import read_status
from bridge.engine.subscribe import Subscriber, ask_now
from bridge.observe import Status
from bridge.ports import Subscription
from bridge.testing.loopback import LoopbackServer, Request, Response
from bridge.testing.stil_forgery import FORGERIES
from bridge.testing.stil_municipality import Municipality
from bridge.testing.stil_server import FAULTS, StilServer
from bridge.testing.stil_signed import SYSTEM_ID, SignedStil, signed_stil
from connectors.stil import StilConfig, connector
from tests.matrix.desk import Calm, Desk
from tests.support.engine import TARGET, TOWN

HOUR = timedelta(hours=1)
MEBIBYTE = 2**20


class Line:
    """A desk that asks STIL itself; `url` and what else its configuration needs."""

    def __init__(self, url: str, **options: object) -> None:
        self.desk = Desk()
        self.desk.clock.at = datetime.now(UTC)
        self.listener = Listener()
        self.ask_at(url, **options)

    def ask_at(self, url: str, **options: object) -> None:
        """Ask there from now on, with the same state and the same target."""
        self._asked = (url, options)
        told = {"base_url": url, "udbydersystem_id": SYSTEM_ID, "timeout": "1s", "calls_per_minute": 6000}
        assert connector.source is not None
        services = Services(TOWN, None, HttpEdge, Path.read_text, self.desk.clock.now, Path.read_bytes)
        source = connector.source(StilConfig.model_validate({**told, **options}), services)
        assert isinstance(source, Subscribes)
        schedule = Schedule.read(TOWN, interval=HOUR, cron=None, zone="UTC", jitter=timedelta(0), quiet_hours=())
        policy = RetryPolicy(HOUR, HOUR, HOUR)
        self._subscriber = Subscriber(self.desk.intake, source, schedule, policy, policy, lambda: 0.5)

    def ask(self) -> str | None:
        """Ask for everything, which takes a second; returns why the source as a whole failed, if so."""
        self.desk.refresh()
        try:
            ask_now(self._subscriber, self.listener)
        except (SourceUnavailable, SourceUnauthorised) as error:
            return str(error)
        finally:
            self.desk.clock.forward(seconds=1)
        return None

    def status(self) -> Status:
        return read_status(self.desk.store, [TARGET], self.desk.clock.now())

    def reasons(self) -> set[str]:
        """Why something is not as it should be, as `status` shows it."""
        return {row.reason for row in self.status().institutions if row.reason}

    def settled(self) -> Calm:
        """Bring everything to the target, whatever time that takes, and remember how things stand."""
        url, options = self._asked
        self.ask_at(url, **{**options, "timeout": "60s"})
        assert self.ask() is None
        self.ask_at(url, **options)
        self.desk.drain()
        assert self.desk.entities(Kind.PERSON) and self.desk.target.documents
        return Calm(self.desk)


@pytest.fixture
def server() -> Iterator[StilServer]:
    with StilServer(Municipality(seed=7, schools=2, pupils=24)) as running:
        yield running


# ---------------------------------------------------------------- 60

TYPED = {
    "fault_in_200": "service_fault",
    "500": "service_fault",
    "html": "not_soap",
    "empty": "empty_answer",
    "204": "empty_answer",
    "429": "http_429",
    "cut": "answer_cut",
    "hang": "timeout",
    "slow": "timeout",
}


def test_row_60_every_answer_that_is_none_has_a_reason_and_never_means_no_pupils(server: StilServer) -> None:
    line = Line(server.url)
    calm = line.settled()
    assert TYPED.keys() == set(FAULTS)
    for fault, reason in TYPED.items():
        server.fault = fault
        line.ask()
        assert reason in line.reasons(), fault
        assert calm.holds(), fault
    assert not line.status().is_well
    server.fault = None
    assert line.ask() is None
    assert (line.reasons(), calm.holds()) == (set(), True)


@pytest.mark.parametrize("fault", ["fault_in_200", "500", "html", "empty", "204"])
def test_row_60_so_it_is_for_one_institution_while_the_other_is_brought(server: StilServer, fault: str) -> None:
    line = Line(server.url)
    calm = line.settled()
    one, other = sorted(server.agreements)
    server.faults[one] = fault
    assert line.ask() is None
    last = {run.institution: run.result for run in line.listener.runs}
    assert last[other] == "unchanged" and last[one] in ("failed", "refused")
    assert TYPED[fault] in line.reasons()
    assert calm.holds()


# ---------------------------------------------------------------- 58, over HTTP


class Packed(LoopbackServer):
    """Answers everything with a few bytes that become very many."""

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        super().__init__()
        self._answer = Response(200, body, {"Content-Type": "application/soap+xml; charset=UTF-8", **headers})

    def answer(self, request: Request) -> Response:
        return self._answer


ONCE = gzip.compress(b" " * (65 * MEBIBYTE))
MTOM = b"--x\r\nContent-Type: application/xop+xml\r\n\r\n<a/>\r\n--x\r\n\r\n" + b"x" * MEBIBYTE + b"\r\n--x--"
BOMBS = {
    "gzip": ({"Content-Encoding": "gzip"}, ONCE, {"answer_too_large"}),
    "gzip of gzip": (
        {"Content-Encoding": "gzip, gzip"},
        gzip.compress(ONCE),
        {"answer_too_large"},
    ),
    "attachments": ({"Content-Type": 'multipart/related; boundary="x"'}, MTOM, {"not_soap"}),
}


@pytest.mark.parametrize("how", BOMBS)
def test_row_58_a_bomb_in_an_answer_is_given_up_at_its_size(server: StilServer, how: str) -> None:
    headers, body, reasons = BOMBS[how]
    line = Line(server.url)
    calm = line.settled()
    with Packed(headers, body) as bomb:
        line.ask_at(bomb.url, timeout="20s")
        line.ask()
    assert line.reasons() & reasons, line.reasons()
    assert calm.holds()


# ---------------------------------------------------------------- 61


@pytest.fixture(scope="module")
def signed() -> Iterator[SignedStil]:
    made = signed_stil(Municipality(seed=7, schools=2, pupils=24))
    with made.server:
        yield made


@pytest.fixture
def trusting(signed: SignedStil, tmp_path: Path) -> Line:
    """A desk that believes what is signed by the right authority, and nothing else."""
    folder = tmp_path / "client"
    signed.write_files(folder)
    return Line(
        signed.server.url,
        certificate_file=folder / "client.p12",
        password_file=folder / "client-password",
        oces_ca_files=[folder / "oces-root-ca.pem", folder / "oces-issuing-ca.pem"],
        ca_file=folder / "tls-ca.pem",
        timeout="10s",
    )


def test_row_61_no_forged_answer_is_believed(signed: SignedStil, trusting: Line) -> None:
    """Unsigned, tampered, wrong signer, replayed, wrapped: each of them, for everything and for one export."""
    calm = trusting.settled()
    number = sorted(signed.server.agreements)[0]
    try:
        for forgery in FORGERIES:
            signed.server.fault, signed.server.faults = forgery, {}
            trusting.ask()
            assert trusting.reasons(), forgery
            signed.server.fault, signed.server.faults = None, {number: forgery}
            trusting.ask()
            assert trusting.reasons(), forgery
            assert calm.holds(), forgery
    finally:
        signed.server.fault, signed.server.faults = None, {}
    assert trusting.ask() is None
    assert (trusting.reasons(), calm.holds()) == (set(), True)


# ---------------------------------------------------------------- 63


def subscription(line: Line, number: str) -> Subscription:
    return line.desk.subscriptions()[number]


def test_row_63_an_agreement_that_ends_deletes_nobody_and_an_operator_is_told(server: StilServer) -> None:
    line = Line(server.url)
    calm = line.settled()
    number = sorted(server.agreements)[0]
    server.agreements.discard(number)
    ended = line.desk.clock.at = line.desk.clock.at + HOUR
    assert line.ask() is None
    assert calm.holds()
    row = subscription(line, number)
    assert (row.agreement, row.agreement_at) == ("withdrawn", ended)
    (told,) = [sentence for sentence in line.status().attention if number in sentence]
    assert "data agreement ended" in told and "stored stays" in told


def test_row_63_nothing_more_is_fetched_and_the_clock_of_its_end_goes_on(server: StilServer) -> None:
    line = Line(server.url)
    calm = line.settled()
    number = sorted(server.agreements)[0]
    server.agreements.discard(number)
    line.ask()
    ended = subscription(line, number).agreement_at
    for _ in range(3):
        line.desk.clock.forward(days=10)
        before = server.arrivals
        line.ask()
        assert server.arrivals - before == 2  # the list of agreements, and the other institution
    assert subscription(line, number).agreement_at == ended
    assert calm.holds()


def test_row_63_an_agreement_that_is_renewed_goes_on_where_it_stopped(server: StilServer) -> None:
    line = Line(server.url)
    calm = line.settled()
    number = sorted(server.agreements)[0]
    server.agreements.discard(number)
    line.ask()
    server.agreements.add(number)
    line.desk.clock.forward(hours=1)
    assert line.ask() is None
    assert subscription(line, number).agreement == "agreed"
    assert (line.status().attention, calm.holds()) == ((), True)


def test_row_63_a_refusal_in_mid_export_is_no_deletion_either(server: StilServer) -> None:
    line = Line(server.url)
    calm = line.settled()
    number = sorted(server.agreements)[0]
    server.faults[number] = "Rettigheder"
    line.ask()
    assert calm.holds()
    assert any(number in sentence for sentence in line.status().attention)

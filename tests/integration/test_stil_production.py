"""The signed simulator over TLS, our client, store and status: what is fetched, and what is never believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from bridge.adapters.http import HttpEdge
from bridge.adapters.store_sql import open_throwaway
from bridge.connector import Services, SnapshotInvalid, SourceUnauthorised, SourceUnavailable, Subscribes
from bridge.domain.entities import Kind
from bridge.domain.ids import Key
from bridge.engine.audit import AuditBook
from bridge.engine.fetch import Intake, Listener
from bridge.engine.guard import GuardPolicy
from bridge.engine.retry import RetryPolicy
from bridge.engine.schedule import Schedule
from bridge.engine.status import read_status
from bridge.engine.subscribe import Subscriber, ask_now
from bridge.ports import Run, Store
from bridge.testing.stil_forgery import FORGERIES, WRAPPINGS
from bridge.testing.stil_municipality import Municipality
from bridge.testing.stil_server import AUTHENTIFICATION, FAULTS
from bridge.testing.stil_signed import SYSTEM_ID, SignedStil, signed_stil
from connectors.stil import StilConfig, connector

HOUR = timedelta(hours=1)
TOWN = "0751"
CUTS = 50


@dataclass
class Site:
    """A municipality that subscribes to the simulator with our own client."""

    stil: SignedStil
    store: Store
    subscriber: Subscriber
    listener: Listener

    def ask(self) -> str | None:
        """Ask for everything now; returns why the source as a whole failed, if so."""
        try:
            ask_now(self.subscriber, self.listener)
        except (SourceUnavailable, SourceUnauthorised) as error:
            return str(error)
        return None

    def state(self) -> dict[Kind, dict[Key, bytes]]:
        """Everything that is known of anybody."""
        with self.store.read() as reader:
            return {kind: {row.key: row.hash for row in reader.scan(TOWN, kind, None, 100_000)} for kind in Kind}

    def reasons(self) -> set[str]:
        """Why something is not as it should be, as `status` shows it."""
        status = read_status(self.store, [], datetime.now(UTC))
        return {row.reason for row in status.institutions if row.reason}

    @property
    def last(self) -> Run:
        return self.listener.runs[-1]


@pytest.fixture(scope="module")
def stil() -> Iterator[SignedStil]:
    made = signed_stil(Municipality(seed=7, schools=2, pupils=60))
    with made.server:
        yield made


def site(stil: SignedStil, folder: Path, **options: object) -> Site:
    stil.write_files(folder)
    config = StilConfig.model_validate(
        {
            "base_url": stil.server.url,
            "udbydersystem_id": SYSTEM_ID,
            "certificate_file": folder / "client.p12",
            "password_file": folder / "client-password",
            "oces_ca_files": [folder / "oces-root-ca.pem", folder / "oces-issuing-ca.pem"],
            "ca_file": folder / "tls-ca.pem",
            "calls_per_minute": 6000,
            "timeout": "5s",
            **options,
        }
    )
    assert connector.source is not None
    services = Services(TOWN, None, HttpEdge, Path.read_text, lambda: datetime.now(UTC), Path.read_bytes)
    source = connector.source(config, services)
    assert isinstance(source, Subscribes)
    store = open_throwaway()
    now = lambda: datetime.now(UTC)  # noqa: E731 - one clock for all
    book = AuditBook(b"key", "tests", now)
    intake = Intake(TOWN, None, store, source, GuardPolicy(), [], book, now, lambda: uuid4().hex)
    schedule = Schedule.read(TOWN, interval=HOUR, cron=None, zone="UTC", jitter=timedelta(0), quiet_hours=())
    policy = RetryPolicy(HOUR, HOUR, HOUR)
    return Site(stil, store, Subscriber(intake, source, schedule, policy, policy, lambda: 0.5), Listener())


@pytest.fixture
def fresh(stil: SignedStil, tmp_path: Path) -> Iterator[Site]:
    made = site(stil, tmp_path / "client")
    yield made
    stil.server.fault = stil.server.cut_at = None
    made.store.close()


def test_a_municipality_of_sixty_institutions_is_fetched_with_bounded_concurrency(tmp_path: Path) -> None:
    with (made := signed_stil(Municipality(seed=3, schools=60, pupils=600))).server:
        here = site(made, tmp_path / "client", concurrency=4)
        assert here.ask() is None
        assert made.server.arrivals == 61
        assert made.server.most_at_once <= 4
        with here.store.read() as reader:
            assert len(reader.institution_states()) == 60
        assert {run.result for run in here.listener.runs} == {"recorded"}
        assert here.reasons() == set()
        here.store.close()


FAULT_REASONS = {
    "500": "service_fault",
    "fault_in_200": "service_fault",
    "hang": "timeout",
    "slow": "timeout",
    "html": "not_soap",
    "empty": "empty_answer",
    "204": "empty_answer",
    "429": "http_429",
    "cut": None,
    "Signatur": "signature_refused",
    "SignaturMangler": "request_unsigned",
    "UdbydersytemIdMangler": "provider_system_unknown",
    "BrugeridEllerPassword": "credential_refused",
    "Rettigheder": "agreement_missing",
    "unsigned": "signature_missing",
    "wrong_digest": "digest_wrong",
    "wrong_signature": "signature_wrong",
    "stale_timestamp": "timestamp_stale",
    "future_timestamp": "timestamp_from_future",
    "foreign_certificate": "certificate_untrusted",
    "expired_certificate": "certificate_expired",
    "future_certificate": "certificate_not_yet_valid",
    "wrong_relates_to": "wrong_relates_to",
    **dict.fromkeys(WRAPPINGS, "signature_wrapped"),
    "wrapped_body_in_object": "signature_malformed",
}


def test_every_fault_of_the_simulator_is_tried() -> None:
    assert set(FAULT_REASONS) == {*FAULTS, *AUTHENTIFICATION, *FORGERIES}


@pytest.mark.parametrize("fault", sorted(set(FAULT_REASONS) - {"cut"}))
def test_a_fault_of_the_source_changes_nobody_and_shows_in_status(fresh: Site, fault: str) -> None:
    assert fresh.ask() is None
    before = fresh.state()
    fresh.stil.server.fault = fault
    fresh.ask()
    assert fresh.state() == before
    assert FAULT_REASONS[fault] in fresh.reasons()


def test_an_export_that_fails_changes_nobody_though_the_list_of_agreements_came(fresh: Site) -> None:
    """Each fault again, in the export alone."""
    assert fresh.ask() is None
    before = fresh.state()
    number = sorted(fresh.stil.server.agreements)[0]
    for fault in sorted({"unsigned", "wrong_digest", "html", "empty", "fault_in_200", *WRAPPINGS}):
        fresh.stil.server.fault = fault
        with pytest.raises((SourceUnavailable, SnapshotInvalid)) as result:
            fresh.subscriber.source.fetch(number)
        assert FAULT_REASONS[fault] in str(result.value), fault
        fresh.stil.server.fault = None
    assert fresh.state() == before


def test_an_answer_cut_anywhere_is_never_read_as_no_pupils(fresh: Site) -> None:
    assert fresh.ask() is None
    before, server = fresh.state(), fresh.stil.server
    number = sorted(server.agreements)[0]
    whole = len(fresh.subscriber.source.fetch(number).body)
    server.fault = "cut"
    for offset in sorted(Random(1).sample(range(whole), CUTS)):
        server.cut_at = offset
        with pytest.raises(SourceUnavailable):
            fresh.subscriber.source.fetch(number)
    assert fresh.state() == before
    fresh.ask()
    assert fresh.state() == before
    assert fresh.reasons()


def test_after_the_fault_everything_is_as_it_should_be(fresh: Site) -> None:
    fresh.stil.server.fault = "wrong_digest"
    assert fresh.ask() is not None
    fresh.stil.server.fault = None
    assert fresh.ask() is None
    assert fresh.reasons() == set()
    assert len(fresh.state()[Kind.PERSON]) > 60


def test_a_certificate_that_is_not_registered_is_refused_and_says_what_to_do(
    stil: SignedStil, tmp_path: Path
) -> None:
    here = site(stil, tmp_path / "client", udbydersystem_id="AB999999")
    said = here.ask()
    assert said is not None and "signature_refused: register the certificate" in said
    assert here.reasons() == {"signature_refused"}
    here.store.close()


def test_a_signer_other_than_the_pinned_one_is_not_believed(stil: SignedStil, tmp_path: Path) -> None:
    here = site(stil, tmp_path / "client", signer={"O": "Somebody Else"})
    here.ask()
    assert here.reasons() == {"signer_unexpected"}
    here.store.close()

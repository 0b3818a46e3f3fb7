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
from bridge.connector import (
    Describes,
    Greets,
    Services,
    SnapshotInvalid,
    SourceUnauthorised,
    SourceUnavailable,
    Subscribes,
)
from bridge.domain.entities import Code, Institution, Kind
from bridge.domain.ids import Key
from bridge.engine.audit import AuditBook
from bridge.engine.codec import decode_entity
from bridge.engine.facts import Describer, describe_step
from bridge.engine.guard import GuardPolicy
from bridge.engine.intake import Intake, Listener
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
from connectors.stil.services import SIZE_NAMES, SizeName

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


@pytest.fixture(autouse=True)
def mended(stil: SignedStil) -> Iterator[None]:
    """After each test the simulator is as it was."""
    yield
    stil.server.fault = stil.server.cut_at = None
    stil.server.agreements_of, stil.server.mains = {}, {}


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
    "Rettigheder": "connection_agreement_missing",
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


@pytest.mark.parametrize("size", SIZE_NAMES)
def test_every_size_is_fetched_with_its_own_agreements(stil: SignedStil, tmp_path: Path, size: SizeName) -> None:
    number = sorted(stil.server.agreements)[1]
    stil.server.agreements_of = {size: {number}}
    here = site(stil, tmp_path / "client", size=size, protected_names="alias")
    assert here.ask() is None
    assert {row[0] for row in here.state()[Kind.INSTITUTION]} == {number}
    assert (len(here.state()[Kind.GUARDIANSHIP]) > 0) == (size in ("fuld", "fuldmyndighed"))
    assert here.reasons() == set()
    here.store.close()


def test_institutions_are_described_with_their_place_in_the_hierarchy(stil: SignedStil, tmp_path: Path) -> None:
    main, department = sorted(stil.server.agreements)
    stil.server.mains = {department: main}
    here = site(stil, tmp_path / "client", institution_data_interval="1d")
    assert here.ask() is None
    source = here.subscriber.source
    assert isinstance(source, Describes)
    describer = Describer(here.subscriber.intake, source, here.subscriber.schedule, here.subscriber.patience)
    assert describe_step(describer) == 2
    assert here.ask() is None  # what the register says comes with the next snapshot
    with here.store.read() as reader:
        rows = [row.body for row in reader.scan(TOWN, Kind.INSTITUTION, None, 10)]
    told = [decode_entity(Kind.INSTITUTION, body) for body in rows if body is not None]
    known = {one.institution_number: one for one in told if isinstance(one, Institution)}
    assert {one.main_institution for one in known.values()} == {main}
    assert known[main].departments == (department,)
    assert known[main].type == Code("Folkeskoler", "1012")
    assert known[main].municipality_code == "999"  # the made-up town itself
    assert describe_step(describer) == 0
    here.store.close()


def test_stil_says_whom_it_takes_us_for(fresh: Site) -> None:
    source = fresh.subscriber.source
    assert isinstance(source, Greets)
    assert source.greeting() == f"Hello {SYSTEM_ID}!"

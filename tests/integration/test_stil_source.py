"""The SOAP source and the simulator agree on every entity, over real HTTP on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.adapters.http import HttpEdge
from bridge.connector import (
    AgreementMissing,
    Services,
    Snapshot,
    SnapshotSource,
    SourceFailure,
    SourceUnavailable,
)
from bridge.domain.records import GroupRecord, PersonRecord, Quarantined
from bridge.testing.stil_export import Knobs
from bridge.testing.stil_municipality import Municipality
from bridge.testing.stil_server import FAULTS, StilServer
from connectors.stil import StilConfig, connector


@pytest.fixture
def municipality() -> Municipality:
    return Municipality(seed=7, schools=2, pupils=60)


@pytest.fixture
def server(municipality: Municipality) -> Iterator[StilServer]:
    with StilServer(municipality) as running:
        yield running


def source(server: StilServer, institutions: frozenset[str] | None = None, timeout: float = 30) -> SnapshotSource:
    assert connector.source is not None
    config = StilConfig.model_validate({"base_url": server.url, "udbydersystem_id": "AB1", "timeout": timeout})
    services = Services(
        "999", institutions, HttpEdge, lambda path: path.name, lambda: datetime.now(UTC), Path.read_bytes
    )
    return connector.source(config, services)


def test_what_the_source_reads_is_what_the_municipality_is(server: StilServer, municipality: Municipality) -> None:
    truth = municipality.truth()
    stil = source(server)
    persons, affiliations, groups = set(), set(), set()
    for found in stil.snapshots():
        assert isinstance(found, Snapshot)
        number = found.expected_institution
        for record in stil.parse(found):
            if isinstance(record, GroupRecord):
                groups.add((number, record.group_id))
            if isinstance(record, PersonRecord) and (role := record.affiliation) is not None:
                persons |= {(record.person.user_id,), *((c.person.user_id,) for c in role.contacts)}
                affiliations.add((number, record.person.user_id, role.role.value))
                groups |= {(number, group_id) for group_id in role.group_ids}
                assert record.person.civil_registration_number is None
    assert persons == truth["person"]
    assert affiliations == truth["affiliation"]
    assert groups == truth["group"]


def test_the_same_day_fetched_twice_has_the_same_digests(server: StilServer) -> None:
    first, second = (
        [found.digest for found in source(server).snapshots() if isinstance(found, Snapshot)] for _ in range(2)
    )
    assert first == second and len(first) == 2


def test_a_withdrawn_agreement_is_told_and_the_other_institution_comes(server: StilServer) -> None:
    server.agreements.discard("101001")
    one, other = source(server, frozenset({"101001", "101002"})).snapshots()
    assert isinstance(one, SourceFailure) and isinstance(one.error, AgreementMissing)
    assert isinstance(other, Snapshot)


def test_records_without_a_person_are_quarantined(server: StilServer) -> None:
    server.knobs["101001"] = Knobs(missing_person=2)
    stil = source(server, frozenset({"101001"}))
    (found,) = stil.snapshots()
    assert isinstance(found, Snapshot)
    reasons = [r.reason for r in stil.parse(found) if isinstance(r, Quarantined)]
    assert reasons == ["missing_person"] * 2


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ("hang", "slow")])
def test_a_failing_service_is_a_source_that_is_away(server: StilServer, fault: str) -> None:
    server.fault = fault
    with pytest.raises(SourceUnavailable):
        list(source(server).snapshots())


def test_a_service_that_hangs_is_given_up(server: StilServer) -> None:
    server.fault = "hang"
    with pytest.raises(SourceUnavailable, match="timeout"):
        list(source(server, timeout=0.2).snapshots())


def test_a_failure_between_two_institutions_is_a_failure_of_the_second(server: StilServer) -> None:
    found = source(server).snapshots()
    assert isinstance(next(found), Snapshot)
    server.fault = "cut"
    (second,) = found
    assert isinstance(second, SourceFailure) and second.institution == "101002"

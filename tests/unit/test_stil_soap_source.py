"""Every institution under agreement is fetched and told of for itself, and no more of it than was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from bridge.connector import Snapshot, SourceFailure, SourceUnauthorised, SourceUnavailable, TargetUnavailable
from bridge.domain.entities import Role
from bridge.domain.records import PersonRecord
from bridge.testing.stil_export import write_export
from bridge.testing.stil_municipality import Municipality
from connectors.stil.filters import Filters
from connectors.stil.soap import SoapSource, Wanted
from tests.support.stil_soap import Recorded, agreement_answer, client, export, export_answer, fault, source


def failures(found: Iterator[Snapshot | SourceFailure]) -> list[tuple[str | None, str]]:
    return [(f.institution, type(f.error).__name__) for f in found if isinstance(f, SourceFailure)]


def test_every_institution_under_agreement_is_fetched_one_at_a_time() -> None:
    http = Recorded((200, agreement_answer("101002", "101001")), (200, export_answer()), (200, export_answer()))
    found = source(http).snapshots()
    first = next(found)
    assert isinstance(first, Snapshot) and first.expected_institution == "101001"
    assert len(http.bodies) == 2
    assert [s.expected_institution for s in found if isinstance(s, Snapshot)] == ["101002"]


def test_a_configured_institution_without_agreement_is_a_failure_of_its_own() -> None:
    http = Recorded((200, agreement_answer("101001", "101009")), (200, export_answer()))
    found = list(source(http, frozenset({"101001", "101005"})).snapshots())
    assert [s.expected_institution for s in found if isinstance(s, Snapshot)] == ["101001"]
    assert failures(iter(found)) == [("101005", "AgreementMissing")]


def test_one_institutions_failure_does_not_end_the_others() -> None:
    answers = ((200, agreement_answer("101001", "101002", "101003")), (400, fault("Rettigheder")), (200, b""))
    http = Recorded(*answers, (200, export_answer()))
    found = list(source(http).snapshots())
    assert failures(iter(found)) == [("101001", "AgreementMissing"), ("101002", "SnapshotInvalid")]
    assert isinstance(found[-1], Snapshot)


@pytest.mark.parametrize("institutions", [None, frozenset({"101001"})])
def test_no_agreement_at_all_is_told(institutions: frozenset[str] | None) -> None:
    number = min(institutions) if institutions else None
    found = source(Recorded((200, agreement_answer())), institutions).snapshots()
    assert failures(found) == [(number, "AgreementMissing")]


def test_a_fault_which_nobody_has_signed_ends_no_agreement() -> None:
    with pytest.raises(SourceUnauthorised, match="connection_agreement_missing"):
        source(Recorded((400, fault("Rettigheder")))).agreements()


def test_what_cannot_be_an_institution_number_is_no_agreement() -> None:
    http = Recorded((200, agreement_answer("101001", "10100100", "x y", "../1")))
    assert source(http).agreements() == {"101001"}


def test_another_way_to_read_the_same_document_is_another_snapshot() -> None:
    document = export((200, export_answer()))
    ways = [
        Wanted(UTC, "fuld", Filters(), "alias"),
        Wanted(UTC, "fuld", Filters(), "real"),
        Wanted(UTC, "fuld", Filters(frozenset({"students"})), "real"),
        Wanted(UTC, "fuld", Filters(with_numbers=True), "real"),
    ]
    digests = [SoapSource(client(Recorded()), None, way).document(document, "").digest for way in ways]
    assert len(set(digests)) == len(ways)


def test_a_snapshot_knows_when_its_export_was_made_before_it_is_read() -> None:
    assert source(Recorded((200, export_answer()))).fetch("101001").export_time == datetime(
        2026, 11, 20, 4, tzinfo=UTC
    )


def test_what_was_not_asked_for_is_not_kept_whoever_sent_it() -> None:
    town = Municipality(7, schools=1, pupils=30)
    document = write_export(town.institution(min(town.institutions())))
    wanted = Wanted(UTC, "fuldmyndighed", Filters(frozenset({"students"})))
    made = SoapSource(client(Recorded()), None, wanted)
    records = [r for r in made.parse(made.document(document, "a queue")) if isinstance(r, PersonRecord)]
    roles = [record.affiliation for record in records if record.affiliation]
    assert {role.role for role in roles} == {Role.STUDENT}
    assert not any(role.contacts for role in roles)
    assert {record.person.civil_registration_number for record in records} == {None}
    assert {record.person.civil_registration_number_type for record in records} == {None}


@pytest.mark.parametrize(
    "answer",
    [
        (200, b""),
        (200, agreement_answer("101001")[:-20]),
        (503, b""),
        (500, fault(None)),
        TargetUnavailable("timeout"),
    ],
)
def test_without_the_agreement_list_the_source_is_away(answer: tuple[int, bytes] | TargetUnavailable) -> None:
    with pytest.raises(SourceUnavailable):
        list(source(Recorded(answer), frozenset({"101001"})).snapshots())

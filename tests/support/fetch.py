"""A school of five pupils whose snapshots are taken in, and what became of them."""

from __future__ import annotations

from datetime import timedelta

from bridge.domain.entities import Kind
from bridge.domain.records import Header, PersonRecord, Record
from tests.support.engine import MORNING, SCHOOL, Bench, header, pupil

FIVE = ("ane", "bo", "carl", "dorte", "erik")


def pupils(*names: str) -> list[PersonRecord]:
    return [pupil(name) for name in names]


def at(hours: int, number: str = SCHOOL) -> Header:
    return header(number, at=MORNING + timedelta(hours=hours))


def exported(later: timedelta) -> Header:
    """An export made so much later of the same data of the school."""
    return Header(SCHOOL, "Skolen", MORNING + later, at(0).sources)


def school_of_five() -> Bench:
    """A school of five pupils that is recorded."""
    bench = Bench()
    assert bench.take(*pupils(*FIVE), head=at(0)) == ("recorded", None)
    return bench


def held(bench: Bench, *records: Record, head: Header | None = None) -> int:
    """Take in what is to be held; returns the hold's number."""
    result, _ = bench.take(*records, head=head or at(1))
    assert result == "held"
    return bench.holds("open")[-1].id


def users(bench: Bench) -> set[str]:
    return {key[0] for key in bench.entities(Kind.PERSON)}


def groups(bench: Bench) -> set[str]:
    return {key[1] for key in bench.entities(Kind.GROUP)}


def told_of(bench: Bench, kind: str) -> list[tuple[int, str]]:
    """The holds that the audit tells this of, and why."""
    return [(record["hold"], record["reason"]) for record in bench.audit() if record["kind"] == kind]

"""Rows for tests of a store: every field has a value, and the awkward characters of real data are among them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.domain.entities import Kind
from bridge.domain.events import Event
from bridge.domain.ids import CanonicalId, Key, TargetId, canonical_id
from bridge.domain.records import ImportSource
from bridge.ports import AuditRow, Desired, EntityRow, Hold, InstitutionState, QuarantineRow, Run, Subscription

NOW = datetime(2025, 8, 11, 6, 30, 0, 123_456, tzinfo=UTC)
TOWN = "147"
SCHOOL = "280123"
OTHER_SCHOOL = "280456"
TARGET = TargetId("147/minuddannelse")
OTHER_TARGET = TargetId("147/aula")
AWKWARD = 'Søren "Æblegrød" O\'Brien; DROP TABLE -- %s :x ?\x1f\t\n😀'

SOURCES = (ImportSource("KMD Elev", NOW, "2025-2026"), ImportSource(AWKWARD, NOW, "2024-2025"))


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def person(user_id: str, *, body: bytes | None = b"{}", version: int = 1) -> EntityRow:
    return _entity(Kind.PERSON, (user_id,), "", body, version, user_id, None)


def membership(user_id: str, group: str, *, school: str = SCHOOL, body: bytes | None = b"{}") -> EntityRow:
    return _entity(Kind.MEMBERSHIP, (school, group, user_id), school, body, 1, user_id, f"{school}\x1f{group}")


def contribution(user_id: str, school: str, *, body: bytes | None = b"{}") -> EntityRow:
    return _entity(Kind.CONTRIBUTION, (school, user_id), school, body, 1, user_id, None)


def _entity(
    kind: Kind, key: Key, school: str, body: bytes | None, version: int, who: str | None, other: str | None
) -> EntityRow:
    value = bytes([version]) * 32
    return EntityRow(kind, key, school, canonical_id(TOWN, kind, key), version, value, body, who, other)


def event(name: str, *, sequence: int = 0) -> Event:
    identity = canonical_id(TOWN, Kind.PERSON, (name,))
    return Event(
        sequence=sequence,
        id=f"event-{name}",
        type="skolebro.person.created.v1",
        municipality=TOWN,
        institution=SCHOOL,
        subject=f"person/{identity}",
        key=(name,),
        version=1,
        time=NOW,
        cause="run-1",
        data=b'{"object":{}}',
    )


def desired(
    name: str,
    value: bytes | None = b"hash-1",
    *,
    rank: int = 2,
    resource: str = "Users",
    target: TargetId = TARGET,
) -> Desired:
    return Desired(target, identity_of(name), Kind.PERSON, (name,), "", resource, rank, value)


def identity_of(name: str) -> CanonicalId:
    """The id of the delivery that `desired(name)` asks for; ids sort as names do."""
    return CanonicalId(f"id-{name}")


def institution_state(school: str = SCHOOL, *, digest: str = "digest-1") -> InstitutionState:
    times = {"KMD Elev": later(-60), AWKWARD: later(-120)}
    years = {"KMD Elev": "2025-2026", AWKWARD: "2024-2025"}
    return InstitutionState(TOWN, school, digest, later(-30), times, NOW, "run-1", years)


def subscription(school: str = SCHOOL, *, failures: int = 2) -> Subscription:
    return Subscription(TOWN, school, "withdrawn", later(-90), failures, AWKWARD, later(60), later(-5), later(-7))


def run(identity: str, *, school: str | None = SCHOOL, result: str = "recorded", seconds: float = 0) -> Run:
    return Run(
        identity,
        TOWN,
        school,
        later(seconds),
        result,
        "older_snapshot",
        AWKWARD,
        "digest-1",
        7,
        2,
        later(-9),
        SOURCES,
    )


def quarantined(path: str, *, school: str = SCHOOL) -> QuarantineRow:
    return QuarantineRow(TOWN, school, path, "user_id_missing", None, "local-1", "quarantined", "run-1")


def hold(*, state: str = "open", school: str = SCHOOL) -> Hold:
    return Hold(
        id=0,
        municipality=TOWN,
        institution=school,
        subject="snapshot",
        target=None,
        digest="digest-1",
        reasons=("mass_deletion", "school_year"),
        counts={"person.deleted": 120, "group.created": 3},
        people=("jens1234", AWKWARD),
        state=state,
        opened_at=NOW,
        origin="drop/280123.xml",
    )


def audit_row(seq: int, *, intent: str | None = None, closes: str | None = None) -> AuditRow:
    return AuditRow(seq, f'{{"seq":{seq}}}', bytes([seq - 1]) * 32, bytes([seq]) * 32, intent, closes)

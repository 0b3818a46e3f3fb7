"""The tables as revision head has them, and the one way in which keys and times are written into them.

Times are integer microseconds since 1970 (UTC), so that they sort and compare on every database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import overload

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    text,
)

from bridge.adapters.sql_told import VENDOR
from bridge.adapters.sql_types import TEXT

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

IS_DUE = (
    "CASE WHEN state = 'pending' AND (in_doubt = 1"
    " OR coalesce(desired <> confirmed, (desired IS NULL) <> (confirmed IS NULL))) THEN 1 ELSE 0 END"
)
"""`Delivery.is_due` as the database keeps it: a generated column cannot be forgotten by a statement."""

LANE = "CASE WHEN desired IS NULL THEN 1000000 - rank ELSE rank END"
"""Sorts creates and updates by rank, then deletes by rank reversed; ranks stay far below half a million."""


@overload
def to_stored(moment: datetime) -> int: ...
@overload
def to_stored(moment: datetime | None) -> int | None: ...
def to_stored(moment: datetime | None) -> int | None:
    """Write an aware time as a number; `from_stored` reads it back."""
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


@overload
def from_stored(number: int) -> datetime: ...
@overload
def from_stored(number: int | None) -> datetime | None: ...
def from_stored(number: int | None) -> datetime | None:
    """Read what `to_stored` wrote."""
    return None if number is None else _EPOCH + timedelta(microseconds=number)


def _text(name: str, *, is_key: bool = False) -> Column[str]:
    return Column(name, TEXT, primary_key=is_key, nullable=False)


def _number(name: str, *, is_key: bool = False, nullable: bool = False, default: str | None = None) -> Column[int]:
    return Column(
        name, BigInteger, primary_key=is_key, nullable=nullable, autoincrement=False, server_default=default
    )


def _json(name: str, empty: str) -> Column[str]:
    return Column(name, TEXT, nullable=False, server_default=empty)


def _serial(name: str) -> Column[int]:
    # SQLite numbers rows by itself only where the type is spelt INTEGER.
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column(name, kind, primary_key=True, autoincrement=True)


def _where(table: str, name: str, columns: tuple[str, ...], condition: str) -> Index:
    part = text(condition)
    return Index(f"ix_{table}_{name}", *columns, sqlite_where=part, postgresql_where=part)


metadata = MetaData()

entities = Table(
    "entities",
    metadata,
    _text("municipality", is_key=True),
    _text("kind", is_key=True),
    _text("key", is_key=True),
    _text("institution"),
    Column("person", TEXT),
    Column("other", TEXT),
    _text("id"),
    _number("version"),
    Column("hash", LargeBinary, nullable=False),
    Column("body", LargeBinary),
    Index("ix_entities_institution", "municipality", "institution", "kind"),
    _where("entities", "person", ("municipality", "kind", "person"), "person IS NOT NULL"),
    _where("entities", "other", ("municipality", "kind", "other"), "other IS NOT NULL"),
)

institution_states = Table(
    "institution_states",
    metadata,
    _text("municipality", is_key=True),
    _text("institution", is_key=True),
    _text("digest"),
    _number("export_time"),
    _text("source_times"),
    _number("recorded_at"),
    _text("run"),
    Column("school_years", TEXT, nullable=False, server_default="{}"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    _text("municipality", is_key=True),
    _text("institution", is_key=True),
    Column("agreement", TEXT),
    _number("agreement_at", nullable=True),
    _number("failures"),
    Column("reason", TEXT),
    _number("retry_at", nullable=True),
    _number("wanted_at", nullable=True),
    _number("asked_at", nullable=True),
)

institution_facts = Table(
    "institution_facts",
    metadata,
    _text("municipality", is_key=True),
    _text("institution", is_key=True),
    Column("body", LargeBinary, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    _serial("number"),
    _text("id"),
    _text("municipality"),
    Column("institution", TEXT),
    _number("at"),
    _text("result"),
    Column("reason", TEXT),
    Column("origin", TEXT),
    Column("digest", TEXT),
    _number("changes"),
    _number("quarantined"),
    Column("is_last", SmallInteger, nullable=False),
    _number("export_time", nullable=True),
    Column("sources", TEXT, nullable=False, server_default="[]"),
    _json("gone", "{}"),
    Index("ix_runs_id", "id"),
    _where("runs", "last", ("municipality", "institution"), "is_last = 1"),
)

quarantine = Table(
    "quarantine",
    metadata,
    _text("municipality", is_key=True),
    _text("institution", is_key=True),
    _number("position", is_key=True),
    _text("path"),
    _text("reason"),
    Column("user_id", TEXT),
    Column("local_person_id", TEXT),
    _text("severity"),
    _text("run"),
)

holds = Table(
    "holds",
    metadata,
    _serial("id"),
    _text("municipality"),
    _text("institution"),
    _text("subject"),
    Column("target", TEXT),
    _text("digest"),
    _text("reasons"),
    _text("counts"),
    _text("people"),
    _text("state"),
    _number("opened_at"),
    Column("origin", TEXT),
    _number("decided_at", nullable=True),
    Column("decided_by", TEXT),
    _json("groups", "[]"),
    _json("withheld", "[]"),
    _json("approvals", "[]"),
    _json("summary", "{}"),
    _number("notified_at", nullable=True),
    _number("reminded_at", nullable=True),
    _number("export_time", nullable=True),
    Index("ix_holds_state", "state"),
)

hold_bodies = Table(
    "hold_bodies",
    metadata,
    Column("hold", BigInteger, ForeignKey("holds.id"), primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)

events = Table(
    "events",
    metadata,
    _text("municipality", is_key=True),
    _number("sequence", is_key=True),
    _text("id"),
    _text("type"),
    _text("institution"),
    _text("subject"),
    _text("key"),
    _number("version"),
    _number("time"),
    _text("cause"),
    Column("data", LargeBinary, nullable=False),
    Index("ix_events_subject", "municipality", "subject", "sequence"),
)

sequences = Table(
    "sequences", metadata, _text("municipality", is_key=True), _number("last"), _number("floor", default="0")
)

cursors = Table("cursors", metadata, _text("name", is_key=True), _number("sequence"))

_IN_TURN = ("target", "lane", "next_attempt_at", "id")
deliveries = Table(
    "deliveries",
    metadata,
    _text("target", is_key=True),
    _text("id", is_key=True),
    _text("kind"),
    _text("key"),
    _text("institution"),
    _text("resource"),
    _number("rank"),
    Column("desired", LargeBinary),
    Column("confirmed", LargeBinary),
    Column("remote_id", TEXT),
    Column("etag", TEXT),
    _number("version"),
    Column("in_doubt", SmallInteger, nullable=False),
    _number("attempts"),
    _number("next_attempt_at"),
    _text("state"),
    Column("reason", TEXT),
    _number("updated_at"),
    Column("is_due", SmallInteger, Computed(IS_DUE, persisted=True), nullable=False),
    Column("lane", BigInteger, Computed(LANE, persisted=True), nullable=False),
    Column("confirmed_body", LargeBinary),
    _number("carried", default="0"),
    Column("cleared", SmallInteger, nullable=False, server_default="0"),
    Column("claimed_by", TEXT, nullable=False, server_default=""),
    Column("cause", TEXT, nullable=False, server_default=""),
    _where("deliveries", "due", _IN_TURN, "is_due = 1"),
    _where("deliveries", "replayed", _IN_TURN, "is_due = 1 AND reason = 'replayed'"),
    _where("deliveries", "rejected", ("target", "id"), "state = 'rejected'"),
    _where("deliveries", "carried", ("target", "state"), "carried > 0"),
)

ledgers = Table(
    "ledgers",
    metadata,
    _text("target", is_key=True),
    _number("accepted"),
    _number("filtered"),
    _number("delivered"),
    _number("superseded"),
    _number("unapplied"),
)

drift = Table(
    "drift",
    metadata,
    _text("target", is_key=True),
    _text("id", is_key=True),
    _text("kind"),
    _text("what"),
    _json("fields", "[]"),
    _number("rounds"),
    _text("state"),
    _number("seen_at"),
)

kept_people = Table(
    "kept_people",
    metadata,
    _text("municipality", is_key=True),
    _text("user_id", is_key=True),
    _number("until", nullable=True),
    _text("kept_by"),
    _number("kept_at"),
)

expected_rolls = Table(
    "expected_rolls",
    metadata,
    _serial("id"),
    _text("municipality"),
    _text("institution"),
    _number("opens_at"),
    _number("closes_at"),
    _text("opened_by"),
    _number("opened_at"),
)

target_states = Table(
    "target_states",
    metadata,
    _text("target", is_key=True),
    Column("rendering", TEXT),
    _number("paused_until", nullable=True),
    Column("pause_reason", TEXT),
    _number("failures"),
    _number("last_success_at", nullable=True),
    _number("reconciled_at", nullable=True),
    _number("drifted", default="0"),
    _number("foreign", default="0"),
    _number("announced_at", nullable=True),
    Column("told", TEXT),
)

leases = Table(
    "leases", metadata, _text("name", is_key=True), _text("holder"), _number("number"), _number("until")
)

properties = Table("properties", metadata, _text("name", is_key=True), _text("value"))

shelves = Table("shelves", metadata, _text("target", is_key=True), _number("version"), _number("changed_at"))

shelf = Table(
    "shelf",
    metadata,
    _text("target", is_key=True),
    _text("collection", is_key=True),
    _text("id", is_key=True),
    _text("document"),
    Column("is_gone", SmallInteger, nullable=False),
    _number("number"),
    _number("changed_at"),
    Index("ix_shelf_number", "target", "collection", "number"),
)

shelf_notes = Table(
    "shelf_notes", metadata, _text("target", is_key=True), _text("name", is_key=True), _text("value")
)

audit = Table(
    "audit",
    metadata,
    _number("seq", is_key=True),
    _text("record"),
    Column("prev", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("intent", TEXT),
    Column("closes", TEXT),
    Column("subject", TEXT),
    Column("trace", TEXT),
    _where("audit", "subject", ("subject", "seq"), "subject IS NOT NULL"),
    _where("audit", "closes", ("closes",), "closes IS NOT NULL"),
    _where("audit", "trace", ("trace", "seq"), "trace IS NOT NULL"),
    Index(
        "ix_audit_vendor", VENDOR, "seq", sqlite_where=VENDOR.is_not(None), postgresql_where=VENDOR.is_not(None)
    ),
)

open_intents = Table(
    "open_intents",
    metadata,
    Column("seq", BigInteger, ForeignKey("audit.seq"), primary_key=True, autoincrement=False),
    _text("intent"),
    Index("ix_open_intents_intent", "intent"),
)

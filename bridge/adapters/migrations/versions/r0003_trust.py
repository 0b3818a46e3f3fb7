"""Decisions in parts, what targets really have, how long the log reaches back, and where each change ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from bridge.adapters.sql_types import TEXT

revision = "0003"
down_revision = "0002"

_SUBJECT = {"sqlite": "json_extract(record, '$.subject')", "postgresql": "record::json ->> 'subject'"}


def _number(name: str, default: str | None = None, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=nullable, server_default=default)


def _text(name: str, default: str | None = None, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=nullable, server_default=default)


def _index(table: str, name: str, columns: list[str], condition: str) -> None:
    part = sa.text(condition)
    op.create_index(f"ix_{table}_{name}", table, columns, sqlite_where=part, postgresql_where=part)


def upgrade() -> None:
    op.add_column("runs", _text("gone", "{}"))
    for name, empty in (("groups", "[]"), ("withheld", "[]"), ("approvals", "[]"), ("summary", "{}")):
        op.add_column("holds", _text(name, empty))
    op.add_column("holds", _number("notified_at", nullable=True))
    op.add_column("holds", _number("reminded_at", nullable=True))
    op.create_index("ix_events_subject", "events", ["municipality", "subject", "sequence"])
    op.add_column("sequences", _number("floor", "0"))
    op.add_column("deliveries", _number("carried", "0"))
    op.add_column("deliveries", sa.Column("cleared", sa.SmallInteger(), nullable=False, server_default="0"))
    _index("deliveries", "carried", ["target", "state"], "carried > 0")
    op.create_table(
        "ledgers",
        _text("target"),
        _number("accepted"),
        _number("filtered"),
        _number("delivered"),
        _number("superseded"),
        _number("unapplied"),
        sa.PrimaryKeyConstraint("target"),
    )
    op.create_table(
        "drift",
        _text("target"),
        _text("id"),
        _text("kind"),
        _text("what"),
        _text("fields", "[]"),
        _number("rounds"),
        _text("state"),
        _number("seen_at"),
        sa.PrimaryKeyConstraint("target", "id"),
    )
    op.create_table(
        "kept_people",
        _text("municipality"),
        _text("user_id"),
        _number("until", nullable=True),
        _text("kept_by"),
        _number("kept_at"),
        sa.PrimaryKeyConstraint("municipality", "user_id"),
    )
    op.create_table(
        "expected_rolls",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True
        ),
        _text("municipality"),
        _text("institution"),
        _number("opens_at"),
        _number("closes_at"),
        _text("opened_by"),
        _number("opened_at"),
    )
    op.add_column("target_states", _number("reconciled_at", nullable=True))
    op.add_column("target_states", _number("drifted", "0"))
    op.add_column("target_states", _number("foreign", "0"))
    op.add_column("audit", _text("subject", nullable=True))
    op.execute(f"UPDATE audit SET subject = {_SUBJECT[op.get_bind().dialect.name]}")  # noqa: S608 - ours
    _index("audit", "subject", ["subject", "seq"], "subject IS NOT NULL")
    _index("audit", "closes", ["closes"], "closes IS NOT NULL")

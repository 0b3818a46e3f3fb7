"""The first schema: everything that the store remembers."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from bridge.adapters.sql_types import TEXT

revision = "0001"
down_revision = None

_IS_DUE = (
    "CASE WHEN state = 'pending' AND (in_doubt = 1"
    " OR coalesce(desired <> confirmed, (desired IS NULL) <> (confirmed IS NULL))) THEN 1 ELSE 0 END"
)
_LANE = "CASE WHEN desired IS NULL THEN 1000000 - rank ELSE rank END"


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("record", TEXT, nullable=False),
        sa.Column("prev", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("intent", TEXT, nullable=True),
        sa.Column("closes", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "cursors",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "deliveries",
        sa.Column("target", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("institution", TEXT, nullable=False),
        sa.Column("resource", TEXT, nullable=False),
        sa.Column("rank", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("desired", sa.LargeBinary(), nullable=True),
        sa.Column("confirmed", sa.LargeBinary(), nullable=True),
        sa.Column("remote_id", TEXT, nullable=True),
        sa.Column("etag", TEXT, nullable=True),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("in_doubt", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("is_due", sa.SmallInteger(), sa.Computed(_IS_DUE, persisted=True), nullable=False),
        sa.Column("lane", sa.BigInteger(), sa.Computed(_LANE, persisted=True), nullable=False),
        sa.Column("confirmed_body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("target", "id"),
    )
    op.create_index(
        "ix_deliveries_due", "deliveries", ["target", "lane", "next_attempt_at", "id"], **_where("is_due = 1")
    )
    op.create_index("ix_deliveries_rejected", "deliveries", ["target", "id"], **_where("state = 'rejected'"))
    op.create_table(
        "entities",
        sa.Column("municipality", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("institution", TEXT, nullable=False),
        sa.Column("person", TEXT, nullable=True),
        sa.Column("other", TEXT, nullable=True),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("municipality", "kind", "key"),
    )
    op.create_index("ix_entities_institution", "entities", ["municipality", "institution", "kind"])
    op.create_index(
        "ix_entities_other", "entities", ["municipality", "kind", "other"], **_where("other IS NOT NULL")
    )
    op.create_index(
        "ix_entities_person", "entities", ["municipality", "kind", "person"], **_where("person IS NOT NULL")
    )
    op.create_table(
        "events",
        sa.Column("municipality", TEXT, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("institution", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cause", TEXT, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("municipality", "sequence"),
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("municipality", TEXT, nullable=False),
        sa.Column("institution", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=True),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("reasons", TEXT, nullable=False),
        sa.Column("counts", TEXT, nullable=False),
        sa.Column("people", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("opened_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("origin", TEXT, nullable=True),
        sa.Column("decided_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("decided_by", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_holds_state", "holds", ["state"])
    op.create_table(
        "institution_states",
        sa.Column("municipality", TEXT, nullable=False),
        sa.Column("institution", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("export_time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source_times", TEXT, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("municipality", "institution"),
    )
    op.create_table(
        "quarantine",
        sa.Column("municipality", TEXT, nullable=False),
        sa.Column("institution", TEXT, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=True),
        sa.Column("local_person_id", TEXT, nullable=True),
        sa.Column("severity", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("municipality", "institution", "position"),
    )
    op.create_table(
        "runs",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("municipality", TEXT, nullable=False),
        sa.Column("institution", TEXT, nullable=True),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("result", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("origin", TEXT, nullable=True),
        sa.Column("digest", TEXT, nullable=True),
        sa.Column("changes", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("quarantined", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("is_last", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("ix_runs_last", "runs", ["municipality", "institution"], **_where("is_last = 1"))
    op.create_table(
        "sequences",
        sa.Column("municipality", TEXT, nullable=False),
        sa.Column("last", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("municipality"),
    )
    op.create_table(
        "target_states",
        sa.Column("target", TEXT, nullable=False),
        sa.Column("rendering", TEXT, nullable=True),
        sa.Column("paused_until", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("pause_reason", TEXT, nullable=True),
        sa.Column("failures", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_success_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("target"),
    )
    op.create_table(
        "hold_bodies",
        sa.Column("hold", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["hold"], ["holds.id"]),
        sa.PrimaryKeyConstraint("hold"),
    )
    op.create_table(
        "open_intents",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("intent", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["audit.seq"]),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ix_open_intents_intent", "open_intents", ["intent"])

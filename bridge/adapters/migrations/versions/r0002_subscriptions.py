"""What a source is asked for and what it says of institutions; each run and state knows its export's header."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from bridge.adapters.sql_types import TEXT

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("municipality", TEXT, nullable=False),
        sa.Column("institution", TEXT, nullable=False),
        sa.Column("agreement", TEXT, nullable=True),
        sa.Column("agreement_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("failures", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("retry_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("wanted_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("asked_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("municipality", "institution"),
    )
    op.create_table(
        "institution_facts",
        sa.Column("municipality", TEXT, nullable=False),
        sa.Column("institution", TEXT, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("municipality", "institution"),
    )
    op.add_column("institution_states", sa.Column("school_years", TEXT, nullable=False, server_default="{}"))
    op.add_column("runs", sa.Column("export_time", sa.BigInteger(), autoincrement=False, nullable=True))
    op.add_column("runs", sa.Column("sources", TEXT, nullable=False, server_default="[]"))

"""Decisions that are looked at again when they are carried out, and cursors that only readers have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("holds", sa.Column("export_time", sa.BigInteger(), autoincrement=False, nullable=True))
    op.add_column("target_states", sa.Column("announced_at", sa.BigInteger(), autoincrement=False, nullable=True))
    # Not the places of readers, but what a feed and a daily look counted up: the log would be kept for them.
    op.execute("DELETE FROM cursors WHERE name LIKE 'feed/%' OR name LIKE 'early/%'")

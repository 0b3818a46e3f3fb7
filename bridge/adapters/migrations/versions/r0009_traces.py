"""For which run or decision something is due, and what the audit chain holds of each trace."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from bridge.adapters.sql_types import TEXT

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("cause", TEXT, nullable=False, server_default=""))
    op.add_column("audit", sa.Column("trace", TEXT, nullable=True))
    is_traced = sa.text("trace IS NOT NULL")
    op.create_index(
        "ix_audit_trace", "audit", ["trace", "seq"], sqlite_where=is_traced, postgresql_where=is_traced
    )
    op.create_index("ix_runs_id", "runs", ["id"])

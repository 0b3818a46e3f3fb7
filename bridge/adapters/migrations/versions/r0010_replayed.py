"""What is only told once more is found without walking all that is due."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    part = sa.text("is_due = 1 AND reason = 'replayed'")
    columns = ["target", "lane", "next_attempt_at", "id"]
    op.create_index("ix_deliveries_replayed", "deliveries", columns, sqlite_where=part, postgresql_where=part)

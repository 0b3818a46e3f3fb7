"""What may show in the bodies that targets have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from bridge.adapters.sql_types import TEXT

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("target_states", sa.Column("told", TEXT, nullable=True))

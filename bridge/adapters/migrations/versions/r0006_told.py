"""What may show in the bodies that targets have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("target_states", sa.Column("told", sa.Text(), nullable=True))

"""What the audit chain says of each vendor is found without walking the chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_VENDOR = {
    "sqlite": "json_extract(record, '$.vendor')",
    "postgresql": "(CASE WHEN strpos(record, '\"vendor\":') > 0 THEN record::json ->> 'vendor' END)",
}


def upgrade() -> None:
    vendor = _VENDOR[op.get_bind().dialect.name]
    is_there = sa.text(f"{vendor} IS NOT NULL")
    op.create_index(
        "ix_audit_vendor", "audit", [sa.text(vendor), "seq"], sqlite_where=is_there, postgresql_where=is_there
    )

"""What targets keep that others fetch, or that goes out as one file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from bridge.adapters.sql_types import TEXT

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "shelves",
        _text("target", is_key=True),
        _number("version"),
        _number("changed_at"),
    )
    op.create_table(
        "shelf",
        _text("target", is_key=True),
        _text("collection", is_key=True),
        _text("id", is_key=True),
        _text("document"),
        sa.Column("is_gone", sa.SmallInteger(), nullable=False),
        _number("number"),
        _number("changed_at"),
    )
    op.create_index("ix_shelf_number", "shelf", ["target", "collection", "number"])
    op.create_table(
        "shelf_notes",
        _text("target", is_key=True),
        _text("name", is_key=True),
        _text("value"),
    )


def _text(name: str, *, is_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, TEXT, primary_key=is_key, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False)

"""Column types that mean the same on every database."""

from __future__ import annotations

from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

TEXT = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Text that sorts by its code points, as SQLite and Python do, whatever the language of the database."""

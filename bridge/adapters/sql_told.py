"""What the text of an audit record itself says, as an expression that both databases can index.

An index of the record needs no column beside it, which an older version would leave empty and an edit could bend.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

SQLITE = "json_extract(record, '$.vendor')"
POSTGRES = "(CASE WHEN strpos(record, '\"vendor\":') > 0 THEN record::json ->> 'vendor' END)"
"""PostgreSQL refuses to look into JSON with an escaped NUL, and such a record must be written all the same."""


class _Vendor(FunctionElement[str]):
    type = Text()
    inherit_cache = True


@compiles(_Vendor, "sqlite")
def _on_sqlite(*_: Any, **__: Any) -> str:
    return SQLITE


@compiles(_Vendor, "postgresql")
def _on_postgres(*_: Any, **__: Any) -> str:
    return POSTGRES


VENDOR = _Vendor()
"""The vendor whom a record of `audit` names."""

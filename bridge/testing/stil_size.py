"""The four sizes of the export: how each one's operations end, and which fields it has (stil.md §3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SizeName = Literal["lille", "mellem", "fuld", "fuldmyndighed"]


@dataclass(frozen=True, slots=True)
class Size:
    """One size; `suffix` ends its operations, `word` its root element and, in lower case, its namespace."""

    name: SizeName
    suffix: str
    word: str
    access_level: str
    has_details: bool = True  # LocalPersonId, birth date, e-mail and so on
    has_contacts: bool = True  # and addresses, phones, @protected
    has_aliases: bool = True  # and the real names of protected persons


SMALL = Size("lille", "Lille", "Small", "small", has_details=False, has_contacts=False, has_aliases=False)
MEDIUM = Size("mellem", "Mellem", "Medium", "medium", has_contacts=False, has_aliases=False)
FULL = Size("fuld", "Fuld", "Full", "full", has_aliases=False)
AUTHORITY = Size("fuldmyndighed", "FuldMyndighed", "FullMyndighed", "full")
SIZES = (SMALL, MEDIUM, FULL, AUTHORITY)

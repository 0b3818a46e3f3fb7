"""What somebody probably meant by a name that is none."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return a question that ends in a space, such as "did you mean 'scim'? "; "" where nothing is near.

    `likeness` is that of `difflib.get_close_matches`: 1 is the name itself.
    """
    near = get_close_matches(name, list(known), n=1, cutoff=likeness)
    return f"did you mean {near[0]!r}? " if near else ""

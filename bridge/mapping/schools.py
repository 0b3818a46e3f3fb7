"""The schools that a mapping has rules of their own for, held against those that there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from bridge.mapping.rules import TargetMapping


def strangers(mapping: TargetMapping, known: Collection[str]) -> list[str]:
    """Return the institutions under `institutions:` that are not among these: a wrong number restricts nobody."""
    return sorted(number for number in mapping.schools if number not in known)


def of_strangers(numbers: Sequence[str], known: Collection[str], what: str) -> str:
    """Say of such institutions that they are not `what` others are, with the nearest that is."""
    near = {number: get_close_matches(number, known, n=1) for number in numbers}
    told = [f"{number} (did you mean {found[0]}?)" if found else number for number, found in near.items()]
    verb = (
        "is not among the institutions that are" if len(told) == 1 else "are not among the institutions that are"
    )
    return f"{', '.join(told)} under `institutions:` {verb} {what}: what is said there holds for nobody"

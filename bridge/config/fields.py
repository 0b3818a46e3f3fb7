"""Values that several sections of the file take."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator


def _institutions(value: Any) -> frozenset[str] | None:
    if value == "all":
        return None
    if isinstance(value, list) and value and all(isinstance(v, (str, int)) for v in value):
        return frozenset(str(v) for v in value)
    raise ValueError('expected "all" or a list of institution numbers such as ["101001", "101002"]')


Institutions = Annotated[frozenset[str] | None, BeforeValidator(_institutions)]


def once(what: str) -> AfterValidator:
    """Refuse a list in which one `what` stands twice."""

    def check(values: list[str]) -> list[str]:
        if len(set(values)) < len(values):
            raise ValueError(f"{what} stands twice")
        return values

    return AfterValidator(check)

"""What a target says of the state without being sent anything: findings by institution, with keys, never names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Document:
    """One entity that lives, as the target's mapping renders it: what a command would bring there."""

    resource: str
    body: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reported:
    """One thing of an institution that somebody may want to know.

    `subject` is a user id or ``<institution>/<group id>``, never a name; None where there is nothing but to count.
    """

    institution: str
    code: str
    subject: str | None = None


@runtime_checkable
class Reports(Protocol):
    """A target that says what its system will make of the state; optional, and nothing is sent for it.

    `report_codes` says in plain words what each code of a `Reported` means.
    """

    report_codes: Mapping[str, str]

    def report(self, documents: Iterable[Document]) -> Iterable[Reported]:
        """Yield what is found in all documents of the stored state, which come resource by resource; pure.

        Raises `ConfigError` for documents of a mapping that it cannot report on.
        """
        ...

"""How the publishing of a log stands, beside its cursor: what went to nobody, and why it waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from bridge.domain.errors import TargetError, TargetUnavailable
from bridge.ports import Reader, Store, UnitOfWork

UNROUTABLE = "unroutable"
MISMADE = "otherwise"
_KEYS = 10  # as many routing keys as are worth naming


@dataclass(frozen=True, slots=True)
class Standing:
    """`passed` events were taken by no queue while later ones were: from `first` to `last`, by these `keys`.

    `trouble` is why what is not published waits: a code, and after a colon what there is to say.
    """

    passed: int = 0
    first: int = 0
    last: int = 0
    keys: tuple[str, ...] = ()
    trouble: str = ""

    def with_passed(self, events: Sequence[tuple[int, str]]) -> Standing:
        if not events:
            return self
        return replace(
            self,
            passed=self.passed + len(events),
            first=self.first or events[0][0],
            last=events[-1][0],
            keys=tuple(sorted({*self.keys, *(key for _, key in events)})[:_KEYS]),
        )

    def with_trouble(self, trouble: str) -> Standing:
        return replace(self, trouble=trouble)


def read_standing(reader: Reader, municipality: str) -> Standing:
    text = reader.property(_name(municipality))
    return msgspec.json.decode(text, type=Standing) if text else Standing()


def write_standing(uow: UnitOfWork, municipality: str, standing: Standing) -> None:
    uow.set_property(_name(municipality), msgspec.json.encode(standing).decode())


def note_trouble(store: Store, municipality: str, trouble: str) -> None:
    """Write down why a log waits, or that it does not; writes only what is new."""
    with store.read() as reader:
        before = read_standing(reader, municipality)
    if before.trouble != trouble:
        with store.write() as uow:
            write_standing(uow, municipality, read_standing(uow, municipality).with_trouble(trouble))


def as_trouble(error: TargetError) -> str:
    """Why a broker takes nothing: its code, or the sentence for whoever has to mend it."""
    return error.reason if isinstance(error, TargetUnavailable) else f"{MISMADE}: {error}"


def _name(municipality: str) -> str:
    return f"publish/{municipality}"

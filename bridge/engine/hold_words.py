"""What would become of those whom a hold names, and who carries an approval out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.engine.holding import DELETIONS, DRIFT
from bridge.engine.reconcile_read import CHANGED, LEFTOVER, MISSING, MOVED
from bridge.ports import Hold

_OF_DRIFT: Mapping[str, str] = {
    MISSING: "be made again",
    CHANGED: "be set right",
    MOVED: "be set right",
    LEFTOVER: "be deleted there",
}
_OF_STEPS: Mapping[str, str] = {
    Operation.DELETED: "go",
    Operation.CREATED: "be created",
    Operation.UPDATED: "be changed",
}


_GROUPS = (Kind.GROUP, Kind.TEACHING)


def those_named(hold: Hold) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the people and the groups, each under what would become of them."""
    is_drift = hold.subject == DRIFT
    people = (kind for kind in Kind if (kind is Kind.PERSON if is_drift else kind not in _GROUPS))
    yield f"would {_fate(hold, people)}", hold.people
    yield f"groups that would {_fate(hold, [Kind.GROUP])}", hold.groups


def _fate(hold: Hold, kinds: Iterable[Kind]) -> str:
    if hold.subject != DRIFT and (hold.subject != DELETIONS or not hold.target):
        return "go"  # a snapshot's and a mapping's hold names those who would leave
    words = _OF_DRIFT if hold.subject == DRIFT else _OF_STEPS
    wanted = [kind.value for kind in kinds]
    found = (word for what, word in words.items() if any(hold.counts.get(f"{kind}.{what}") for kind in wanted))
    return " or ".join(dict.fromkeys(found)) or "go"


def who_carries_out(hold: Hold) -> str:
    """What follows an approval, without another command."""
    if hold.subject == DRIFT:
        return f"the running daemon or the next sync reads {hold.target} again and sets right what still differs"
    return "the running daemon or the next sync carries it out"

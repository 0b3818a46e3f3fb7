"""A vendor has its own target told again what that confirmed before: nothing else, and not all at once.

What was confirmed becomes due as a new version, and is rendered when it is sent, by the mapping and with the
protection that hold then. Whatever is due, in doubt, refused or held goes its own way: a replay brings nothing to
a target that a limit or a person stops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.domain.errors import BridgeError
from bridge.domain.ids import CanonicalId, TargetId
from bridge.domain.tracing import decision_id
from bridge.engine.audit import AuditBook
from bridge.engine.breaker import is_paused, standing
from bridge.engine.desire import Rendering
from bridge.engine.scan import CLOCKS
from bridge.engine.vendor_feed_cursor import AtLog
from bridge.engine.vendor_log import Attempt, entries, seq_at
from bridge.ports import SHADOW, Delivery, Reader, Store, UnitOfWork

MOST = 5_000
"""So many entries of the log one replay looks at; it says where the next one goes on."""
LEAST = timedelta(minutes=1)
"""A replay takes so long, however little it finds: looking costs something too."""
_NOTE = "skolebro/replayed"


class NotYours(BridgeError):
    """There is no such target of the vendor, whether or not there is one of somebody else."""


class Stopped(BridgeError):
    """Nothing may be sent again there now; `reason` is paused, shadow or held."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnderWay(BridgeError):
    """The replay before this one is not over until `ends`."""

    def __init__(self, ends: datetime) -> None:
        super().__init__("a replay is under way")
        self.ends = ends


@dataclass(frozen=True, slots=True)
class Replayed:
    """What is due again: so many entities, `deletions` of them as deletions; the last of them at `ends`.

    `at` is where the rest of the range begins in the log, None where there is none.
    """

    target: TargetId
    entities: int
    deletions: int
    ends: datetime
    at: AtLog | None


@dataclass(frozen=True, slots=True)
class VendorReplay:
    """The targets of one vendor, by their renderings. `per_minute`: so many are sent again in a minute."""

    vendor: str
    store: Store
    book: AuditBook
    renderings: Mapping[str, Rendering]
    per_minute: int
    now: Callable[[], datetime]

    def replay(self, target: str, since: datetime | AtLog, until: datetime) -> Replayed:
        """Let what a target confirmed in a span of the vendor's log be sent again, the deletions as deletions.

        Raises `NotYours`, `Stopped` and `UnderWay`.
        """
        rendering = self.renderings.get(target)
        if rendering is None:
            raise NotYours
        with self.store.read() as reader:
            _require_free(reader, rendering, self.now())
            ids, rest = self._confirmed(reader, rendering.target, since, until)
        with self.store.write() as uow:
            now = self.now()
            _require_free(uow, rendering, now)  # a hold, or another replay, may have come meanwhile
            rows = _in_order(uow.settled(rendering.target, ids))
            at = {row.id: now + self._each * place for place, row in enumerate(rows)}
            cause = decision_id("deliveries.replayed", rendering.target, now.isoformat())
            uow.tell_again(rendering.target, at)
            uow.set_cause(rendering.target, at, cause)
            ends = max(now + LEAST, now + self._each * len(rows))
            uow.set_shelf_note(rendering.target, _NOTE, ends.isoformat())
            done = Replayed(rendering.target, len(rows), sum(row.desired is None for row in rows), ends, rest)
            self._note(uow, done, since, until, cause)
        return done

    @property
    def _each(self) -> timedelta:
        return timedelta(minutes=1) / self.per_minute

    def _confirmed(
        self, reader: Reader, target: TargetId, since: datetime | AtLog, until: datetime
    ) -> tuple[list[CanonicalId], AtLog | None]:
        """Whom it confirmed anything of in the span, and how far that came where there is more."""
        after = since.seq if isinstance(since, AtLog) else seq_at(reader, self.vendor, since)
        found: dict[CanonicalId, None] = {}
        begin = since if isinstance(since, datetime) else None
        looked_at = list(entries(reader, self.book, self.vendor, after, MOST))
        for _, one in looked_at:
            if isinstance(one, Attempt):
                at = datetime.fromisoformat(one.at)
                if at - CLOCKS >= until:
                    return list(found), None
                is_asked = at < until and (begin is None or at >= begin)
                if is_asked and one.target == target and one.is_confirmed:
                    found[one.id] = None
        return list(found), AtLog(looked_at[-1][0]) if len(looked_at) == MOST else None

    def _note(self, uow: UnitOfWork, done: Replayed, since: datetime | AtLog, until: datetime, cause: str) -> None:
        if not done.entities:
            return
        self.book.on(cause).write(
            uow,
            [
                {
                    "kind": "deliveries.replayed",
                    "vendor": self.vendor,
                    "target": done.target,
                    **({"after": since.text()} if isinstance(since, AtLog) else {"since": since.isoformat()}),
                    "until": until.isoformat(),
                    "entities": done.entities,
                    "deletions": done.deletions,
                }
            ],
        )


def ends_at(reader: Reader, target: TargetId) -> datetime | None:
    """When the last of the last replay there is, or was, due; None where there was none."""
    noted = reader.shelf_note(target, _NOTE)
    return datetime.fromisoformat(noted) if noted is not None else None


def _require_free(reader: Reader, rendering: Rendering, now: datetime) -> None:
    """Raises `Stopped` where the target gets nothing or a person is asked about it, `UnderWay`."""
    state = reader.target_state(rendering.target)
    if standing(state, begins_in_shadow=rendering.in_shadow) == SHADOW:
        raise Stopped("shadow")
    if is_paused(state, now):
        raise Stopped("paused")
    is_asked = any(hold.target == rendering.target for hold in reader.holds(("open", "approved")))
    if is_asked or state.rendering != rendering.digest:
        raise Stopped("held")
    ends = ends_at(reader, rendering.target)
    if ends is not None and ends > now:
        raise UnderWay(ends)


def _in_order(rows: list[Delivery]) -> list[Delivery]:
    """What others refer to comes first, deletions last and in reverse."""
    return sorted(
        rows, key=lambda row: (row.desired is None, -row.rank if row.desired is None else row.rank, row.id)
    )

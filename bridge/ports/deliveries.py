"""What each target should have, what it confirmed, and how it fares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, Key, TargetId
from bridge.domain.privacy import Told


@dataclass(frozen=True, slots=True)
class Desired:
    """What a target should have of one entity: the hash of its rendered body, None for nothing.

    `carried` is how many changes of the source come with this step (None: it is no change of the source's).
    `not_before` puts a change off, told by `reason`. `is_cleared`: a person has allowed it, so no limit of the
    target stops it. `is_urgent` puts an entity that does not go away before
    everything else at its target. `cause` is the run, or the decision, that says so.
    """

    target: TargetId
    id: CanonicalId
    kind: Kind
    key: Key
    institution: str
    resource: str
    rank: int
    hash: bytes | None
    carried: int | None = None
    not_before: datetime | None = None
    reason: str | None = None
    is_urgent: bool = False
    is_cleared: bool = False
    cause: str = ""


GRACE, DEACTIVATED, KEPT, HELD, REPLAYED = "grace", "deactivated", "kept_alive", "held", "replayed"
RESTING = frozenset({GRACE, DEACTIVATED, KEPT, HELD, REPLAYED})
"""Why a delivery waits on purpose: the person may turn up elsewhere; the account sleeps before it is deleted;
somebody said that the person stays for now; a person has to allow it; it is only told once more."""

ACTIVE, GONE, SHADOW, RETIRED = "active", "gone", "shadow", "retired"
OFF = frozenset({SHADOW, RETIRED})
"""Why a target gets nothing on purpose: it is not switched on yet, or not any more."""
STANDING = OFF | {GONE}
"""Pauses that no time and no success ends, only a person."""

URGENT = -1
"""The rank of what goes before everything else; its own rank comes back with its next step."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One (target, entity): due while desired and confirmed differ or an attempt is in doubt.

    `version` grows whenever the desired hash changes. `state`: "pending" or "rejected"; a rejected
    delivery is not due until its desired hash changes or a person asks for a retry.
    `confirmed_body` is the JSON of the document that the target last confirmed. `carried` is how many changes of
    the source end with this step; `is_cleared`: a person has allowed it.
    """

    target: TargetId
    id: CanonicalId
    kind: Kind
    key: Key
    institution: str
    resource: str
    rank: int
    desired: bytes | None
    confirmed: bytes | None
    confirmed_body: bytes | None = field(repr=False)
    remote_id: str | None = field(repr=False)
    etag: str | None
    version: int
    in_doubt: bool
    attempts: int
    next_attempt_at: datetime
    state: str
    reason: str | None
    updated_at: datetime
    carried: int = 0
    is_cleared: bool = False
    cause: str = ""

    @property
    def is_due(self) -> bool:
        return self.state == "pending" and (self.in_doubt or self.desired != self.confirmed)

    @property
    def is_there(self) -> bool:
        """Whether the target has confirmed it: what is to be sent again has no confirmed hash, and is there."""
        return self.confirmed is not None or self.confirmed_body is not None


@dataclass(frozen=True, slots=True)
class TargetState:
    """What is known of a target as a whole. `rendering` is the digest of mapping and scope last applied.

    `reconciled_at` is when all that it has was last read back; `drifted` of it differed and was not set right,
    `foreign` was not ours. `announced_at` is when groups that begin soon were last looked for. `told`: what may
    show in a field of a body, by resource and field, after every mapping that was ever applied; None where nobody
    knows.
    """

    target: TargetId
    rendering: str | None = None
    paused_until: datetime | None = None
    pause_reason: str | None = None
    failures: int = 0
    last_success_at: datetime | None = None
    reconciled_at: datetime | None = None
    drifted: int = 0
    foreign: int = 0
    announced_at: datetime | None = None
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What became of the source's changes at one target, each counted once.

    `accepted` were recorded. `filtered` make no difference there, by scope or mapping. `delivered` were confirmed.
    `superseded` were overtaken by a later change before they were. `unapplied` wait with a changed mapping.
    `rejected` and `pending` are where deliveries stand now. Nothing is lost while `imbalance` is 0.
    """

    target: TargetId
    accepted: int = 0
    filtered: int = 0
    delivered: int = 0
    superseded: int = 0
    unapplied: int = 0
    rejected: int = 0
    pending: int = 0

    @property
    def imbalance(self) -> int:
        ended = self.filtered + self.delivered + self.superseded
        return self.accepted - ended - self.unapplied - self.rejected - self.pending


STUCK_AFTER = 10


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """`due` now or later, `waiting` of these later, `rejected`, `confirmed` living at the target.

    `oldest_due_at` is the earliest `next_attempt_at` of what is due, `stuck` how much of it was tried
    `STUCK_AFTER` times or more, `resting` how much waits on purpose (`RESTING`). `exposed` are people of whom the
    target refused to hide what is protected by now.
    """

    confirmed: int
    due: int
    waiting: int
    rejected: int
    oldest_due_at: datetime | None
    stuck: int = 0
    resting: int = 0
    exposed: int = 0


class DeliveryStore(Protocol):
    def put_desired(self, rows: Iterable[Desired], now: datetime) -> set[CanonicalId]:
        """Set what targets should have and return the ids of those that have another hash now.

        Unknown with hash None: nothing is stored. Same hash: nothing is written (but a changed rank or
        resource is). Else: version + 1, attempts 0, state pending, the row's reason, due at `not_before` or `now`.
        Of several rows for one entity the last counts. An empty institution leaves the stored one, and so does an
        empty cause; the last cause of a step that has not arrived counts for all of it.
        An urgent row that is not confirmed yet stays urgent, as long as it does not go away.
        The changes that a step carried, and did not bring to the target, are superseded by the next one that
        carries some, and by one that leaves nothing to be done.
        """
        ...

    def desired_hashes(self, target: TargetId, ids: Iterable[CanonicalId]) -> dict[CanonicalId, bytes | None]:
        """The desired hash of each of these that has a row."""
        ...

    def due(self, target: TargetId, now: datetime, limit: int, by: str = "") -> list[Delivery]:
        """Due deliveries whose time has come: creates and updates by rank, then deletes by rank reversed.

        All rows returned belong to one lane (same rank, all deletes or none), so a batch never mixes
        what depends on each other. Within a lane oldest `next_attempt_at` first, then id. What another holder
        than `by` has claimed is left out, and the lanes after it wait for it all the same.
        """
        ...

    def begin_attempts(self, target: TargetId, ids: Sequence[CanonicalId]) -> None:
        """Mark in doubt: from here on a crash means an unknown outcome."""
        ...

    def put_deliveries(self, rows: Sequence[Delivery]) -> None:
        """Write back what an attempt brought: everything but `version` and the fields of `Desired`.

        Where the stored version is no longer the row's, the desired state changed meanwhile: then `state`,
        `attempts`, `next_attempt_at` and `reason` stay as stored too; who is to be gone by now, and was about to
        be sent again, is in doubt. Else, where nothing is due any more, the changes that the step carried are
        delivered, and what a person has allowed is over.
        """
        ...

    def set_cause(self, target: TargetId, ids: Iterable[CanonicalId], cause: str) -> None:
        """Write down for which decision these are due; whatever they wait for stays."""
        ...

    def carry(self, target: TargetId, numbers: Mapping[CanonicalId, int]) -> None:
        """Let deliveries carry so many changes more; where nothing is due, these are superseded at once."""
        ...

    def clear(self, target: TargetId, ids: Iterable[CanonicalId], reason: str, now: datetime) -> None:
        """Write down that a person has allowed these; those that wait for this reason are due now."""
        ...

    def due_steps(self, target: TargetId) -> list[Delivery]:
        """All that is due now or later and was not cleared, by id."""
        ...

    def living(self, target: TargetId) -> dict[tuple[str, Kind], int]:
        """How many entities of each institution and kind the target has, what is to be sent again included."""
        ...

    def ledger(self, target: TargetId) -> Ledger:
        """What became of the changes of the source at this target; all 0 before the first."""
        ...

    def count_changes(self, target: TargetId, *, accepted: int = 0, filtered: int = 0, unapplied: int = 0) -> None:
        """Add to a target's ledger."""
        ...

    def supersede_unapplied(self, target: TargetId) -> None:
        """What waited with a changed mapping has been overtaken by rendering everything."""
        ...

    def due_for(self, cause: str) -> dict[TargetId, int]:
        """How much is due at each target, now or later, for one run or decision; walks all that is due."""
        ...

    def remote_ids(self, target: TargetId, ids: Iterable[CanonicalId]) -> dict[CanonicalId, str]: ...

    def deliveries(
        self, target: TargetId | None, state: str | None, after: CanonicalId | None, limit: int
    ) -> list[Delivery]:
        """By (target, id). `state`: None, "due", "rejected" or "confirmed" (living at the target).

        `after` pages through one target; without a target it leaves out smaller ids of each.
        """
        ...

    def delivery(self, target: TargetId, identity: CanonicalId) -> Delivery | None: ...

    def wake(self, target: TargetId, reason: str | None, now: datetime) -> int:
        """Make waiting due deliveries due now, all but what rests on purpose, or those with this reason.

        Returns how many.
        """
        ...

    def retry_rejected(self, target: TargetId | None, ids: Sequence[CanonicalId] | None, now: datetime) -> int: ...

    def forget_confirmed(self, target: TargetId, ids: Iterable[CanonicalId]) -> None:
        """Drop the confirmed hash of living deliveries, so that they are sent again, as a new version of each.

        Nobody has allowed that one yet.
        """
        ...

    def settled(self, target: TargetId, ids: Iterable[CanonicalId]) -> list[Delivery]:
        """Those of these of which nothing is due, in doubt or refused: what the target confirmed is what it should
        have."""
        ...

    def tell_again(self, target: TargetId, at: Mapping[CanonicalId, datetime]) -> None:
        """Let those of these that are `settled` be sent again, as a new version of each, at its time.

        What is gone is told as gone once more. They passed the limits of the target when they were sent first and
        are cleared, until another state is desired; they wait as `REPLAYED`, behind all else. What is not settled
        stays as it is.
        """
        ...

    def forget_deliveries(self, target: TargetId) -> int:
        """Drop all that is known of a target's entities, its ledger and its drift; return how many entities."""
        ...

    def delivery_counts(self, target: TargetId, now: datetime) -> DeliveryCounts: ...

    def next_due_at(self, target: TargetId) -> datetime | None:
        """The earliest `next_attempt_at` of what is due."""
        ...

    def target_state(self, target: TargetId) -> TargetState: ...

    def target_states(self) -> list[TargetState]: ...

    def put_target_state(self, state: TargetState) -> None: ...

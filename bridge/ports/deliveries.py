"""What each target should have, what it confirmed, and how it fares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, Key, TargetId


@dataclass(frozen=True, slots=True)
class Desired:
    """What a target should have of one entity: the hash of its rendered body, None for nothing."""

    target: TargetId
    id: CanonicalId
    kind: Kind
    key: Key
    institution: str
    resource: str
    rank: int
    hash: bytes | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One (target, entity): due while desired and confirmed differ or an attempt is in doubt.

    `version` grows whenever the desired hash changes. `state`: "pending" or "rejected"; a rejected
    delivery is not due until its desired hash changes or a person asks for a retry.
    `confirmed_body` is the JSON of the document that the target last confirmed.
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

    @property
    def is_due(self) -> bool:
        return self.state == "pending" and (self.in_doubt or self.desired != self.confirmed)


@dataclass(frozen=True, slots=True)
class TargetState:
    """What is known of a target as a whole. `rendering` is the digest of mapping and scope last applied."""

    target: TargetId
    rendering: str | None = None
    paused_until: datetime | None = None
    pause_reason: str | None = None
    failures: int = 0
    last_success_at: datetime | None = None


STUCK_AFTER = 10


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """`due` now or later, `waiting` of these later, `rejected`, `confirmed` living at the target.

    `oldest_due_at` is the earliest `next_attempt_at` of what is due, `stuck` how much of it was tried
    `STUCK_AFTER` times or more.
    """

    confirmed: int
    due: int
    waiting: int
    rejected: int
    oldest_due_at: datetime | None
    stuck: int = 0


class DeliveryStore(Protocol):
    def put_desired(self, rows: Iterable[Desired], now: datetime) -> int:
        """Set what targets should have and return how many rows changed.

        Unknown with hash None: nothing is stored. Same hash: nothing is written (but a changed rank or
        resource is). Else: version + 1, attempts 0, state pending, no reason, due at `now`.
        Of several rows for one entity the last counts. An empty institution leaves the stored one.
        """
        ...

    def desired_hashes(self, target: TargetId, ids: Iterable[CanonicalId]) -> dict[CanonicalId, bytes | None]:
        """The desired hash of each of these that has a row."""
        ...

    def due(self, target: TargetId, now: datetime, limit: int) -> list[Delivery]:
        """Due deliveries whose time has come: creates and updates by rank, then deletes by rank reversed.

        All rows returned belong to one lane (same rank, all deletes or none), so a batch never mixes
        what depends on each other. Within a lane oldest `next_attempt_at` first, then id.
        """
        ...

    def begin_attempts(self, target: TargetId, ids: Sequence[CanonicalId]) -> None:
        """Mark in doubt: from here on a crash means an unknown outcome."""
        ...

    def put_deliveries(self, rows: Sequence[Delivery]) -> None:
        """Write back what an attempt brought: everything but `version` and the fields of `Desired`.

        Where the stored version is no longer the row's, the desired state changed meanwhile: then
        `state`, `attempts` and `next_attempt_at` stay as stored too (pending and due at once).
        """
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
        """Make waiting due deliveries (all, or those with this reason) due now; return how many."""
        ...

    def retry_rejected(self, target: TargetId | None, ids: Sequence[CanonicalId] | None, now: datetime) -> int: ...

    def forget_confirmed(self, target: TargetId, ids: Iterable[CanonicalId]) -> None:
        """Drop the confirmed hash of living deliveries, so that they are sent again."""
        ...

    def delivery_counts(self, target: TargetId, now: datetime) -> DeliveryCounts: ...

    def next_due_at(self, target: TargetId) -> datetime | None:
        """The earliest `next_attempt_at` of what is due."""
        ...

    def target_state(self, target: TargetId) -> TargetState: ...

    def target_states(self) -> list[TargetState]: ...

    def put_target_state(self, state: TargetState) -> None: ...

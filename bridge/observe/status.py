"""The state of the bridge at one moment, in ids, numbers and codes: fit for any screen, log or scrape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from bridge.domain.ids import TargetId
from bridge.ports import OFF


@dataclass(frozen=True, slots=True)
class PublishStatus:
    """What goes to the broker: `waiting` events are not published yet, the oldest of them recorded at `since`.

    `trouble` is why (None: nothing is wrong); `has_begun`: something was published before. `passed` events, from
    number `first` to `last`, were taken by no queue while later ones were; `keys` are their routing keys.
    """

    waiting: int = 0
    since: datetime | None = None
    trouble: str | None = None
    has_begun: bool = False
    passed: int = 0
    first: int = 0
    last: int = 0
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MunicipalityStatus:
    """`last_sequence` is the number of the newest event; `persons` and `quarantined` are counts.

    `publish` is None where no broker is configured.

    `agreements`: how many institutions are agreed, missing, withdrawn and unused; empty where none is known.
    """

    municipality: str
    last_sequence: int
    persons: int
    quarantined: int
    agreements: Mapping[str, int] = field(default_factory=dict)
    publish: PublishStatus | None = None


@dataclass(frozen=True, slots=True)
class InstitutionStatus:
    """`institution` None: a `part` ("source" as a whole, its "register", the "feed" beside it).

    `fresh_at`: when its data were last known to be the newest.

    `refused`: how many of its files or messages were refused for this reason within a day; `files` names them,
    and the one that an institution's last snapshot was refused from.
    `agreement` (since `agreement_at`), `failures` in a row and `retry_at` are those of `Subscription`.
    `export_time` is when the source made what is stored, `school_year` the newest that is in it.
    """

    municipality: str
    institution: str | None
    recorded_at: datetime | None
    last_run_at: datetime | None
    result: str | None
    reason: str | None
    fresh_at: datetime | None
    freshness_seconds: float | None
    agreement: str | None = None
    agreement_at: datetime | None = None
    failures: int = 0
    retry_at: datetime | None = None
    export_time: datetime | None = None
    school_year: str | None = None
    part: str | None = None
    refused: int = 0
    files: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What a table calls it: the institution's number, the files that name none, or what part it is."""
        if self.institution or not self.files:
            return self.institution or f"the {self.part}"
        more = len(self.files) - 1
        return self.files[0] + (f" and {more} more" if more else "")

    @property
    def name(self) -> str:
        """The institution's number, or what part it is."""
        return self.institution or self.part or ""


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """`confirmed`, `due`, `waiting` (of these due: later), `resting` (of these: on purpose), `stuck` (tried many
    times) and `rejected` are counts of entities. `changes` is where the source's changes ended, each counted once;
    `imbalance` is how many of them are lost, which must be none. `is_applied`: its mapping and scope are the
    configured ones. When the target was last read back (`reconciled_at`), so much of ours was otherwise and stayed
    so (`drifted`), of these `parked` is what the target keeps changing back; `foreign` was not ours. `exposed`: of
    so many people it refused to hide what is protected by now.
    What it is to be given as a whole `waits_for` these institutions, which were never read (none named: for the
    first of all; None: for nobody); `stopped` says why it does not leave. `served_at`: the path at our web server
    from which others fetch.
    """

    target: TargetId
    confirmed: int
    due: int
    waiting: int
    rejected: int
    oldest_due_at: datetime | None
    paused_until: datetime | None
    pause_reason: str | None
    failures: int
    last_success_at: datetime | None
    stuck: int = 0
    is_applied: bool = True
    resting: int = 0
    changes: Mapping[str, int] = field(default_factory=dict)
    imbalance: int = 0
    reconciled_at: datetime | None = None
    drifted: int = 0
    parked: int = 0
    foreign: int = 0
    waits_for: tuple[str, ...] | None = None
    served_at: str | None = None
    stopped: str | None = None
    exposed: int = 0

    @property
    def is_off(self) -> bool:
        """Whether it gets nothing on purpose, not yet or not any more."""
        return self.pause_reason in OFF


@dataclass(frozen=True, slots=True)
class HoldStatus:
    """A decision that is asked for; who is concerned is told by the command line only.

    `approvals`: how many have approved it already, where two are needed.
    """

    number: int
    municipality: str
    institution: str
    subject: str
    target: str | None
    reasons: tuple[str, ...]
    counts: Mapping[str, int]
    opened_at: datetime
    approvals: int = 0


@dataclass(frozen=True, slots=True)
class QuarantinedStatus:
    """One record that is set aside, by its place; whose it is is told by the command line only."""

    municipality: str
    institution: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class AnomalyStatus:
    """How much a school can mend at the source, by the code of the rule; never none in all."""

    municipality: str
    institution: str
    counts: Mapping[str, int]

    @property
    def number(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Status:
    """Everything an operator needs; `attention` are plain sentences for what needs a person, `notes` for what
    does not. `set_aside` are the first of those that `quarantined` counts. `processes`: how
    many have each role, where several share the state."""

    at: datetime
    attention: tuple[str, ...]
    municipalities: tuple[MunicipalityStatus, ...]
    institutions: tuple[InstitutionStatus, ...]
    targets: tuple[TargetStatus, ...]
    holds: tuple[HoldStatus, ...]
    quarantined: int
    audit_head: str
    retired: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    set_aside: tuple[QuarantinedStatus, ...] = ()
    anomalies: tuple[AnomalyStatus, ...] = ()
    processes: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        return not self.attention


def as_json(status: Status) -> dict[str, Any]:
    """Return the status as plain JSON values; times are RFC 3339 texts."""
    built: dict[str, Any] = msgspec.to_builtins(status)
    return {"well": status.is_well, **built}

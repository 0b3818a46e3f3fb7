"""What became of snapshots: state and subscription of institutions, runs, quarantine, holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bridge.domain.entities import Kind
from bridge.domain.ids import Key
from bridge.domain.records import ImportSource


@dataclass(frozen=True, slots=True)
class InstitutionState:
    """The last snapshot that was recorded for an institution. `digest` leaves exportDateTime aside.

    `source_times` and `school_years` are by the name of the import source.
    """

    municipality: str
    institution: str
    digest: str
    export_time: datetime
    source_times: Mapping[str, datetime]
    recorded_at: datetime
    run: str
    school_years: Mapping[str, str] = field(default_factory=dict)


WHOLE, REGISTER, FEED = "", "register", "feed"
PARTS = frozenset({WHOLE, REGISTER, FEED})
"""What is no institution and may fail all the same: a source as a whole, its register, the feed beside it."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """How an institution is subscribed to; `institution` may also be one of `PARTS`.

    `agreement`: agreed | missing (configured, never agreed) | withdrawn (was agreed, is not any more) |
    unused (agreed, not configured) | None (not known yet); `agreement_at` is since when. `failures` in a row
    and their `reason` since the last success, `retry_at` when it is tried before its turn. `wanted_at`: a nudge
    asks for it. `asked_at`: when it was last asked for (the whole: when the last pass began).
    """

    municipality: str
    institution: str
    agreement: str | None = None
    agreement_at: datetime | None = None
    failures: int = 0
    reason: str | None = None
    retry_at: datetime | None = None
    wanted_at: datetime | None = None
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one snapshot. `result`: recorded | unchanged | held | refused | failed.

    `export_time` and `sources` (name, time, school year) are what its header said, where it was read.
    `gone` counts what was deleted, by label: a kind, or for affiliations a kind and a role.
    """

    id: str
    municipality: str
    institution: str | None
    at: datetime
    result: str
    reason: str | None
    origin: str | None
    digest: str | None
    changes: int = 0
    quarantined: int = 0
    export_time: datetime | None = None
    sources: tuple[ImportSource, ...] = ()
    gone: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """One record that is out of use until the next good snapshot, ids only. `run` first found it so."""

    municipality: str
    institution: str
    path: str
    reason: str
    user_id: str | None
    local_person_id: str | None
    severity: str  # "quarantined" | "noted"
    run: str


Subject = tuple[Kind, Key]


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes to a hold: to all of it, or `only` to these (user ids, and "<institution>/<group id>")."""

    by: str
    at: datetime
    only: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """What waits for a person.

    `subject`: "snapshot" (nothing of it is recorded), "deletions" (all of it is recorded but what is `withheld`),
    "target" (a changed mapping) or "drift" (what a target lost or changed by itself). `target` is set where one
    target is concerned. `state`: open | approved | applied | rejected | superseded; approved ones carry
    `approvals`, and so does an open one that waits for a second person. `reasons` are stable codes; `counts` maps
    "<kind>.<operation>" to a number; `people` lists user ids, `groups` lists "<institution>/<group id>", never
    names of people. `summary` is what a school-year roll would do: by heading, user ids or names of groups.
    `notified_at` and `reminded_at`: when people were told of it, and that it grows old. `export_time` is when a
    snapshot that is held was made.
    """

    id: int
    municipality: str
    institution: str
    subject: str
    target: str | None
    digest: str
    reasons: tuple[str, ...]
    counts: Mapping[str, int]
    people: tuple[str, ...]
    state: str
    opened_at: datetime
    origin: str | None
    decided_at: datetime | None = None
    decided_by: str | None = None
    groups: tuple[str, ...] = ()
    withheld: tuple[Subject, ...] = ()
    approvals: tuple[Approval, ...] = ()
    summary: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notified_at: datetime | None = None
    reminded_at: datetime | None = None
    export_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeptPerson:
    """A person whom no target loses before `until` (for good when None), whatever the sources say."""

    municipality: str
    user_id: str
    until: datetime | None
    kept_by: str
    kept_at: datetime


@dataclass(frozen=True, slots=True)
class ExpectedRoll:
    """Somebody's word that between two moments a school-year roll of an institution ("": of any) is expected.

    It needs no decision then, once as many people as are needed said the same.
    """

    municipality: str
    institution: str
    opens_at: datetime
    closes_at: datetime
    opened_by: str
    opened_at: datetime


class IntakeStore(Protocol):
    def institution_state(self, municipality: str, institution: str) -> InstitutionState | None: ...

    def institution_states(self) -> list[InstitutionState]: ...

    def put_institution_state(self, state: InstitutionState) -> None: ...

    def subscriptions(self, municipality: str | None = None) -> list[Subscription]:
        """By (municipality, institution); of all municipalities when None."""
        ...

    def forget_subscriptions(self, municipality: str) -> None:
        """Remove what is known of a municipality's source."""
        ...

    def put_subscriptions(self, rows: Iterable[Subscription]) -> None:
        """Insert or replace by (municipality, institution)."""
        ...

    def institution_facts(self, municipality: str) -> dict[str, bytes]:
        """The last that a register said of each institution, as an encoded `Institution`."""
        ...

    def put_institution_facts(self, municipality: str, facts: Mapping[str, bytes]) -> None:
        """Put what a register says of institutions, by number; b"" for one that it does not know."""
        ...

    def add_run(self, run: Run) -> None: ...

    def runs(self, limit: int) -> list[Run]:
        """The newest first."""
        ...

    def runs_by_id(self, ids: Iterable[str]) -> dict[str, Run]:
        """Those of these runs that are still remembered."""
        ...

    def last_runs(self) -> list[Run]:
        """The newest run of each (municipality, institution)."""
        ...

    def runs_of(self, municipality: str, institution: str, since: datetime) -> list[Run]:
        """The runs of one institution from a moment on, the oldest first."""
        ...

    def replace_quarantine(self, municipality: str, institution: str, rows: Sequence[QuarantineRow]) -> None: ...

    def quarantine(self, limit: int, severity: str | None = None) -> list[QuarantineRow]:
        """By place, only those of this severity where one is given."""
        ...

    def quarantine_of(self, municipality: str, institution: str) -> list[QuarantineRow]:
        """All of one institution, in the order in which they were put."""
        ...

    def add_hold(self, hold: Hold, body: bytes | None) -> int:
        """Store the hold with the snapshot's bytes and return its number (the given id is ignored)."""
        ...

    def holds(self, states: Sequence[str] | None = None) -> list[Hold]:
        """Oldest first; all states when None."""
        ...

    def hold(self, number: int) -> Hold | None: ...

    def hold_body(self, number: int) -> bytes | None: ...

    def put_hold(self, hold: Hold) -> None:
        """Write back a hold by its id; its bytes stay. Raises `StoreError` for a number that is no hold's."""
        ...

    def set_hold_state(self, number: int, state: str, by: str | None, at: datetime) -> None:
        """Write `by` and `at` as the decision, and forget the stored bytes when the state is a final one
        (applied, rejected, superseded). Raises `StoreError` for a number that is no hold's."""
        ...

    def kept_people(self, municipality: str) -> list[KeptPerson]:
        """By user id."""
        ...

    def put_kept_person(self, kept: KeptPerson) -> None:
        """Insert or replace by (municipality, user id)."""
        ...

    def drop_kept_person(self, municipality: str, user_id: str) -> bool:
        """Forget that somebody is kept; whether they were."""
        ...

    def expected_rolls(self, municipality: str) -> list[ExpectedRoll]:
        """All that were said and not withdrawn, the oldest first."""
        ...

    def add_expected_roll(self, roll: ExpectedRoll) -> None: ...

    def drop_expected_rolls(
        self, municipality: str, institution: str, opens_at: datetime, closes_at: datetime
    ) -> None:
        """Forget what anybody said of exactly this window."""
        ...

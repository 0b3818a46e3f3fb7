"""One consistent look at the store tells an operator what the bridge does and what needs a person."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from bridge.domain.entities import Kind
from bridge.domain.ids import TargetId
from bridge.engine.attention import DAY, Expected, StaleAt, a_day_later, attention, notes, silence
from bridge.engine.expect import windows
from bridge.engine.guard import GuardPolicy
from bridge.engine.handover import waits_for
from bridge.engine.members import members, vacancies
from bridge.engine.publish_status import publish_status, taken_by_nobody, unpublished
from bridge.engine.shelf import SERVED, STOPPED
from bridge.observe import (
    HoldStatus,
    InstitutionStatus,
    MunicipalityStatus,
    QuarantinedStatus,
    Status,
    TargetStatus,
    as_json,
)
from bridge.ports import (
    FROM_FEED,
    PARTS,
    WHOLE,
    Hold,
    InstitutionState,
    Ledger,
    QuarantineRow,
    Reader,
    Run,
    Store,
    Subscription,
)

__all__ = ["Status", "as_json", "read_status"]

_GOOD = ("recorded", "unchanged")
_SOURCE = "source"
_YEARS = re.compile(r"\d{4}[-/]\d{2,4}")
_RUNS = 2_000
_QUARANTINE, _LISTED = 10_000, 50
_Place = tuple[str, str | None]


def read_status(
    store: Store,
    targets: Sequence[TargetId],
    now: datetime,
    stale_at: StaleAt = a_day_later,
    renderings: Mapping[TargetId, str] | None = None,
    expected: Expected | None = None,
    policies: Mapping[str, GuardPolicy] | None = None,
    *,
    publishes: bool = False,
    roles: Collection[str] = (),
) -> Status:
    """Return the state of the bridge, read in one transaction.

    `targets` are those of the configuration, `renderings` what each should be rendered by; an institution without
    fresh data after `stale_at` needs a person, and one that is `expected` and was never heard of. `policies` are
    those of the municipalities: they say whether a roll that is expected passes by itself. `publishes`: there is a
    broker. `roles` are those that some process must have, where several share the state. Counts of quarantined
    records stop at 10,000, and 50 of them are listed.
    Raises `StoreUnavailable`.
    """
    with store.read() as reader:
        subscriptions = reader.subscriptions()
        institutions = _institutions(reader, subscriptions, now)
        aside = reader.quarantine(_QUARANTINE, "quarantined")
        quarantined = Counter(row.municipality for row in aside)
        known = (
            {i.municipality for i in institutions}
            | {row.municipality for row in subscriptions}
            | {_municipality(t) for t in targets}
        )
        digests = renderings or {}
        rows = tuple(_target(reader, target, now, digests.get(target)) for target in targets)
        retired = _retired(reader, targets, now)
        holds, approved = tuple(map(_hold, reader.holds(("open",)))), reader.holds(("approved",))
        size, head = reader.audit_head()
        municipalities = tuple(
            _municipality_row(reader, code, quarantined, subscriptions, publishes) for code in sorted(known)
        )
        return Status(
            at=now,
            attention=(
                *vacancies(reader, roles),
                *attention(institutions, rows, holds, quarantined.total(), now, stale_at, retired, approved),
                *unpublished(municipalities, now),
                *silence(institutions, expected or {}),
            ),
            municipalities=municipalities,
            institutions=institutions,
            targets=rows,
            holds=holds,
            quarantined=quarantined.total(),
            audit_head=f"{size}:{head.hex()}",
            retired=retired,
            notes=(
                *taken_by_nobody(municipalities),
                *notes(
                    subscriptions,
                    {(row.municipality, row.institution) for row in institutions},
                    [hold for hold in reader.holds(("rejected",)) if hold.subject == "deletions"],
                    [
                        window
                        for code, policy in (policies or {}).items()
                        for window in windows(reader.expected_rolls(code), policy, now)
                    ],
                    approved,
                    rows,
                ),
            ),
            set_aside=tuple(map(_set_aside, aside[:_LISTED])),
            processes=Counter(role for member in members(reader) for role in sorted(member.roles)),
        )


# ---------------------------------------------------------------- institutions


def _institutions(
    reader: Reader, subscriptions: Sequence[Subscription], now: datetime
) -> tuple[InstitutionStatus, ...]:
    states: dict[_Place, InstitutionState] = {
        (state.municipality, state.institution): state for state in reader.institution_states()
    }
    rows: dict[_Place, Subscription] = {
        (row.municipality, row.institution): row for row in subscriptions if row.institution not in PARTS
    }
    last = {(run.municipality, run.institution): run for run in reader.last_runs()}
    good = _last_good(last.values(), reader)
    shown = states.keys() | _current(last, good) | {place for place, row in rows.items() if _is_shown(row)}
    failing = [row for row in subscriptions if row.institution in PARTS and row.failures]
    # A source that is subscribed to says itself that it fails as a whole.
    shown -= {(row.municipality, None) for row in failing if row.institution == WHOLE}
    found = [
        _institution(place, states.get(place), rows.get(place), last.get(place), good.get(place), now)
        for place in shown
    ]
    found += [*map(_part, failing), *_refused(reader, last, now)]
    return tuple(sorted(found, key=lambda row: (row.municipality, row.institution or "", row.part or "")))


def _is_shown(row: Subscription) -> bool:
    """An institution is worth a row unless nobody wants it."""
    return row.failures > 0 or row.agreement not in (None, "unused")


def _part(row: Subscription) -> InstitutionStatus:
    return InstitutionStatus(
        municipality=row.municipality,
        institution=None,
        recorded_at=None,
        last_run_at=row.asked_at,
        result="failed",
        reason=row.reason,
        fresh_at=None,
        freshness_seconds=None,
        failures=row.failures,
        retry_at=row.retry_at,
        part=row.institution or _SOURCE,
    )


def _last_good(last: Iterable[Run], reader: Reader) -> dict[_Place, datetime]:
    """When each place last had a good run; older runs are read only where the newest is not good."""
    runs = list(last)
    if any(run.result not in _GOOD for run in runs):
        runs += reader.runs(_RUNS)
    good: dict[_Place, datetime] = {}
    for run in runs:
        if run.result in _GOOD:
            place = (run.municipality, run.institution)
            good[place] = max(run.at, good.get(place, run.at))
    return good


def _current(last: Mapping[_Place, Run], good: Mapping[_Place, datetime]) -> set[_Place]:
    """The places that are worth a row: a failure of a whole source is over once anything came of it again."""
    return {
        place
        for place, run in last.items()
        if place[1] is not None
        or (
            run.result != "refused" and not any(code == place[0] and at > run.at for (code, _), at in good.items())
        )
    }


def _refused(reader: Reader, last: Mapping[_Place, Run], now: datetime) -> Iterator[InstitutionStatus]:
    """Files and messages that name no institution: for a day, because nothing else tells that they are missing.

    A file counts once, however often it was looked at, and not at all once it has become a good one.
    """
    if not any(place[1] is None and now - run.at < DAY for place, run in last.items()):
        return
    found: dict[tuple[str, str, str | None], list[Run]] = {}
    judged: set[tuple[str, str | None]] = set()
    for run in reader.runs(_RUNS):  # the newest first
        part, file = "feed" if _is_of_feed(run) else _SOURCE, (run.municipality, run.origin)
        is_told = part == _SOURCE and file in judged
        judged.add(file)
        if run.institution is None and run.result == "refused" and now - run.at < DAY and not is_told:
            found.setdefault((run.municipality, part, run.reason), []).append(run)
    for (municipality, part, reason), runs in sorted(found.items(), key=lambda pair: str(pair[0])):
        yield InstitutionStatus(
            municipality=municipality,
            institution=None,
            recorded_at=None,
            last_run_at=runs[0].at,
            result="refused",
            reason=reason,
            fresh_at=None,
            freshness_seconds=None,
            part=part,
            refused=len(runs),
            files=tuple(sorted(name for run in runs for name in _file(run))),
        )


def _is_of_feed(run: Run) -> bool:
    return (run.origin or "").startswith(FROM_FEED)


def _file(run: Run | None) -> tuple[str, ...]:
    """The name of the file that was refused, if it came from one: a service is no file."""
    if run is None or run.result != "refused" or _is_of_feed(run):
        return ()
    origin = run.origin or ""
    return (origin,) if "." in origin and "/" not in origin else ()


def _institution(
    place: _Place,
    state: InstitutionState | None,
    row: Subscription | None,
    run: Run | None,
    good: datetime | None,
    now: datetime,
) -> InstitutionStatus:
    recorded = state.recorded_at if state else None
    fresh = max((at for at in (recorded, good) if at is not None), default=None)
    known = row or Subscription(place[0], place[1] or "")
    return InstitutionStatus(
        municipality=place[0],
        institution=place[1],
        recorded_at=recorded,
        last_run_at=run.at if run else None,
        result=run.result if run else None,
        reason=known.reason if known.failures else run.reason if run else None,
        fresh_at=fresh,
        freshness_seconds=(now - fresh).total_seconds() if fresh else None,
        agreement=known.agreement,
        agreement_at=known.agreement_at,
        failures=known.failures,
        retry_at=known.retry_at,
        export_time=state.export_time if state else None,
        school_year=_school_year(state.school_years.values()) if state else None,
        part=None if place[1] else _SOURCE,
        files=_file(run),
    )


def _school_year(years: Iterable[str]) -> str | None:
    """The newest; one that is none, which some systems write, only where there is no other."""
    return max(years, key=lambda year: (_YEARS.fullmatch(year) is not None, year), default=None)


# ---------------------------------------------------------------- the rest


def _municipality_row(
    reader: Reader,
    code: str,
    quarantined: Counter[str],
    subscriptions: Sequence[Subscription],
    publishes: bool,
) -> MunicipalityStatus:
    return MunicipalityStatus(
        municipality=code,
        last_sequence=reader.last_sequence(code),
        persons=reader.entity_counts(code).get(Kind.PERSON, 0),
        quarantined=quarantined[code],
        agreements=Counter(row.agreement for row in subscriptions if row.agreement and row.municipality == code),
        publish=publish_status(reader, code) if publishes else None,
    )


def _set_aside(row: QuarantineRow) -> QuarantinedStatus:
    return QuarantinedStatus(row.municipality, row.institution, row.path, row.reason)


def _retired(reader: Reader, targets: Sequence[TargetId], now: datetime) -> tuple[str, ...]:
    """Targets that hold something from us and are not configured any more."""
    gone = [state.target for state in reader.target_states() if state.target not in targets]
    return tuple(target for target in gone if reader.delivery_counts(target, now).confirmed)


def _target(reader: Reader, target: TargetId, now: datetime, digest: str | None) -> TargetStatus:
    counts, state = reader.delivery_counts(target, now), reader.target_state(target)
    ledger = reader.ledger(target)
    is_paused = state.paused_until is not None and state.paused_until > now
    return TargetStatus(
        target=target,
        confirmed=counts.confirmed,
        due=counts.due,
        waiting=counts.waiting,
        rejected=counts.rejected,
        oldest_due_at=counts.oldest_due_at,
        paused_until=state.paused_until if is_paused else None,
        pause_reason=state.pause_reason if is_paused else None,
        failures=state.failures,
        stuck=counts.stuck,
        resting=counts.resting,
        exposed=counts.exposed,
        changes=_changes(ledger),
        imbalance=ledger.imbalance,
        is_applied=digest is None or state.rendering in (None, digest),
        last_success_at=state.last_success_at,
        reconciled_at=state.reconciled_at,
        drifted=state.drifted,
        parked=sum(row.state == "parked" for row in reader.drift(target)) if state.drifted else 0,
        foreign=state.foreign,
        waits_for=waits_for(reader, target),
        served_at=reader.shelf_note(target, SERVED) or None,
        stopped=reader.shelf_note(target, STOPPED) or None,
    )


def _changes(ledger: Ledger) -> dict[str, int]:
    names = ("accepted", "delivered", "filtered", "superseded", "rejected", "pending", "unapplied")
    return {name: getattr(ledger, name) for name in names}


def _hold(hold: Hold) -> HoldStatus:
    return HoldStatus(
        number=hold.id,
        municipality=hold.municipality,
        institution=hold.institution,
        subject=hold.subject,
        target=hold.target,
        reasons=hold.reasons,
        counts=dict(hold.counts),
        opened_at=hold.opened_at,
        approvals=len(hold.approvals),
    )


def _municipality(target: TargetId) -> str:
    return target.partition("/")[0]

"""What needs a person, in plain sentences that name no one; what the bridge mends by itself is not among them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from bridge.engine.decide import agreed_part
from bridge.engine.expect import Window
from bridge.engine.guard import REASON_TEXTS, REJECTED
from bridge.observe import (
    AGREEMENT_MISSING,
    AGREEMENT_WITHDRAWN,
    HoldStatus,
    InstitutionStatus,
    TargetStatus,
    in_words,
    needs_person,
)
from bridge.ports import STUCK_AFTER, Hold, Subscription

DAY = timedelta(days=1)
BACKLOG = timedelta(hours=1)
PATIENCE = 3
"""So many failures in a row are no blink any more."""
_NAMED = 3
_PARTS = {"source": "The source", "register": "The register of institutions", "feed": "The feed"}

Expected = Mapping[str, frozenset[str] | None]
"""The institutions that are configured for each municipality; None: whichever there are."""

StaleAt = Callable[[str, datetime], datetime]
"""When what a municipality brought at a moment is no longer fresh; both moments aware."""


def a_day_later(_: str, fresh_at: datetime) -> datetime:
    """The rule where nothing is known of a municipality's schedule."""
    return fresh_at + DAY


def attention(
    institutions: Sequence[InstitutionStatus],
    targets: Sequence[TargetStatus],
    holds: Sequence[HoldStatus],
    quarantined: int,
    now: datetime,
    stale_at: StaleAt,
    retired: Sequence[str] = (),
    approved: Sequence[Hold] = (),
) -> tuple[str, ...]:
    """Return the sentences, the most urgent first; of the `approved` holds those that leave somebody undecided."""
    return (
        *map(_hold, holds),
        *(_approved(hold) for hold in approved if agreed_part(hold) is not None),
        *(sentence for target in targets for sentence in _target(target, now)),
        *(_unapplied(target) for target in targets if not target.is_applied and not _has_hold(target, holds)),
        *map(_retired, retired),
        *_institutions(institutions, now, stale_at),
        *([f"{_records(quarantined)} set aside: they have to be corrected at the school."] if quarantined else []),
    )


def silence(rows: Sequence[InstitutionStatus], expected: Expected) -> Iterator[str]:
    """Yield what is configured and was never heard of, neither good nor bad."""
    for municipality, configured in expected.items():
        heard = {row.institution for row in rows if row.municipality == municipality}
        missing = sorted(configured - heard) if configured is not None else []
        if not heard:
            yield (
                f"Municipality {municipality}: nothing has come in yet; `skolebro run` or `sync` asks for it. "
                "If it did, see whether the source has anything."
            )
        elif missing:
            yield f"{_numbers(missing)}: configured, but nothing has come in yet."


def notes(
    subscriptions: Iterable[Subscription],
    stored: Collection[tuple[str, str | None]],
    kept: Iterable[Hold] = (),
    expected: Iterable[Window] = (),
    approved: Iterable[Hold] = (),
    targets: Iterable[TargetStatus] = (),
) -> tuple[str, ...]:
    """Return what is good to know and needs nobody; `stored` are the institutions that there are data of.

    `kept` are holds of deletions that somebody has rejected, `expected` when new school years pass by themselves,
    `approved` those that wait to be carried out.
    """
    unused = [
        row.institution
        for row in subscriptions
        if row.agreement == "unused" and (row.municipality, row.institution) not in stored
    ]
    told = [f"{_numbers(unused)}: agreed, but not configured; nothing is fetched."] if unused else []
    waiting = [_approved(hold) for hold in approved if agreed_part(hold) is None]
    rows = list(targets)
    served = [f"{row.target} is served at {row.served_at}" for row in rows if row.served_at and not row.is_off]
    off = [_off(row, rows) for row in rows if row.is_off]
    return (*told, *waiting, *map(_kept_back, kept), *_expected(expected), *served, *off)


def _off(row: TargetStatus, rows: Sequence[TargetStatus]) -> str:
    if row.pause_reason == "retired":
        return f"{row.target} is retired: it gets nothing, and keeps what it has ({row.confirmed} entities)."
    verbs = (
        f"`skolebro target compare {row.target}{_beside(row, rows)}`, then `skolebro target activate {row.target}`"
    )
    return f"{row.target} is in shadow: {row.due} entities would be sent. {verbs}."


def _beside(row: TargetStatus, rows: Sequence[TargetStatus]) -> str:
    """With which target a new one is compared, where there are several: with one that is on, if there is one."""
    home = row.target.partition("/")[0]
    others = [one for one in rows if one.target != row.target and one.target.partition("/")[0] == home]
    if len(others) < 2:
        return ""
    return f" --with {min(others, key=lambda one: one.is_off).target}"


def _approved(hold: Hold) -> str:
    part, everyone = agreed_part(hold), len(hold.people) + len(hold.groups)
    how_much = f" for {len(part)} of {everyone}" if part is not None else ""
    by = f" by {hold.decided_by}" if hold.decided_by else ""
    when = "the next reconcile" if hold.subject == "drift" else "the running daemon or the next `skolebro sync`"
    rest = f" Of the other {everyone - len(part)} nothing is decided yet." if part is not None else ""
    return f"Hold {hold.id} is approved{by}{how_much}, and {when} carries that out.{rest}"


def _expected(windows: Iterable[Window]) -> Iterator[str]:
    told = [
        f"{f'institution {one.institution}' if one.institution else 'every institution'} from "
        f"{one.opens_at:%Y-%m-%d %H:%M} until {one.closes_at:%Y-%m-%d %H:%M} UTC"
        for one in windows
        if one.is_open
    ]
    if told:
        yield f"A new school year passes by itself: {'; '.join(told)} (`skolebro holds expected`)."


def _kept_back(hold: Hold) -> str:
    place = hold.target or f"institution {hold.institution}"
    return (
        f"Hold {hold.id} was rejected: {len(hold.people)} people and {len(hold.groups)} groups of {place} stay, "
        f"though the source names them no more; `skolebro holds approve {hold.id}` lets them go after all."
    )


def _retired(target: str) -> str:
    return (
        f"{target} is not configured any more, but holds data from us: if it was renamed or removed by mistake, "
        "put it back; else have its data deleted there."
    )


def _has_hold(row: TargetStatus, holds: Sequence[HoldStatus]) -> bool:
    return any(hold.target == row.target for hold in holds)


def _unapplied(row: TargetStatus) -> str:
    return (
        f"{row.target} gets nothing: its changed mapping or scope was rejected or is not applied yet. "
        "Set it back, or apply it with `skolebro sync` (or by starting the daemon)."
    )


def _hold(hold: HoldStatus) -> str:
    why = "; ".join(REASON_TEXTS.get(reason, reason) for reason in hold.reasons)
    what, meanwhile = _asked(hold)
    second = " A second person has to approve it too." if hold.approvals else ""
    return f"Hold {hold.number}: approve or reject {what}. {meanwhile}{second} Reason: {why}."


def _asked(hold: HoldStatus) -> tuple[str, str]:
    """What a hold asks for, and what goes on while nobody answers."""
    match hold.subject:
        case "target":
            return f"a change of what {hold.target} gets", "Nothing is changed meanwhile."
        case "drift":
            return f"setting {hold.target} right, which differs much", "Nothing of that is set right meanwhile."
        case "deletions" if hold.target:
            return f"what is to happen at {hold.target}", "Everything else goes on there."
        case "deletions":
            where = f"institution {hold.institution}"
            return f"the deletions of {where}", "Nobody of them is deleted meanwhile, everything else goes on."
        case _:
            return f"the snapshot of institution {hold.institution}", "Nothing is changed meanwhile."


def _target(row: TargetStatus, now: datetime) -> Iterator[str]:
    if row.exposed:  # also of one that is switched off: it keeps what it has
        who = "1 person" if row.exposed == 1 else f"{row.exposed} people"
        yield (
            f"{row.target} refused to hide {who} under protection, and may still show the real name or address: "
            "have that changed there today; `skolebro deliveries list --state rejected` says why, then "
            "`skolebro deliveries retry`."
        )
    if row.is_off:
        return
    if row.pause_reason == "unauthorised":
        yield f"{row.target} refuses our credential: renew it, then run `skolebro deliveries retry`."
    elif row.pause_reason == "gone":
        yield (
            f"{row.target} wants no more events (410) and gets none: ask its vendor, "
            f"then run `skolebro target resume {row.target}`."
        )
    elif row.pause_reason == "contract_broken" and row.stopped:
        yield f"{row.target}: {row.stopped}."
    elif row.pause_reason == "contract_broken":
        yield f"{row.target} speaks otherwise than its protocol says: see base_url and path, or ask its vendor."
    elif row.failures >= STUCK_AFTER and row.due == row.resting:
        why = f" ({row.pause_reason})" if row.pause_reason else ""
        yield f"{row.target} failed {row.failures} times in a row{why}: see whether it can be reached."
    elif row.oldest_due_at is not None and now - row.oldest_due_at > BACKLOG:
        since = _ago(now - row.oldest_due_at)
        yield f"{row.target} is behind by {since} with {row.due} due: see whether it answers."
    if row.waits_for is not None:
        yield waiting(row.target, row.waits_for)
    if row.imbalance:
        yield f"{row.target}: {abs(row.imbalance)} changes are unaccounted for: report it, with `skolebro status`."
    yield from _drift(row)
    if row.stuck:
        yield f"{row.target} keeps deferring {row.stuck} of {row.due} due: see `skolebro deliveries list`."
    if row.rejected:
        what = "1 delivery" if row.rejected == 1 else f"{row.rejected} deliveries"
        yield (
            f"{row.target} rejected {what}: see the reason with `skolebro deliveries list --state rejected`, "
            "correct it, then `skolebro deliveries retry`."
        )


def waiting(target: str, institutions: Sequence[str]) -> str:
    """Say that a file waits for institutions that were never read, for any where none is named."""
    who = _some(institutions) if institutions else "an institution"
    verb = "have" if len(institutions) > 1 else "has"
    return (
        f"Files for target {target} wait until {who} {verb} been read once: one without would look as if all went."
    )


def _drift(row: TargetStatus) -> Iterator[str]:
    if row.parked:
        yield (
            f"{row.target} keeps changing {_entities(row.parked)} back: these are not set right any more. Ask its "
            "vendor why; `skolebro reconcile list` shows which, `skolebro reconcile retry` begins anew."
        )
    if row.drifted > row.parked:
        yield (
            f"{row.target} has {_entities(row.drifted - row.parked)} otherwise than it confirmed: "
            "`skolebro reconcile list` shows which, `skolebro reconcile --repair` sets right what can be."
        )


def _entities(number: int) -> str:
    return "1 entity" if number == 1 else f"{number} entities"


# ---------------------------------------------------------------- institutions


def _institutions(rows: Sequence[InstitutionStatus], now: datetime, stale_at: StaleAt) -> Iterator[str]:
    groups: dict[str, list[InstitutionStatus]] = {}
    served = {row.municipality for row in rows if row.institution and row.fresh_at}
    for row in rows:
        if not _mends_itself(row, served) and (trouble := _trouble(row, now, stale_at)):
            groups.setdefault(trouble, []).append(row)
    for trouble, concerned in sorted(groups.items()):
        yield f"{_names(concerned)}: {trouble}{_files(concerned)}{_next_try(concerned, now)}."


def _mends_itself(row: InstitutionStatus, served: Collection[str]) -> bool:
    """A part that fails does, as long as what came before is fresh and it fails seldom."""
    is_stubborn = row.failures >= PATIENCE or needs_person(row.reason)
    return row.part is not None and row.municipality in served and row.result != "refused" and not is_stubborn


def _trouble(row: InstitutionStatus, now: datetime, stale_at: StaleAt) -> str | None:
    if row.agreement != "agreed" and (ended := _without_agreement(row)) is not None:
        return ended
    if row.agreement == "unused":
        return (
            "not configured any more: nothing is fetched, what is stored stays, also at the targets; configure it "
            "again, or have the data deleted"
        )
    # What is held says so itself; who rejected it knows.
    if row.result == "held" or row.reason == REJECTED:
        return None
    if row.failures and row.reason == AGREEMENT_MISSING:
        return f"{in_words(row.reason)}, although the source lists one; what is stored stays"
    if needs_person(row.reason):
        return f"{in_words(row.reason)}; what is stored stays"
    if row.refused:
        what = {0: "", 1: " file"}.get(len(row.files), " files")
        return f"{row.refused}{what} refused within a day: {in_words(row.reason)}"
    if row.result == "refused":
        return f"the last snapshot was refused: {in_words(row.reason)}; what is stored stays"
    if row.failures >= PATIENCE:
        return f"failing again and again: {in_words(row.reason)}; what is stored stays"
    return _staleness(row, now, stale_at)


def _without_agreement(row: InstitutionStatus) -> str | None:
    if row.agreement == "withdrawn" or row.reason == AGREEMENT_WITHDRAWN:
        on = f" on {row.agreement_at:%Y-%m-%d}" if row.agreement_at else ""
        return (
            f"the data agreement ended{on}: what is stored stays, nothing more is fetched; renew it, or have the "
            "data deleted at the targets"
        )
    if row.agreement == "missing" or row.reason == AGREEMENT_MISSING:
        return in_words(AGREEMENT_MISSING)
    return None


def _staleness(row: InstitutionStatus, now: datetime, stale_at: StaleAt) -> str | None:
    if row.fresh_at is None:
        waits_for_its_turn = row.agreement == "agreed" and not row.failures
        return None if waits_for_its_turn else f"nothing has come yet: {in_words(row.reason)}"
    if row.fresh_at - now > BACKLOG:
        return "the newest data are from the future; see whether this machine's clock is right"
    if now > stale_at(row.municipality, row.fresh_at):
        why = in_words(row.reason) if row.reason else "see whether the source answers"
        return f"no fresh data for more than {_ago((now - row.fresh_at) // DAY * DAY)}; {why}"
    return None


def _files(rows: Iterable[InstitutionStatus]) -> str:
    """Where to look: the names of what was refused."""
    names = sorted({name for row in rows for name in row.files})
    return f"; see {_some(names)}" if names else ""


def _next_try(rows: Iterable[InstitutionStatus], now: datetime) -> str:
    first = min((row.retry_at for row in rows if row.retry_at is not None and row.retry_at > now), default=None)
    return f"; next try {first:%Y-%m-%d %H:%M} UTC" if first else ""


def _names(rows: Sequence[InstitutionStatus]) -> str:
    numbers = [row.institution for row in rows if row.institution]
    parts = [f"{_PARTS[row.part]} of municipality {row.municipality}" for row in rows if row.part]
    return ", ".join([*([_numbers(numbers)] if numbers else []), *parts])


def _numbers(numbers: Sequence[str]) -> str:
    return f"Institution {_some(numbers)}" if len(numbers) == 1 else f"Institutions {_some(numbers)}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


# ---------------------------------------------------------------- words


def _records(count: int) -> str:
    return "1 record is" if count == 1 else f"{count} records are"


def _ago(span: timedelta) -> str:
    hours = round(span.total_seconds() / 3600)
    return "1 hour" if hours == 1 else f"{hours} hours"

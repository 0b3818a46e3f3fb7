"""One person's way from the snapshots to every platform, told in one answer that names nobody.

Why is this pupil in that platform, or why not: what the institutions say, whose word counts, what each mapping
makes of it, and all that happened so far. No name, number, address or other value of anybody stands in it, only
codes, names of fields and the user id that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.domain.entities import Contribution, Kind
from bridge.domain.ids import CanonicalId, Key, TargetId, canonical_id
from bridge.engine.audit import AuditBook
from bridge.engine.codec import decode_entity
from bridge.engine.desire import Rendering
from bridge.engine.scan import living_rows
from bridge.engine.trace_now import Now, ids_of, read_now
from bridge.engine.trace_past import Moment, Past, deleted_by, read_past, timeline
from bridge.engine.trace_target import AtTarget, Case, at_target
from bridge.engine.trace_words import in_plain_words, listed, moment
from bridge.observe import in_words
from bridge.ports import Reader, Store

_PAGE = 1_000
_ONLY_DIGITS = re.compile(r"\D")


@dataclass(frozen=True, slots=True)
class Trace:
    """The answer. `id` is the canonical one. `is_known`: whether anything at all is known of the user id; `notes`
    tell what else matters."""

    municipality: str
    user_id: str
    id: CanonicalId
    at: datetime
    is_known: bool
    now: Now
    targets: tuple[AtTarget, ...]
    timeline: tuple[Moment, ...]
    notes: tuple[str, ...]


def trace(
    reader: Reader,
    book: AuditBook,
    municipality: str,
    user_id: str,
    renderings: Sequence[Rendering],
    at: datetime,
    *,
    silent: Collection[TargetId] = (),
    since: datetime | None = None,
) -> Trace:
    """Tell one person's way, as of one reader.

    `renderings` are of the targets that are asked about; `silent` are those that are never sent anything. With
    `since` the timeline begins there.
    """
    now = read_now(reader, municipality, user_id)
    past = read_past(reader, book, municipality, user_id, ids_of(municipality, user_id, now))
    gone = deleted_by(past, user_id)
    told = f"{gone.text}, {moment(gone.at)}" if gone else None
    case = Case(municipality, user_id, now, at, told, past.attempts)
    wanted = {rendering.target for rendering in renderings}
    moments = timeline(past, now, user_id)
    return Trace(
        municipality=municipality,
        user_id=user_id,
        id=canonical_id(municipality, Kind.PERSON, (user_id,)),
        at=at,
        is_known=_is_known(now, past),
        now=now,
        targets=tuple(at_target(reader, case, one, is_silent=one.target in silent) for one in renderings),
        timeline=tuple(one for one in moments if _is_wanted(one, wanted, since)),
        notes=tuple(_notes(reader, case, wanted, is_known=_is_known(now, past))),
    )


def note_look_up(store: Store, book: AuditBook, municipality: str, user_id: str | None) -> None:
    """Write into the audit chain that somebody looked a person up; None: whom they looked for was not found."""
    person = canonical_id(municipality, Kind.PERSON, (user_id,)) if user_id is not None else None
    about = {"subject": book.reference(person)} if person is not None else {"found": 0}
    with store.write() as uow:
        book.write(uow, [{"kind": "trace.read", "municipality": municipality, **about}])


def people_by_number(reader: Reader, municipality: str, number: str) -> list[str]:
    """Return the user ids of those who have this civil registration number, however it is written."""
    wanted, found = _ONLY_DIGITS.sub("", number), set()
    for one in _contributions(reader, municipality):
        if wanted and _ONLY_DIGITS.sub("", one.person.civil_registration_number or "") == wanted:
            found.add(one.user_id)
    return sorted(found)


def other_spelling(reader: Reader, municipality: str, user_id: str) -> str | None:
    """Return a user id that is known and differs from this one by small and capital letters or blanks only."""
    plain = user_id.strip()
    tried: list[Key] = [(one,) for one in (plain, plain.lower(), plain.upper()) if one != user_id]
    return next(iter(key[0] for key in reader.entities(municipality, Kind.PERSON, tried)), None)


def _contributions(reader: Reader, municipality: str) -> Iterator[Contribution]:
    for row in living_rows(reader, municipality, Kind.CONTRIBUTION):
        entity = decode_entity(row.kind, row.body) if row.body is not None else None
        if isinstance(entity, Contribution):
            yield entity


def _is_known(now: Now, past: Past) -> bool:
    return bool(now.state != "unknown" or now.words or now.set_aside or now.holds or now.kept or past.events)


def _is_wanted(one: Moment, targets: Collection[str], since: datetime | None) -> bool:
    target = one.facts.get("target")
    return (since is None or one.at >= since) and (target is None or target in targets)


# ---------------------------------------------------------------- what to keep in mind


def _notes(reader: Reader, case: Case, targets: Collection[str], *, is_known: bool) -> Iterable[str]:
    if case.now.kept is not None and (case.now.kept.until is None or case.now.kept.until > case.at):
        yield "Somebody decided that no platform loses this person: see the timeline."
    for held in case.now.holds:
        if held.state in ("open", "approved"):
            what = f" and keeps back {listed(held.withheld)}" if held.withheld else ""
            show = f"`skolebro holds show {held.number}`"
            yield f"Hold {held.number} of {held.place} names the person{what}; it is {held.state}: {show}."
        elif held.state == "rejected" and held.withheld:
            by = (
                f" (by {held.decided_by}, {moment(held.decided_at)})"
                if held.decided_by and held.decided_at
                else ""
            )
            yield (
                f"Kept by the rejection of hold {held.number} of {held.place}{by}: {listed(held.withheld)}; "
                f"`skolebro holds approve {held.number}` lets it go after all."
            )
    for word in case.now.words:
        if word.last_run is not None:
            yield f"Institution {word.institution} brought nothing new the last time ({word.last_run})."
    if case.now.state != "known":
        yield from _missing_words(reader, case.municipality)
    if is_known:
        yield from _elsewhere(reader, case, targets)
    floor = reader.log_floor(case.municipality)
    if floor:
        yield f"The event log is compacted up to {floor}: before that only the last change of each is kept."


def _missing_words(reader: Reader, municipality: str) -> Iterable[str]:
    """A snapshot that is held, refused or failed may be the one that tells of somebody."""
    for hold in reader.holds(("open", "approved")):
        if hold.municipality == municipality and hold.subject == "snapshot":
            yield (
                f"Hold {hold.id} keeps a whole snapshot of institution {hold.institution} back: whoever is new "
                f"in it comes with its approval (`skolebro holds show {hold.id}`)."
            )
    for run in reader.last_runs():
        if run.municipality == municipality and run.institution and run.result in ("refused", "failed"):
            what = f"{run.result} ({in_words(run.reason)})"
            yield (
                f"The last snapshot of institution {run.institution} was {what}: whoever is new in it is not "
                "known here."
            )


def _elsewhere(reader: Reader, case: Case, targets: Collection[str]) -> Iterable[str]:
    """Targets that still have the person and were not asked about, or are not configured any more."""
    person = canonical_id(case.municipality, Kind.PERSON, (case.user_id,))
    for state in reader.target_states():
        is_here = state.target.partition("/")[0] == case.municipality and state.target not in targets
        row = reader.delivery(state.target, person) if is_here else None
        if row is not None and row.is_there:
            why = f" ({in_plain_words(row.reason)})" if row.reason else ""
            yield f"The person is at {state.target} too{why}."

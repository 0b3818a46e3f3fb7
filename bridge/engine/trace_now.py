"""What the institutions say of one person now, whose word counts, and what of them is held or set aside."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.domain.entities import Affiliation, Contribution, Kind
from bridge.domain.ids import CanonicalId, canonical_id
from bridge.engine.codec import decode_entity
from bridge.engine.holding import part_of, told_reasons
from bridge.engine.trace_merge import Decision, contributions, decide, protected_phones, protection, source_times
from bridge.engine.trace_words import is_about, label
from bridge.observe import in_words, meaning_of
from bridge.ports import EntityRow, Hold, InstitutionState, KeptPerson, QuarantineRow, Reader, Run, Subject

_TIES = (Kind.AFFILIATION, Kind.MEMBERSHIP, Kind.GUARDIANSHIP)
_GOOD = ("recorded", "unchanged")
_KEEPING = ("open", "approved", "rejected")


@dataclass(frozen=True, slots=True)
class Word:
    """What one institution says of the person, and how fresh that is.

    `last_run` is the newest run of the institution where that brought nothing: result and reason. `is_named`:
    whether the last export names the person; where it does not, a hold keeps what an earlier one said, and no
    time is told.
    """

    institution: str
    role: str
    source: str | None
    source_time: datetime | None
    recorded_at: datetime | None
    export_time: datetime | None
    school_year: str | None
    states_protection: bool
    protected_phones: tuple[str, ...]
    last_run: str | None
    is_named: bool = True


@dataclass(frozen=True, slots=True)
class Tie:
    """A living affiliation, membership or guardianship of the person; whom else it ties is not told."""

    kind: Kind
    id: CanonicalId
    what: str
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record that may be about the person and is out of use, or was odd."""

    institution: str
    path: str
    reason: str
    explained: str
    severity: str
    by: str  # "user_id" | "local_person_id"
    run: str


@dataclass(frozen=True, slots=True)
class Yes:
    """One approval of a hold. `includes`: whether the person is among those that it is for."""

    by: str
    at: datetime
    includes: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A hold that names the person. `withheld` are what of them it keeps back; whom else it names is not told.

    `part`: the number under which the part with the person stays on record, where that was carried out by itself.
    """

    number: int
    subject: str
    place: str
    state: str
    reasons: tuple[str, ...]
    withheld: tuple[str, ...]
    approvals: tuple[Yes, ...]
    opened_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    part: int | None = None


@dataclass(frozen=True, slots=True)
class Now:
    """The person as of now. `state`: known | gone | unknown; `version` of the merged person."""

    state: str
    version: int
    words: tuple[Word, ...]
    decision: Decision | None
    protection: str
    ties: tuple[Tie, ...]
    set_aside: tuple[SetAside, ...]
    holds: tuple[Held, ...]
    kept: KeptPerson | None


def read_now(reader: Reader, municipality: str, user_id: str) -> Now:
    """Read what is known of a user id; everything is empty for one that nobody ever told of."""
    row = reader.entities(municipality, Kind.PERSON, [(user_id,)]).get((user_id,))
    heard = contributions(reader, municipality, user_id)
    states = {s.institution: s for s in reader.institution_states() if s.municipality == municipality}
    last = {run.institution: run for run in reader.last_runs() if run.municipality == municipality}
    times = source_times(states.values())
    waiting = [hold for hold in reader.holds(_KEEPING) if hold.municipality == municipality and not hold.target]
    kept_back = {subject for hold in waiting for subject in hold.withheld}
    return Now(
        state="unknown" if row is None else "gone" if row.body is None else "known",
        version=row.version if row else 0,
        words=tuple(_word(one, states.get(one.institution_number), last, kept_back) for one in heard),
        decision=decide(heard, times),
        protection=protection(heard),
        ties=tuple(_ties(reader, municipality, user_id)),
        set_aside=tuple(_set_aside(reader, municipality, user_id, states, heard)),
        holds=tuple(_holds(reader, municipality, user_id)),
        kept=next((one for one in reader.kept_people(municipality) if one.user_id == user_id), None),
    )


def _word(
    one: Contribution,
    state: InstitutionState | None,
    last: Mapping[str | None, Run],
    kept_back: Collection[Subject],
) -> Word:
    is_named = (Kind.CONTRIBUTION, (one.institution_number, one.user_id)) not in kept_back
    state = state if is_named else None
    source, run = one.source or "", last.get(one.institution_number)
    is_bad = run is not None and run.result not in _GOOD
    return Word(
        institution=one.institution_number,
        role=one.role.value,
        source=one.source,
        source_time=state.source_times.get(source) if state else None,
        recorded_at=state.recorded_at if state else None,
        export_time=state.export_time if state else None,
        school_year=state.school_years.get(source) if state else None,
        states_protection=one.person.protected,
        protected_phones=protected_phones(one),
        last_run=f"{run.result}: {in_words(run.reason)}" if run is not None and is_bad else None,
        is_named=is_named,
    )


# ---------------------------------------------------------------- ties, quarantine, holds


def tie_rows(reader: Reader, municipality: str, user_id: str) -> list[EntityRow]:
    """The living ties of the person, each once."""
    found = {row.id: row for kind in _TIES for row in reader.entities_by_person(municipality, kind, [user_id])}
    as_contact = reader.entities_by_other(municipality, Kind.GUARDIANSHIP, [user_id])
    return list((found | {row.id: row for row in as_contact}).values())


def _ties(reader: Reader, municipality: str, user_id: str) -> Iterable[Tie]:
    for row in tie_rows(reader, municipality, user_id):
        yield Tie(row.kind, row.id, label(row.kind, row.key, user_id), _facts(row))


def _facts(row: EntityRow) -> tuple[str, ...]:
    entity = decode_entity(row.kind, row.body) if row.body is not None else None
    if not isinstance(entity, Affiliation):
        return ()
    told = {
        "roles": ", ".join(code.value for code in entity.roles),
        "main group": entity.main_group,
        "level": entity.level,
        "source": entity.source,
    }
    return tuple(f"{name} {value}" for name, value in told.items() if value)


def _set_aside(
    reader: Reader, municipality: str, user_id: str, institutions: Iterable[str], heard: Sequence[Contribution]
) -> Iterable[SetAside]:
    """Rows that name the user id, or a record that a contribution of theirs came from."""
    local = {(one.institution_number, identity) for one in heard for _, identity in one.records if identity}
    for institution in institutions:
        for row in reader.quarantine_of(municipality, institution):
            if (by := _named_by(row, user_id, local)) is not None:
                meaning = meaning_of(row.reason, row.severity)
                told = f"{meaning.what}; {meaning.remedy}"
                yield SetAside(institution, row.path, row.reason, told, row.severity, by, row.run)


def _named_by(row: QuarantineRow, user_id: str, local: Collection[tuple[str, str]]) -> str | None:
    if row.user_id == user_id:
        return "user_id"
    is_local = row.user_id is None and (row.institution, row.local_person_id or "") in local
    return "local_person_id" if is_local else None


def _holds(reader: Reader, municipality: str, user_id: str) -> Iterable[Held]:
    """Every hold that names the person or one of their ties, the oldest first."""
    here = [hold for hold in reader.holds() if hold.municipality == municipality]
    for hold in here:
        withheld = _withheld(hold, user_id)
        if withheld or user_id in hold.people:
            parts = [one for one in here if part_of(one) == hold.id]
            others = [one for one in parts if not _withheld(one, user_id) and user_id not in one.people]
            yield _held(hold, user_id, withheld, others)


def _withheld(hold: Hold, user_id: str) -> tuple[str, ...]:
    found = [label(kind, key, user_id) for kind, key in hold.withheld if is_about(kind, key, user_id)]
    return tuple(dict.fromkeys(found))


def _held(hold: Hold, user_id: str, withheld: tuple[str, ...], others: Iterable[Hold]) -> Held:
    """The hold as it concerns the person; `others` are its parts that went without them."""
    whole = part_of(hold)
    said = [Yes(one.by, one.at, includes=False) for part in others for one in part.approvals]
    said += [Yes(one.by, one.at, one.only is None or user_id in one.only) for one in hold.approvals]
    return Held(
        number=hold.id if whole is None else whole,
        subject=hold.subject,
        place=hold.institution or hold.target or hold.municipality,
        state=hold.state,
        reasons=told_reasons(hold),
        withheld=withheld,
        approvals=tuple(said),
        opened_at=hold.opened_at,
        decided_at=hold.decided_at,
        decided_by=hold.decided_by,
        part=hold.id if whole is not None else None,
    )


def ids_of(municipality: str, user_id: str, now: Now) -> dict[CanonicalId, str]:
    """The canonical ids of the person and of the living ties, each with its label."""
    person = canonical_id(municipality, Kind.PERSON, (user_id,))
    return {person: label(Kind.PERSON, (user_id,), user_id), **{tie.id: tie.what for tie in now.ties}}

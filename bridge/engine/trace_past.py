"""What happened to one person, oldest first: changes, holds, decisions, and every attempt to tell a platform."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from bridge.domain.entities import Kind, Role
from bridge.domain.events import Event, event_subject
from bridge.domain.ids import CanonicalId, canonical_id
from bridge.domain.tracing import trace_id
from bridge.engine.audit import AuditBook
from bridge.engine.guard import REASON_TEXTS
from bridge.engine.trace_now import Held, Now
from bridge.engine.trace_words import in_plain_words, is_about, label, listed, moment, shown_code, step_name
from bridge.ports import KeptPerson, Reader, Run

_PAGE = 2_000
_ENDS: Mapping[str | None, str] = {
    "delivered": "the platform confirmed it",
    "unchanged": "the platform had it so already",
    "rejected": "refused",
    "deferred": "put off",
    "unknown": "no answer came that tells what became of it",
    "not_sent": "not sent, the platform failed before its turn",
    None: "no end is written: it is under way, or was interrupted",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened. `what` is a stable code, `text` a sentence, `facts` the same for a program."""

    at: datetime
    what: str
    text: str
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt to bring one entity to one target, as the audit chain tells it. `at` is when it began."""

    at: datetime
    target: str
    id: CanonicalId
    what: str
    operation: str
    resource: str
    fields: tuple[str, ...]
    mapping: str
    ended_at: datetime | None = None
    outcome: str | None = None
    reason: str | None = None
    status: int | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """The changes of a person and their ties, the runs that told them, and what was tried of that."""

    events: tuple[Event, ...]
    runs: Mapping[str, Run]
    attempts: tuple[Attempted, ...]
    others: tuple[Moment, ...]  # look-ups and whatever else the chain holds about the person


def read_past(
    reader: Reader, book: AuditBook, municipality: str, user_id: str, known: Mapping[CanonicalId, str]
) -> Past:
    """Read everything that happened; `known` are the ids with the labels of person and living ties."""
    events = _events(reader, municipality, user_id)
    labels = {**{_id(event): label(_kind(event), event.key, user_id) for event in events}, **known}
    attempts: list[Attempted] = []
    others: list[Moment] = []
    for identity, what in labels.items():
        records = [msgspec.json.decode(row.record) for row in reader.audit_about(book.reference(identity))]
        attempts += _attempts(identity, what, records)
        others += [_other(one) for one in records if not str(one["kind"]).startswith("disclosure.")]
    runs = reader.runs_by_id({event.cause for event in events})
    return Past(tuple(events), runs, tuple(attempts), tuple(others))


def timeline(past: Past, now: Now, user_id: str) -> tuple[Moment, ...]:
    """Put it all in one order; what happened at the same time stands in the order of cause and effect."""
    moments = [
        *(_change(event, past.runs, user_id) for event in past.events),
        *(one for hold in now.holds for one in _hold(hold)),
        *([_kept(now.kept)] if now.kept else []),
        *map(_attempt, past.attempts),
        *past.others,
    ]
    return tuple(sorted(moments, key=lambda one: one.at))


def deleted_by(past: Past, user_id: str) -> Moment | None:
    """How the person went, where the last that the log tells of them is that."""
    told = [event for event in past.events if _kind(event) is Kind.PERSON]
    is_gone = bool(told) and _operation(told[-1]) == "deleted"
    return _change(told[-1], past.runs, user_id) if is_gone else None


# ---------------------------------------------------------------- changes


def _events(reader: Reader, municipality: str, user_id: str) -> list[Event]:
    """What the log has of the person, and of the ties at the institutions where the person ever was.

    A tie that is gone is found by reading what the log has of its institution: nothing else remembers its key.
    """
    person = event_subject(Kind.PERSON, canonical_id(municipality, Kind.PERSON, (user_id,)))
    found = {event.sequence: event for event in _pages(reader, municipality, 0, subject=person)}
    is_whole = reader.log_floor(municipality) == 0
    start = min(found, default=1) - 1 if is_whole else 0
    for institution in _institutions(reader, municipality, user_id):
        for event in _pages(reader, municipality, start, institution=institution):
            if is_about(_kind(event), event.key, user_id):
                found[event.sequence] = event
    return [found[sequence] for sequence in sorted(found)]


def _pages(
    reader: Reader, municipality: str, after: int, *, institution: str | None = None, subject: str | None = None
) -> Iterator[Event]:
    while page := reader.events(municipality, after, _PAGE, institution=institution, subject=subject):
        yield from page
        after = page[-1].sequence


def _institutions(reader: Reader, municipality: str, user_id: str) -> list[str]:
    """Where the person is or ever was: what is gone leaves a row with its key."""
    numbers = {s.institution for s in reader.institution_states() if s.municipality == municipality}
    said = reader.entities(municipality, Kind.CONTRIBUTION, [(number, user_id) for number in numbers])
    worn = reader.entities(
        municipality, Kind.AFFILIATION, [(number, user_id, role.value) for number in numbers for role in Role]
    )
    return sorted({key[0] for key in (*said, *worn)})


def _kind(event: Event) -> Kind:
    return Kind(event.type.split(".")[1])


def _operation(event: Event) -> str:
    return event.type.split(".")[2]


def _id(event: Event) -> CanonicalId:
    return CanonicalId(event.subject.partition("/")[2])


def _change(event: Event, runs: Mapping[str, Run], user_id: str) -> Moment:
    what, operation = label(_kind(event), event.key, user_id), _operation(event)
    changed = tuple(msgspec.json.decode(event.data).get("changed", ()))
    fields = f": {', '.join(changed)}" if changed else ""
    run = runs.get(event.cause)
    origin = f", {run.result}, from {run.origin or 'an unknown place'}" if run else ""
    return Moment(
        event.time,
        f"{_kind(event)}.{operation}",
        f"{what} was {operation} by {event.institution} (run {event.cause}{origin}){fields}",
        {
            "sequence": event.sequence,
            "institution": event.institution,
            "version": event.version,
            "changed": changed,
            "run": event.cause,
            "trace": trace_id(event.cause),
            "result": run.result if run else None,
            "origin": run.origin if run else None,
        },
    )


# ---------------------------------------------------------------- holds and decisions


def _hold(hold: Held) -> Iterator[Moment]:
    name = f"hold {hold.number} of {hold.place}"
    reasons = "; ".join(REASON_TEXTS.get(reason, reason) for reason in hold.reasons)
    facts: dict[str, object] = {"hold": hold.number, "subject": hold.subject, "reasons": hold.reasons}
    if hold.part is not None:
        facts["part"] = hold.part
    what = f"it keeps back {listed(hold.withheld)}" if hold.withheld else "the person would go with it"
    yield Moment(hold.opened_at, "hold.opened", f"{name} was opened ({reasons}); {what}", facts)
    for one in hold.approvals:
        part = "" if one.includes else ", for others only, not for this person"
        yield Moment(one.at, "hold.approval", f"{one.by} said yes to {name}{part}", facts)
    if hold.decided_at is not None:
        by = f" by {hold.decided_by}" if hold.decided_by else ""
        text = f"{name} became {hold.state}{by}"
        if hold.part is not None:
            text = f"what was approved of {name} was carried out; it stays on record as hold {hold.part}"
        yield Moment(hold.decided_at, f"hold.{hold.state}", text, facts | {"by": hold.decided_by})


def _kept(kept: KeptPerson) -> Moment:
    until = f"until {moment(kept.until)}" if kept.until else "for good"
    return Moment(
        kept.kept_at,
        "person.kept",
        f"{kept.kept_by} decided that no platform loses the person {until}",
        {"by": kept.kept_by, "until": kept.until},
    )


# ---------------------------------------------------------------- attempts


def _attempts(identity: CanonicalId, what: str, records: Iterable[Mapping[str, object]]) -> Iterator[Attempted]:
    ends = {one["closes"]: one for one in records if one["kind"] == "disclosure.outcome"}
    for one in records:
        if one["kind"] == "disclosure.intent":
            yield msgspec.convert(
                {**_begun(identity, what, one), **_ended(ends.get(one["intent"]))}, Attempted, strict=False
            )


def _begun(identity: CanonicalId, what: str, intent: Mapping[str, object]) -> dict[str, object]:
    copied = {name: intent.get(name, "") for name in ("target", "operation", "resource", "mapping")}
    told = {"at": intent["ts"], "id": identity, "what": what, "trace": intent.get("trace")}
    return {**told, "fields": intent.get("fields", ()), **copied}


def _ended(outcome: Mapping[str, object] | None) -> dict[str, object]:
    if outcome is None:
        return {}
    copied = {name: outcome.get(name) for name in ("outcome", "reason", "status")}
    return {"ended_at": outcome["ts"], **copied}


def _attempt(one: Attempted) -> Moment:
    status = f", HTTP {one.status}" if one.status is not None else ""
    why = f": {in_plain_words(one.reason)}" if one.reason else ""
    fields = f" with {len(one.fields)} fields" if one.operation != "deleted" else ""
    return Moment(
        one.at,
        "delivery.attempted",
        f"{one.target}: {step_name(one.operation)} of {one.what} as {one.resource}{fields}: "
        f"{_ENDS.get(one.outcome, one.outcome)}{why}{status}",
        {
            "target": one.target,
            "id": one.id,
            "operation": one.operation,
            "resource": one.resource,
            "fields": one.fields,
            "mapping": one.mapping,
            "outcome": one.outcome,
            "reason": shown_code(one.reason),
            "status": one.status,
            "ended_at": one.ended_at,
            "trace": one.trace,
        },
    )


def _other(record: Mapping[str, object]) -> Moment:
    kind, actor = str(record["kind"]), str(record["actor"])
    text = f"{actor} looked the person up" if kind == "trace.read" else f"{kind} by {actor}"
    return Moment(datetime.fromisoformat(str(record["ts"])), kind, text, {"by": actor})

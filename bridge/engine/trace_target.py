"""Why one person, with their ties and groups, is at one platform, or is not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.domain.entities import DERIVED, Kind, Role
from bridge.domain.ids import CanonicalId, Key, TargetId
from bridge.domain.outcomes import CONFIRMING
from bridge.engine.breaker import is_paused
from bridge.engine.desire import Rendering
from bridge.engine.trace_hidden import shown_remote_id, withheld_fields
from bridge.engine.trace_merge import contributions, decide, source_times
from bridge.engine.trace_now import Now, tie_rows
from bridge.engine.trace_past import Attempted
from bridge.engine.trace_rules import Fields, fields_of, why_not
from bridge.engine.trace_sentence import State, sentence, state_of
from bridge.engine.trace_words import in_plain_words, label, listed, moment, shown_code
from bridge.engine.views import views
from bridge.mapping.explain import Explanation, explain, named_ids
from bridge.ports import Reader, TargetState

_EMPLOYEE = Role.EMPLOYEE.value


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """One entity at one target.

    `remote_id` is shown where it cannot tell a personal value. `fields` say what goes and what stays here.
    """

    kind: str
    what: str
    id: CanonicalId
    state: State
    sentence: str
    resource: str | None = None
    remote_id: str | None = None
    confirmed_at: datetime | None = None
    version: int | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    reason: str | None = None
    decision: Explanation | None = None
    fields: Fields | None = None


@dataclass(frozen=True, slots=True)
class AtTarget:
    """One target: a sentence about the person, facts, and the person, ties and groups one by one.

    `is_silent`: it only observes, so what is said of the person is what would be sent.
    """

    target: TargetId
    mapping: str
    mapping_digest: str
    is_silent: bool
    sentence: str
    facts: tuple[str, ...]
    person: Whereabouts
    others: tuple[Whereabouts, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """All that the question is about, but for the target."""

    municipality: str
    user_id: str
    now: Now
    at: datetime
    gone: str | None
    attempts: Sequence[Attempted]


def at_target(reader: Reader, case: Case, rendering: Rendering, *, is_silent: bool = False) -> AtTarget:
    """Tell how the person fares at one target; `is_silent`: it only observes and is never sent anything."""
    person = _whereabouts(reader, case, rendering, Kind.PERSON, (case.user_id,))
    state = reader.target_state(rendering.target)
    silence = f"{rendering.target} only observes: nothing is sent to it."
    return AtTarget(
        target=rendering.target,
        mapping=rendering.mapping.name,
        mapping_digest=rendering.mapping.digest,
        is_silent=is_silent,
        sentence=silence if is_silent else person.sentence,
        facts=tuple(_facts(reader, case, rendering, state)),
        person=person,
        others=() if is_silent else tuple(_others(reader, case, rendering, person)),
    )


def _others(reader: Reader, case: Case, rendering: Rendering, person: Whereabouts) -> Iterable[Whereabouts]:
    """Ties and groups of the kinds that the mapping sends, those too that are leaving."""
    kinds = rendering.mapping.kinds()
    ties = {row.id: row for row in tie_rows(reader, case.municipality, case.user_id)}
    for tie in ties.values():
        if tie.kind in kinds:
            yield _whereabouts(reader, case, rendering, tie.kind, tie.key)
    for one in {one.id: one for one in case.attempts if one.target == rendering.target}.values():
        row = reader.delivery(rendering.target, one.id)
        if one.id not in ties and one.id != person.id and row is not None and row.is_there:
            yield _whereabouts(reader, case, rendering, row.kind, row.key)
    joined = sorted({tie.key[:2] for tie in ties.values() if tie.kind is Kind.MEMBERSHIP})
    employers = {tie.key[0] for tie in ties.values() if tie.kind is Kind.AFFILIATION and _EMPLOYEE in tie.key}
    for kind in (Kind.GROUP, Kind.TEACHING):
        for key in joined if kind in kinds else ():
            if kind is Kind.GROUP or key[0] in employers:
                yield _whereabouts(reader, case, rendering, kind, key)


def _whereabouts(reader: Reader, case: Case, rendering: Rendering, kind: Kind, key: Key) -> Whereabouts:
    identity = rendering.scope.id(kind, key)
    row, what = reader.delivery(rendering.target, identity), label(kind, key, case.user_id)
    view = views(reader, rendering.scope, kind, [key]).get(key)
    there = _there(reader, rendering, kind, view)
    decision = explain(rendering.mapping, kind, view, there) if view is not None else None
    heard = contributions(reader, case.municipality, case.user_id)
    withheld = (
        withheld_fields(reader, rendering.scope, case.user_id, heard) if kind is Kind.PERSON else frozenset()
    )
    confirmed_at = _confirmed_at(case.attempts, rendering.target, identity)
    why = why_not(decision, rendering, kind, _absence(reader, case, kind, key), withheld)
    kept = _kept(case) if kind is Kind.PERSON else None
    told = sentence(what, row, rendering.target, confirmed_at, why, kept)
    if kind in (Kind.GROUP, Kind.TEACHING) and state_of(row) in ("there", "changing"):
        told += _membership(case, rendering, kind, key, view, there)
    return Whereabouts(
        kind=kind.value,
        what=what,
        id=identity,
        state=state_of(row),
        sentence=told,
        resource=row.resource if row else None,
        remote_id=shown_remote_id(kind, row, case.user_id, heard),
        confirmed_at=confirmed_at if row is not None and row.is_there else None,
        version=row.version if row else None,
        attempts=row.attempts if row else 0,
        next_attempt_at=row.next_attempt_at if row is not None and row.is_due else None,
        reason=shown_code(row.reason) if row else None,
        decision=decision,
        fields=fields_of(decision, withheld),
    )


def _kept(case: Case) -> str | None:
    kept = case.now.kept
    if kept is None or (kept.until is not None and kept.until <= case.at):
        return None
    until = f"until {moment(kept.until)}" if kept.until else "for good"
    return f"{kept.kept_by} decided that no platform loses the person {until}"


def _there(reader: Reader, rendering: Rendering, kind: Kind, view: Mapping[str, Any] | None) -> set[str]:
    """The ids of what the entity names and what goes to the target too."""
    wanted = {CanonicalId(one) for one in named_ids(rendering.mapping, kind, view)} if view is not None else set()
    return {str(i) for i, digest in reader.desired_hashes(rendering.target, wanted).items() if digest is not None}


def _membership(
    case: Case, rendering: Rendering, kind: Kind, key: Key, view: Mapping[str, Any] | None, there: Collection[str]
) -> str:
    employment = (Kind.AFFILIATION, (key[0], case.user_id, _EMPLOYEE))
    person = rendering.scope.id(*((Kind.PERSON, (case.user_id,)) if kind is Kind.GROUP else employment))
    named = named_ids(rendering.mapping, kind, view) if view is not None else set()
    if person not in named:
        return " The mapping does not name this person in it."
    is_there = person in there
    return " The person is named in it." if is_there else " The person is not named: they do not go there."


# ---------------------------------------------------------------- what is known of it


def _absence(reader: Reader, case: Case, kind: Kind, key: Key) -> str | None:
    """Why there is nothing to send, whatever the target: None where there is something."""
    row = reader.entities(case.municipality, DERIVED.get(kind, kind), [key]).get(key)
    if row is not None and row.body is not None:
        return None
    if kind is not Kind.PERSON:
        return "no institution tells of it any more"
    if row is None:
        return "no institution has told of anybody with this user id"
    return (
        case.gone or "no institution tells of the person any more; the log does not reach back to when that began"
    )


def _confirmed_at(attempts: Iterable[Attempted], target: str, identity: CanonicalId) -> datetime | None:
    told = [
        one.ended_at or one.at
        for one in attempts
        if (one.target, one.id) == (target, identity) and one.outcome in CONFIRMING
    ]
    return max(told, default=None)


# ---------------------------------------------------------------- facts of the target


def _facts(reader: Reader, case: Case, rendering: Rendering, state: TargetState) -> Iterable[str]:
    if rendering.scope.institutions is not None:
        yield f"it gets the institutions {listed(sorted(rendering.scope.institutions))} only"
        narrower = _scoped_decision(reader, case, rendering)
        if narrower is not None:
            yield f"of these: {narrower}"
    if state.rendering != rendering.digest:
        yield "its mapping or scope was changed since and is not applied yet: the next pass does that, or holds it"
    if is_paused(state, case.at) and state.paused_until is not None:
        yield f"it pauses until {moment(state.paused_until)}: {in_plain_words(state.pause_reason)}"
    for hold in reader.holds(("open", "approved")):
        if hold.target == rendering.target:
            yield f"hold {hold.id} ({hold.subject}) of it is {hold.state}: `skolebro holds show {hold.id}`"
    person = rendering.scope.id(Kind.PERSON, (case.user_id,))
    for drift in reader.drift(rendering.target):
        if drift.id == person:
            fields = f" ({', '.join(drift.fields)})" if drift.fields else ""
            yield f"it was found otherwise there than confirmed: {drift.what}{fields}, {drift.state}"


def _scoped_decision(reader: Reader, case: Case, rendering: Rendering) -> str | None:
    heard = contributions(reader, case.municipality, case.user_id)
    inside = [one for one in heard if rendering.scope.has(one.institution_number)]
    states = [s for s in reader.institution_states() if s.municipality == case.municipality]
    found = decide(inside, source_times(states)) if len(inside) < len(heard) else None
    return found.sentence if found else None

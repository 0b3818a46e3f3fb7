"""Whose word on a person counts, and who says that the person is protected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.domain.entities import Contribution, Kind
from bridge.domain.privacy import PHONES
from bridge.engine.codec import decode_entity
from bridge.engine.merge import SourceTimes, rank
from bridge.engine.trace_words import moment
from bridge.ports import InstitutionState, Reader


@dataclass(frozen=True, slots=True)
class Decision:
    """Whose word counts. `tie`: only | role | source_time | institution_number, as events.md orders them."""

    institution: str
    tie: str
    sentence: str


def contributions(reader: Reader, municipality: str, user_id: str) -> list[Contribution]:
    """What the institutions say of the person, by institution number."""
    rows = reader.entities_by_person(municipality, Kind.CONTRIBUTION, [user_id])
    found = [decode_entity(row.kind, row.body) for row in rows if row.body is not None]
    return [one for one in found if isinstance(one, Contribution)]


def source_times(states: Iterable[InstitutionState]) -> SourceTimes:
    """The source times of these institutions, as the merge wants them."""
    return {state.institution: state.source_times for state in states}


def decide(heard: Sequence[Contribution], times: SourceTimes) -> Decision | None:
    """Tell whose word counts and by which tie (events.md, "One person, several institutions")."""
    ranked = sorted((one for one in heard if not one.is_protection_only), key=lambda one: rank(one, times))
    if not ranked:
        return None
    best, number = ranked[0], ranked[0].institution_number
    if len(ranked) == 1:
        return Decision(number, "only", f"Only {number} tells of the person.")
    next_best = ranked[1]
    (role, time, _), (other_role, other_time, _) = rank(best, times), rank(next_best, times)
    counts = f"The word of {number} counts:"
    if role != other_role:
        return Decision(number, "role", f"{counts} {best.role} goes before {next_best.role}.")
    if time != other_time:
        told = f"of those that say {best.role} its import source was read last{_read_at(best, times)}"
        return Decision(number, "source_time", f"{counts} {told}.")
    same = f"others say {best.role} too, from as fresh a source, and it has the lowest institution number"
    return Decision(number, "institution_number", f"{counts} {same}.")


def _read_at(one: Contribution, times: SourceTimes) -> str:
    at = times.get(one.institution_number, {}).get(one.source or "")
    return f" ({one.source}, {moment(at)})" if at else ""


def protection(heard: Iterable[Contribution]) -> str:
    """Tell in a sentence who states a protection, of the person or of single numbers."""
    whole = [one.institution_number for one in heard if one.person.protected]
    phones = [
        f"{name} by {one.institution_number}" for one in heard for name in protected_phones(one) if not whole
    ]
    if whole:
        return f"Name and address are protected: {', '.join(whole)} says so, and that holds everywhere."
    if phones:
        return f"Protected are single numbers only: {', '.join(phones)}."
    return "Nobody states a protection."


def protected_phones(one: Contribution) -> tuple[str, ...]:
    """Name the phone fields that one institution protects."""
    found = ((name, getattr(one.person, name)) for name in PHONES)
    return tuple(name for name, phone in found if phone is not None and phone.protected)

"""A user id keeps standing for the same human: who comes under another's is set aside, and nobody else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from bridge.domain.entities import Contribution, Entity, Guardianship, Kind, Role
from bridge.domain.humans import are_two
from bridge.domain.ids import Key
from bridge.domain.privacy import Protection
from bridge.domain.records import Quarantined
from bridge.engine.codec import decode_entity, encode_entity, hash_entity
from bridge.engine.normalise import Normalised
from bridge.engine.words import protection, words
from bridge.ports import EntityRow, Reader

ANOTHER_PERSON = "user_id_of_another_person"
TWO_PEOPLE = "user_id_of_two_people"

_USER_AT = {Kind.AFFILIATION: 1, Kind.MEMBERSHIP: 2, Kind.CONTRIBUTION: 1, Kind.GUARDIANSHIP: 1}
"""Where in a key the user id stands that the entity is of."""


def set_conflicts_aside(reader: Reader, municipality: str, found: Normalised) -> Normalised:
    """Return the snapshot without those whose user id is another human's here; they stand in quarantine instead.

    What is stored under such a user id stays until the source names the stored human again, or deletes them first.
    """
    aside = conflicts(reader, municipality, found)
    return _without(reader, municipality, found, aside) if aside else found


def conflicts(reader: Reader, municipality: str, found: Normalised) -> tuple[Quarantined, ...]:
    """Return the people of a snapshot who cannot be the humans that their user ids stand for.

    Stored is what this institution said of the user id before; where it said nothing, what the others say: then
    whoever comes last is set aside. `found.torn` are so without any comparison. No value of a person is in it.
    """
    told = [each for each in found.entities[Kind.CONTRIBUTION].values() if isinstance(each, Contribution)]
    torn = [(each, TWO_PEOPLE) for each in told if each.user_id in found.torn]
    others = [each for each in told if each.user_id not in found.torn]
    news = _news(reader, municipality, found.header.institution_number, others)
    stored = words(reader, municipality, [each.user_id for each in news])
    reused = [(each, ANOTHER_PERSON) for each in news if _is_of_another(each, stored[each.user_id])]
    return tuple(_quarantined(each, reason, found) for each, reason in (*torn, *reused))


def _news(reader: Reader, municipality: str, institution: str, told: Iterable[Contribution]) -> list[Contribution]:
    known = reader.hashes(municipality, institution, Kind.CONTRIBUTION)
    return [each for each in told if known.get(each.key) != hash_entity(encode_entity(each))]


def _read(row: EntityRow) -> Entity | None:
    return decode_entity(row.kind, row.body) if row.body is not None else None


def _is_of_another(told: Contribution, stored: Sequence[Contribution]) -> bool:
    """Whether a word cannot be of whom its user id stood for.

    This institution's own earlier word decides alone: a CPR number changes everywhere, but never on the same day.
    """
    stored = [each for each in stored if not each.is_protection_only]
    own = [each for each in stored if each.institution_number == told.institution_number]
    if any(_shares_record(each, told) for each in own):
        return False
    return bool(stored) and all(are_two(each.person, told.person) for each in own or stored)


def _shares_record(before: Contribution, after: Contribution) -> bool:
    """LocalPersonId is one human's for good, within an institution and a source."""
    return any(local_id for _, local_id in set(before.records) & set(after.records))


def _quarantined(told: Contribution, reason: str, found: Normalised) -> Quarantined:
    return Quarantined(
        path=found.paths.get(told.user_id, "Institution"),
        reason=reason,
        source=told.source,
        local_person_id=next((local_id for _, local_id in told.records if local_id), None),
        user_id=told.user_id,
        protected=told.person.protected,
        stating=tuple(
            (one.user_id, stated)
            for one in _with_contacts(told, found)
            if (stated := protection([one])) != Protection()
        ),
    )


def _with_contacts(told: Contribution, found: Normalised) -> Iterator[Contribution]:
    """A word, and those on the contacts that its record names."""
    yield told
    contacts = [key[2] for key in found.entities[Kind.GUARDIANSHIP] if key[1] == told.user_id]
    for contact in contacts:
        one = found.entities[Kind.CONTRIBUTION].get((told.institution_number, contact))
        if isinstance(one, Contribution):
            yield one


# ---------------------------------------------------------------- leaving out


def _without(reader: Reader, municipality: str, found: Normalised, aside: tuple[Quarantined, ...]) -> Normalised:
    people = {each.user_id for each in aside if each.user_id}
    entities = {
        kind: {key: entity for key, entity in of_kind.items() if not _is_of(kind, key, people)}
        for kind, of_kind in found.entities.items()
    }
    ties = _settled_ties(reader, municipality, entities[Kind.GUARDIANSHIP], people)
    entities[Kind.GUARDIANSHIP] = ties
    strangers = _contacts_of(found.entities[Kind.GUARDIANSHIP], people) - {key[2] for key in ties}
    entities[Kind.CONTRIBUTION] = {
        key: entity
        for key, entity in entities[Kind.CONTRIBUTION].items()
        if not (key[1] in strangers and isinstance(entity, Contribution) and entity.role is Role.CONTACT)
    }
    return replace(found, entities=entities, quarantined=(*found.quarantined, *aside))


def _is_of(kind: Kind, key: Key, people: Collection[str]) -> bool:
    return kind in _USER_AT and key[_USER_AT[kind]] in people


def _settled_ties(
    reader: Reader, municipality: str, told: Mapping[Key, Entity], people: Collection[str]
) -> dict[Key, Entity]:
    """The ties of children, those to a contact who is set aside as they are stored: none is new, none changes."""
    doubted = [key for key in told if key[2] in people]
    stored = reader.entities(municipality, Kind.GUARDIANSHIP, doubted) if doubted else {}
    settled = {key: tie for key, tie in told.items() if key[2] not in people}
    for key, row in stored.items():
        if isinstance(tie := _read(row), Guardianship):
            settled[key] = tie
    return settled


def _contacts_of(ties: Iterable[Key], people: Collection[str]) -> set[str]:
    return {key[2] for key in ties if key[1] in people}

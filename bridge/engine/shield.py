"""What stays as it is stored though a snapshot does not show it, and protections that only a good record ends."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bridge.domain.entities import Contribution, Entity, Kind, Person, Role
from bridge.domain.ids import Key
from bridge.domain.privacy import bare, raised, united
from bridge.domain.records import Quarantined
from bridge.engine.codec import decode_entity
from bridge.engine.normalise import Normalised
from bridge.engine.words import words
from bridge.ports import Reader, Subject

_INCOMPLETE_CONTACTS = "contact_without_identity"  # speaks of a child whose own record is used


@dataclass(frozen=True, slots=True)
class Shield:
    """What a quarantined record protects: it never removes what is stored (events.md)."""

    people: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()
    contacts: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    joined: frozenset[str] = frozenset()
    stated: Mapping[str, Sequence[Person]] = field(default_factory=dict)
    kept: frozenset[Subject] = frozenset()

    @classmethod
    def of(cls, reader: Reader, municipality: str, found: Normalised, kept: Collection[Subject]) -> Shield:
        if not found.quarantined:
            return cls(kept=frozenset(kept))
        institution = found.header.institution_number
        own = {q.user_id for q in found.quarantined if q.user_id and q.reason != _INCOMPLETE_CONTACTS}
        people = own | _people_by_local_id(reader, municipality, found, found.quarantined)
        children = people | {q.user_id for q in found.quarantined if q.user_id}
        groups = {q.group_id for q in found.quarantined if q.group_id}
        around = cls.around(reader, municipality, institution, frozenset(people), frozenset(children), groups)
        return replace(around, stated=_stated(reader, municipality, found), kept=frozenset(kept))

    @classmethod
    def around(
        cls,
        reader: Reader,
        municipality: str,
        institution: str,
        people: frozenset[str],
        children: frozenset[str],
        groups: Collection[str],
    ) -> Shield:
        """The shield of people, of children with their guardianships, and of groups as such."""
        guarded = reader.entities_by_person(municipality, Kind.GUARDIANSHIP, children)
        joined = reader.entities_by_person(municipality, Kind.MEMBERSHIP, people)
        return cls(
            people=people,
            children=children,
            contacts=frozenset(row.other for row in guarded if row.institution == institution and row.other),
            groups=frozenset(groups),
            joined=frozenset(row.key[1] for row in joined if row.institution == institution),
        )

    def covers(self, kind: Kind, key: Key) -> bool:
        """Whether a stored entity that the snapshot does not show stays all the same."""
        if (kind, key) in self.kept:
            return True
        match kind:
            case Kind.AFFILIATION:
                return key[1] in self.people
            case Kind.MEMBERSHIP:
                return key[2] in self.people
            case Kind.GUARDIANSHIP:
                return key[1] in self.children
            case Kind.CONTRIBUTION:
                return key[1] in self.people or key[1] in self.contacts
            case Kind.GROUP:
                return key[1] in self.groups or key[1] in self.joined
            case _:
                return False

    def keeps(self, kind: Kind, key: Key) -> bool:
        """Whether the stored state wins over what the snapshot seems to say: its own record was unusable."""
        return kind is Kind.GROUP and key[1] in self.groups


def _people_by_local_id(
    reader: Reader, municipality: str, found: Normalised, quarantined: Iterable[Quarantined]
) -> set[str]:
    """Find who records without identity were the last time, by source and LocalPersonId.

    One without a LocalPersonId may be any of its source's people who had none and are missing now.
    """
    lost = {(q.source or "", q.local_person_id or "") for q in quarantined if not q.user_id and not q.group_id}
    if not lost:
        return set()
    heard = {key[1] for key in found.entities[Kind.CONTRIBUTION]}
    keys = reader.hashes(municipality, found.header.institution_number, Kind.CONTRIBUTION)
    rows = reader.entities(municipality, Kind.CONTRIBUTION, keys)
    people = set()
    for row in rows.values():
        entity = decode_entity(Kind.CONTRIBUTION, row.body) if row.body is not None else None
        for _, local_id in lost.intersection(entity.records if isinstance(entity, Contribution) else ()):
            if local_id or row.key[1] not in heard:
                people.add(row.key[1])
    return people


def _stated(reader: Reader, municipality: str, found: Normalised) -> dict[str, list[Person]]:
    """What records that are otherwise unusable state to be protected, by user id."""
    told: dict[str, list[Person]] = {}
    for person in (person for record in found.quarantined for person in record.stating):
        told.setdefault(person.user_id, []).append(person)
    stating = [record for record in found.quarantined if record.protected]
    users = {record.user_id for record in stating if record.user_id}
    for user_id in users | _people_by_local_id(reader, municipality, found, stating):
        told.setdefault(user_id, []).append(Person(user_id, "", "", protected=True))
    return told


def still_protected(reader: Reader, municipality: str, wanted: Mapping[Key, Entity]) -> dict[Key, Entity]:
    """What is wanted, with every protection that is stored, whichever institution stated it.

    The snapshot cannot say that one has ended, and who comes from another institution brings it along.
    """
    users = {key[1] for key in wanted}
    stated = words(reader, municipality, users)
    kept = dict(wanted)
    for key, contribution in wanted.items():
        if isinstance(contribution, Contribution):
            before = [one.person for one in stated[key[1]]]
            kept[key] = replace(contribution, person=united(contribution.person, before))
    return kept


def shielded(
    reader: Reader, municipality: str, institution: str, wanted: Mapping[Key, Entity], shield: Shield
) -> dict[Key, Entity]:
    """What is wanted, and what stays, of the people whom unusable records are about, their contacts included.

    Protection can only be raised, and a record stays known as theirs until it can be used again.
    """
    keys = [(institution, user_id) for user_id in shield.people | shield.contacts | shield.stated.keys()]
    stored = _contributions(reader, municipality, keys)
    kept = dict(wanted)
    for key in keys:
        before, now, stated = stored.get(key), wanted.get(key), shield.stated.get(key[1], ())
        if isinstance(now, Contribution) and before:
            person = raised(now.person, [before.person, *stated])
            records = {*now.records, *(before.records if key[1] in shield.people else ())}
            kept[key] = replace(now, person=person, records=tuple(sorted(records)))
        elif (now or before or stated) and isinstance(one := now or before or _protection_only(key), Contribution):
            kept[key] = replace(one, person=raised(one.person, stated))
    return kept


def raised_by(reader: Reader, municipality: str, found: Normalised) -> dict[Key, Contribution]:
    """What is stored of an institution's people with every protection that a snapshot states, and no more of it.

    Of whom nothing is stored, the protection alone.
    """
    number = found.header.institution_number
    stated = _stated(reader, municipality, found)
    for one in found.entities[Kind.CONTRIBUTION].values():
        if isinstance(one, Contribution) and (person := bare(one.person)) is not None:
            stated.setdefault(one.user_id, []).append(person)
    keys: dict[Key, list[Person]] = {(number, user_id): told for user_id, told in stated.items()}
    stored = _contributions(reader, municipality, keys)
    bases = {key: stored.get(key) or _protection_only(key) for key in keys}
    return {key: replace(one, person=raised(one.person, keys[key])) for key, one in bases.items()}


def _protection_only(key: Key) -> Contribution:
    institution, user_id = key
    return Contribution(institution, user_id, Role.CONTACT, None, Person(user_id, "", ""))


def _contributions(reader: Reader, municipality: str, keys: Collection[Key]) -> dict[Key, Contribution]:
    rows = reader.entities(municipality, Kind.CONTRIBUTION, keys)
    known = {k: decode_entity(Kind.CONTRIBUTION, row.body) for k, row in rows.items() if row.body is not None}
    return {key: one for key, one in known.items() if isinstance(one, Contribution)}

"""What stays as it is stored though a snapshot does not show it, and protections that only a good record ends."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from bridge.domain.entities import Contribution, Entity, Kind, Person, Phone, Role
from bridge.domain.ids import Key
from bridge.domain.privacy import PHONES, united
from bridge.domain.records import Quarantined
from bridge.engine.codec import decode_entity
from bridge.engine.normalise import Normalised
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
    protected: frozenset[str] = frozenset()
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
        return replace(around, protected=_protected(reader, municipality, found), kept=frozenset(kept))

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


def _protected(reader: Reader, municipality: str, found: Normalised) -> frozenset[str]:
    """Whom a record that is otherwise unusable states to be protected."""
    stating = [q for q in found.quarantined if q.protected]
    named = {q.user_id for q in stating if q.user_id}
    return frozenset(named | _people_by_local_id(reader, municipality, found, stating))


def still_protected(reader: Reader, municipality: str, wanted: Mapping[Key, Entity]) -> dict[Key, Entity]:
    """What is wanted, with every protection that is stored, whichever institution stated it.

    The snapshot cannot say that one has ended, and who comes from another institution brings it along.
    """
    users = {key[1] for key in wanted}
    stated: dict[str, list[Person]] = {}
    for row in reader.entities_by_person(municipality, Kind.CONTRIBUTION, users):
        before = decode_entity(Kind.CONTRIBUTION, row.body) if row.body is not None else None
        if isinstance(before, Contribution):
            stated.setdefault(row.key[1], []).append(before.person)
    kept = dict(wanted)
    for key, contribution in wanted.items():
        if key[1] in stated and isinstance(contribution, Contribution):
            kept[key] = replace(contribution, person=united(contribution.person, stated[key[1]]))
    return kept


def shielded(
    reader: Reader, municipality: str, institution: str, wanted: Mapping[Key, Entity], shield: Shield
) -> dict[Key, Entity]:
    """What is wanted, and what stays, of the people whom unusable records are about.

    Protection can only be raised, and a record stays known as theirs until it can be used again.
    """
    keys = [(institution, user_id) for user_id in shield.people | shield.protected]
    stored = _contributions(reader, municipality, keys)
    raised = dict(wanted)
    for key in keys:
        before = stored.get(key)
        contribution = wanted.get(key, before)
        if contribution is None and key[1] in shield.protected:
            contribution = _protection_only(key)
        if isinstance(contribution, Contribution):
            person = contribution.person
            raised[key] = replace(
                contribution,
                person=replace(person, protected=person.protected or key[1] in shield.protected),
                records=tuple(sorted({*contribution.records, *(before.records if before else ())})),
            )
    return raised


def raised_by(reader: Reader, municipality: str, found: Normalised) -> dict[Key, Contribution]:
    """What is stored of an institution's people with every protection that a snapshot states, and no more of it.

    Of whom nothing is stored, the protection alone.
    """
    number = found.header.institution_number
    told = [one.person for one in found.entities[Kind.CONTRIBUTION].values() if isinstance(one, Contribution)]
    stating = [person for person in told if person.protected or any(_hidden_phones(person).values())]
    unusable = _protected(reader, municipality, found)
    stating += [Person(user_id, "", "", protected=True) for user_id in sorted(unusable)]
    keys: list[Key] = [(number, person.user_id) for person in stating]
    raised = _contributions(reader, municipality, keys)
    for key, person in zip(keys, stating, strict=True):
        one = raised.get(key) or _protection_only(key)
        raised[key] = replace(one, person=united(_with_hidden_phones(one.person, person), [person]))
    return raised


def _hidden_phones(person: Person) -> dict[str, Phone | None]:
    found: dict[str, Phone | None] = {name: getattr(person, name) for name in PHONES}
    return {name: phone if phone is not None and phone.protected else None for name, phone in found.items()}


def _with_hidden_phones(person: Person, told: Person) -> Person:
    """The person with the protected numbers of a word where none stands yet: who else tells them hides them."""
    hidden = _hidden_phones(told)
    return replace(
        person,
        home_phone=person.home_phone or hidden["home_phone"],
        work_phone=person.work_phone or hidden["work_phone"],
        mobile_phone=person.mobile_phone or hidden["mobile_phone"],
    )


def _protection_only(key: Key) -> Contribution:
    institution, user_id = key
    return Contribution(institution, user_id, Role.CONTACT, None, Person(user_id, "", ""))


def _contributions(reader: Reader, municipality: str, keys: Collection[Key]) -> dict[Key, Contribution]:
    rows = reader.entities(municipality, Kind.CONTRIBUTION, keys)
    known = {k: decode_entity(Kind.CONTRIBUTION, row.body) for k, row in rows.items() if row.body is not None}
    return {key: one for key, one in known.items() if isinstance(one, Contribution)}

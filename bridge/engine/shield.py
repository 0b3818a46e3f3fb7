"""What stays as it is stored though a snapshot does not show it, and protections that only a good record ends."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from bridge.domain.entities import Contribution, Entity, Kind, Person, Role
from bridge.domain.ids import Key
from bridge.domain.privacy import Protection
from bridge.domain.records import Quarantined
from bridge.engine.codec import decode_entity
from bridge.engine.normalise import Normalised
from bridge.engine.words import protection, raised, words
from bridge.ports import Reader, Subject

Records = tuple[tuple[str, str], ...]
"""Source and LocalPersonId of records."""

_INCOMPLETE_CONTACTS = "contact_without_identity"  # speaks of a child whose own record is used


@dataclass(frozen=True, slots=True)
class Shield:
    """What a quarantined record protects: it never removes what is stored (events.md)."""

    people: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()
    contacts: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    joined: frozenset[str] = frozenset()
    stated: Mapping[str, Protection] = field(default_factory=dict)
    records: Mapping[str, Records] = field(default_factory=dict)
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
        stated = _stated(reader, municipality, found)
        return replace(around, stated=stated, records=_records(found), kept=frozenset(kept))

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


def _stated(reader: Reader, municipality: str, found: Normalised) -> dict[str, Protection]:
    """What records that are otherwise unusable state to be protected, by user id."""
    told: dict[str, Protection] = {}
    for user_id, stated in (each for record in found.quarantined for each in record.stating):
        told[user_id] = told.get(user_id, Protection()) | stated
    stating = [record for record in found.quarantined if record.protected]
    users = {record.user_id for record in stating if record.user_id}
    for user_id in users | _people_by_local_id(reader, municipality, found, stating):
        told[user_id] = told.get(user_id, Protection()) | Protection(whole=True)
    return told


def _records(found: Normalised) -> dict[str, Records]:
    """The unusable records of people by user id: the next one may lack it."""
    told: dict[str, set[tuple[str, str]]] = {}
    for each in found.quarantined:
        if each.user_id and each.local_person_id:
            told.setdefault(each.user_id, set()).add((each.source or "", each.local_person_id))
    return {user_id: tuple(sorted(records)) for user_id, records in told.items()}


def still_protected(reader: Reader, municipality: str, wanted: Mapping[Key, Entity]) -> dict[Key, Entity]:
    """What is wanted, with every protection that is stored, whichever institution stated it.

    The snapshot cannot say that one has ended, and who comes from another institution brings it along.
    """
    users = {key[1] for key in wanted}
    stated = words(reader, municipality, users)
    kept = dict(wanted)
    for key, contribution in wanted.items():
        if isinstance(contribution, Contribution):
            kept[key] = raised(contribution, protection(stated[key[1]]))
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
        before, now, stated = stored.get(key), wanted.get(key), shield.stated.get(key[1], Protection())
        if isinstance(now, Contribution) and before:
            records = {*now.records, *(before.records if key[1] in shield.people else ())}
            known = replace(now, records=tuple(sorted(records)))
            kept[key] = raised(known, protection([before]) | stated)
        elif isinstance(one := now or before, Contribution):
            kept[key] = raised(one, stated)
        elif stated != Protection():
            kept[key] = raised(_protection_only(key, shield.records.get(key[1], ())), stated)
    return kept


def raised_by(reader: Reader, municipality: str, found: Normalised) -> dict[Key, Contribution]:
    """What is stored of an institution's people with every protection that a snapshot states, and no more of it.

    Of whom nothing is stored, the protection alone.
    """
    number, records = found.header.institution_number, _records(found)
    stated = _stated(reader, municipality, found)
    for one in found.entities[Kind.CONTRIBUTION].values():
        if isinstance(one, Contribution) and (own := protection([one])) != Protection():
            stated[one.user_id] = stated.get(one.user_id, Protection()) | own
    keys: dict[Key, str] = {(number, user_id): user_id for user_id in stated}
    stored = _contributions(reader, municipality, keys)
    bases = {key: stored.get(key) or _protection_only(key, records.get(user, ())) for key, user in keys.items()}
    return {key: raised(one, stated[keys[key]]) for key, one in bases.items()}


def _protection_only(key: Key, records: Records) -> Contribution:
    institution, user_id = key
    return Contribution(institution, user_id, Role.CONTACT, None, Person(user_id, "", ""), records)


def _contributions(reader: Reader, municipality: str, keys: Collection[Key]) -> dict[Key, Contribution]:
    rows = reader.entities(municipality, Kind.CONTRIBUTION, keys)
    known = {k: decode_entity(Kind.CONTRIBUTION, row.body) for k, row in rows.items() if row.body is not None}
    return {key: one for key, one in known.items() if isinstance(one, Contribution)}

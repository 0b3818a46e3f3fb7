"""Which entities a vendor may see otherwise than before: more than the log names, never less."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from bridge.domain.entities import PUBLISHED_KINDS, Kind
from bridge.domain.events import Event
from bridge.domain.ids import Key
from bridge.ports import Reader, Subject

_PAGE = 1_000


@dataclass(slots=True)
class Touched:
    """Entities to be looked at, by kind. `causes` are the runs that changed some of them, `last` any other's."""

    subjects: dict[Kind, set[Key]] = field(default_factory=dict)
    causes: dict[Subject, str] = field(default_factory=dict)
    last: str = ""

    def add(self, kind: Kind, keys: Iterable[Key]) -> None:
        self.subjects.setdefault(kind, set()).update(keys)

    def cause(self, kind: Kind, key: Key) -> str:
        return self.causes.get((kind, key), self.last)


def touched(reader: Reader, home: str, after: int, spoken: Collection[str], known: Collection[str]) -> Touched:
    """What the log names after a number with all that shows it, and everybody of whom institutions spoke anew.

    A word of one institution on a person that makes no difference to the municipality's own view is in no event,
    and may still be all that a vendor sees. `known` are people of whom these institutions spoke before.
    """
    found = Touched()
    people = set(known)
    for event in _events(reader, home, after):
        kind = event.subject.partition("/")[0]
        found.last = event.cause
        if kind in PUBLISHED_KINDS:
            found.causes[Kind(kind), event.key] = event.cause
            found.add(Kind(kind), [event.key])
            people |= _people(Kind(kind), event.key)
    for number in spoken:
        people |= {key[1] for key in reader.hashes(home, number, Kind.CONTRIBUTION)}
    found.add(Kind.PERSON, ((user,) for user in people))
    if people:  # initials are made of the name
        found.add(Kind.AFFILIATION, (r.key for r in reader.entities_by_person(home, Kind.AFFILIATION, people)))
    schools = found.subjects.get(Kind.INSTITUTION, set())
    for (number,) in schools:  # its name stands beside the groups'
        found.add(Kind.GROUP, reader.hashes(home, number, Kind.GROUP))
    found.add(Kind.MUNICIPALITY, [(home,)] if schools else [])
    found.add(Kind.GROUP, (key[:2] for key in found.subjects.get(Kind.MEMBERSHIP, ())))
    found.add(Kind.TEACHING, found.subjects[Kind.GROUP])
    return found


def note_causes(reader: Reader, home: str, found: Touched) -> None:
    """Write down which run changed each entity last: the log has one event at least of all that lives."""
    for event in _events(reader, home, 0):
        kind = event.subject.partition("/")[0]
        found.last = event.cause
        if kind in PUBLISHED_KINDS:
            found.causes[Kind(kind), event.key] = event.cause


def words_of(
    reader: Reader, home: str, runs: Mapping[str, str], before: Mapping[str, str], known: Mapping[str, str]
) -> dict[str, str]:
    """A sign of what each institution says of people; it is made anew only where there was a run since."""
    is_same = {number for number, run in runs.items() if before.get(number) == run and number in known}
    return {number: known[number] if number in is_same else _sign(reader, home, number) for number in runs}


def _sign(reader: Reader, home: str, number: str) -> str:
    state = reader.institution_state(home, number)
    sign = blake2b((state.run if state else "").encode(), digest_size=16)
    for key, hashed in sorted(reader.hashes(home, number, Kind.CONTRIBUTION).items()):
        sign.update(repr(key).encode() + hashed)
    return sign.hexdigest()


def _people(kind: Kind, key: Key) -> set[str]:
    """The people whose views show such an entity, or who are it."""
    match kind:
        case Kind.PERSON:
            return {key[0]}
        case Kind.AFFILIATION:
            return {key[1]}
        case Kind.GUARDIANSHIP:
            return {key[1], key[2]}
        case _:
            return set()


def _events(reader: Reader, home: str, after: int) -> Iterator[Event]:
    while page := reader.events(home, after, _PAGE):
        yield from page
        after = page[-1].sequence

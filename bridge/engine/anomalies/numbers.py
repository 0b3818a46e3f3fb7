"""Two users with one CPR number are found across a municipality, and no number is kept, shown or logged.

Of each number a keyed hash is kept, eight bytes; without the key nobody can try numbers against it.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec

from bridge.domain.anomalies import Anomaly, AnomalyCode
from bridge.domain.entities import Kind
from bridge.ports import Reader

_SIZE = 8
_USE = b"anomalies"
_END = "\x1f"  # as between the parts of a key: no XML document can carry it


class _Said(msgspec.Struct):
    """All that is read of a person."""

    civil_registration_number: str | None = None
    protected: bool = False


class _Word(msgspec.Struct):
    person: _Said


_decoder = msgspec.json.Decoder(_Word)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Which users of one institution have which number: two rows of equal length, packed for a whole country.

    `protected`: who is protected by this institution's word, whether it knows their number or not.
    """

    marks: array[int] = field(default_factory=lambda: array("Q"))
    users: bytes = b""
    protected: frozenset[str] = frozenset()

    @classmethod
    def of(cls, numbers: Mapping[str, str], key: bytes, protected: Collection[str] = ()) -> Numbers:
        """Mark the number of each user id; `key` is the same for all institutions that are compared."""
        marks = array("Q", (_mark(number, key) for number in numbers.values()))
        return cls(marks, _END.join(numbers).encode(), frozenset(protected))

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return zip(self.marks, self.users.decode().split(_END), strict=False)


def read_numbers(reader: Reader, municipality: str, institution: str, key: bytes) -> Numbers:
    """Read the numbers that an institution gives its people and their contacts. Raises `StoreUnavailable`."""
    found, protected = {}, []
    for (_, user_id), body in reader.bodies(municipality, institution, Kind.CONTRIBUTION).items():
        said = _decoder.decode(body).person
        if said.civil_registration_number:
            found[user_id] = said.civil_registration_number
        if said.protected:
            protected.append(user_id)
    return Numbers.of(found, key, protected)


def shared_numbers(schools: Mapping[str, Numbers]) -> dict[str, list[Anomaly]]:
    """Return by institution the users there who have one number with another user of the municipality.

    Two users with one number may be one human. So where any of them is protected by any institution's word, no
    school is told at which other ones they are.
    """
    first: dict[int, str] = {}
    shared = {
        mark for told in schools.values() for mark, user_id in told if first.setdefault(mark, user_id) != user_id
    }
    owners: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for institution, told in schools.items() if shared else ():
        for mark, user_id in told:
            if mark in shared:
                owners[mark][institution].add(user_id)
    hidden = frozenset[str]().union(*(told.protected for told in schools.values()))
    found: dict[str, list[Anomaly]] = defaultdict(list)
    for places in owners.values():
        may_tell = not any(hidden & users for users in places.values())
        for institution, users in places.items():
            others = sorted(place for place, there in places.items() if there - users and place != institution)
            also_at = tuple(others) if may_tell else ()
            anomaly = Anomaly(AnomalyCode.CPR_OF_SEVERAL_USERS, users=tuple(sorted(users)), also_at=also_at)
            found[institution].append(anomaly)
    return found


def _mark(number: str, key: bytes) -> int:
    return int.from_bytes(blake2b(number.encode(), digest_size=_SIZE, key=key, person=_USE).digest())

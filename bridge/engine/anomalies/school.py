"""One institution as it is stored, arranged for the rules: whose roles, which groups, who is in which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.domain.entities import Affiliation, Group, Kind, Role
from bridge.engine.codec import decode_entity
from bridge.ports import Reader


@dataclass(frozen=True, slots=True)
class School:
    """What the rules look at. `today` is a local date, YYYY-MM-DD, as the dates of groups are.

    `members`: the users of each group id, `joined`: the group ids of each user. `unusable`: whose records are set
    aside, by reason.
    """

    today: str
    groups: Mapping[str, Group] = field(default_factory=dict)
    pupils: Sequence[Affiliation] = ()
    employees: Sequence[Affiliation] = ()
    members: Mapping[str, Collection[str]] = field(default_factory=dict)
    joined: Mapping[str, Collection[str]] = field(default_factory=dict)
    unusable: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        today: str,
        groups: Iterable[Group],
        affiliations: Iterable[Affiliation],
        memberships: Iterable[tuple[str, str]],
        unusable: Mapping[str, Sequence[str]] | None = None,
    ) -> School:
        """Arrange what is told of one institution; `memberships` are pairs of group id and user id."""
        members: dict[str, set[str]] = defaultdict(set)
        joined: dict[str, set[str]] = defaultdict(set)
        for group_id, user_id in memberships:
            members[group_id].add(user_id)
            joined[user_id].add(group_id)
        roles = list(affiliations)
        return cls(
            today,
            {group.group_id: group for group in groups},
            [one for one in roles if one.role is Role.STUDENT],
            [one for one in roles if one.role is Role.EMPLOYEE],
            members,
            joined,
            unusable or {},
        )

    def is_current(self, group: Group) -> bool:
        """Whether a group has begun and has not ended; without dates it is."""
        return (group.from_date or "") <= self.today and not self.is_over(group)

    def is_over(self, group: Group) -> bool:
        return group.to_date is not None and group.to_date < self.today


def read_school(reader: Reader, municipality: str, institution: str, today: str) -> School:
    """Read what is stored of an institution. Raises `StoreUnavailable`."""
    unusable: dict[str, list[str]] = defaultdict(list)
    for row in reader.quarantine_of(municipality, institution):
        if row.user_id is not None:
            unusable[row.reason].append(row.user_id)
    found = {
        kind: [decode_entity(kind, body) for body in reader.bodies(municipality, institution, kind).values()]
        for kind in (Kind.GROUP, Kind.AFFILIATION)
    }
    # A membership says all in its key, and there are the most of them.
    keys = reader.hashes(municipality, institution, Kind.MEMBERSHIP)
    return School.of(
        today,
        [one for one in found[Kind.GROUP] if isinstance(one, Group)],
        [one for one in found[Kind.AFFILIATION] if isinstance(one, Affiliation)],
        [(group_id, user_id) for _, group_id, user_id in keys],
        unusable,
    )

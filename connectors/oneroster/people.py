"""Users with their roles at schools, their enrollments in classes, and what is told of them besides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property

from bridge.connector import Shelved
from connectors.oneroster.documents import Document, day, places, tables, text, texts
from connectors.oneroster.objects import Demographics, Enrollment, Org, Role, User
from connectors.oneroster.schooling import Rows, Schooling, fate


@dataclass(frozen=True, slots=True)
class _Place:
    """What somebody is or was at a school; `since` when the school came or went, or that did."""

    school: Org
    role: str
    is_open: bool
    since: datetime


class People:
    """Who has a role at a school that is there; one who has none any more is gone with the last."""

    def __init__(self, schooling: Schooling, kept: Mapping[str, Rows]) -> None:
        self._schooling, self._kept = schooling, kept

    @cached_property
    def _at(self) -> dict[str, list[_Place]]:
        """By user, where they are or were anything at a school that we know, in the order of the source."""
        found: dict[str, list[_Place]] = {}
        for row in self._kept["user"].values():
            held = [(self._schooling.school(number), role) for number, role in places(row.document)]
            at = [_Place(s, role, not s.is_gone, self._schooling.since(s)) for s, role in held if s is not None]
            for agent in self._agents[row.id]:
                school = self._schooling.schools.get(text(agent.document, "school") or "")
                if school is not None and agent.document.get("contact") == row.id:
                    word = text(agent.document, "relation") or "guardian"
                    is_open = not (school.is_gone or agent.is_gone)
                    at.append(_Place(school, word, is_open, max(self._schooling.since(school), agent.changed_at)))
            if at:
                found[row.id] = at
        return found

    @cached_property
    def _roles(self) -> dict[str, tuple[Role, ...]]:
        """By user, where they have what role; what they had only if there is no other."""
        return {key: _ranked([one for one in at if one.is_open] or at) for key, at in self._at.items()}

    @cached_property
    def _moved(self) -> dict[str, datetime]:
        """By user, when any of that came, changed or went: their roles may be others since."""
        return {key: max(one.since for one in at) for key, at in self._at.items()}

    @cached_property
    def _agents(self) -> Mapping[str, list[Shelved]]:
        """By user, the guardianships that they are in, as child or as contact."""
        found: dict[str, list[Shelved]] = defaultdict(list)
        for row in self._kept["agent"].values():
            for end in ("child", "contact"):
                found[text(row.document, end) or ""].append(row)
        return found

    @cached_property
    def users(self) -> dict[str, User]:
        return {key: self._user(self._kept["user"][key], roles) for key, roles in self._roles.items()}

    def _user(self, row: Shelved, roles: tuple[Role, ...]) -> User:
        has_left = not any(place.is_open for place in self._at[row.id])
        is_gone, changed_at = fate(row, (has_left, self._moved[row.id]))
        document = row.document
        bare = User(
            id=row.id,
            changed_at=changed_at,
            is_gone=is_gone,
            username=text(document, "username") or "",
            user_ids=tuple(
                (text(one, "type") or "", identifier)
                for one in tables(document.get("userIds"))
                if (identifier := text(one, "identifier"))
            ),
            is_enabled=not is_gone and document.get("enabledUser") is not False,
            given_name="",
            family_name="",
            identifier=text(document, "identifier"),
            roles=roles,
        )
        if is_gone:
            return bare
        others = dict(self._linked(row.id))
        return replace(
            bare,
            changed_at=max([changed_at, *(one.changed_at for one in self._agents[row.id]), *others.values()]),
            given_name=text(document, "givenName") or "",
            family_name=text(document, "familyName") or "",
            middle_name=text(document, "middleName"),
            email=text(document, "email"),
            sms=text(document, "sms"),
            phone=text(document, "phone"),
            master_identifier=text(document, "userMasterIdentifier"),
            agents=tuple(sorted(end for end in others if not self._kept["user"][end].is_gone)),
            grades=texts(document.get("grades")),
        )

    def _linked(self, user: str) -> Iterator[tuple[str, datetime]]:
        """Parents and children of somebody who are or were on the roster, and when each of them changed last."""
        for agent in self._agents[user]:
            for end in (text(agent.document, "child"), text(agent.document, "contact")):
                if not agent.is_gone and end is not None and end != user and end in self._roles:
                    yield end, max(self._kept["user"][end].changed_at, self._moved[end])

    def enrollments(self) -> Iterator[Enrollment]:
        for row in self._kept["enrollment"].values():
            document = row.document
            user = self.users.get(text(document, "user") or "")
            taught = self._schooling.classes.get(text(document, "class") or "")
            roles = texts(document.get("role"))
            if user is None or taught is None or not roles:
                continue
            around = self._kept["class"][taught.id].document
            is_gone, changed_at = fate(row, (user.is_gone, user.changed_at), (taught.is_gone, taught.changed_at))
            last = None if is_gone else day(around, "lastDate")
            yield Enrollment(
                id=row.id,
                changed_at=changed_at,
                is_gone=is_gone,
                user=user.id,
                class_=taught.id,
                school=taught.school,
                role=roles[0],
                primary=_primary(document, roles[0]),
                begin=None if is_gone else day(around, "beginDate"),
                end=last + timedelta(days=1) if last is not None and last < date.max else None,
            )

    def demographics(self) -> Iterator[Demographics]:
        for user in self.users.values():
            told = self._kept["user"][user.id].document.get("demographics")
            if isinstance(told, Mapping):
                yield Demographics(
                    id=user.id,
                    changed_at=user.changed_at,
                    is_gone=user.is_gone,
                    birth_date=None if user.is_gone else text(told, "birthDate"),
                    sex=None if user.is_gone else text(told, "sex"),
                )


def _ranked(at: Iterable[_Place]) -> tuple[Role, ...]:
    """Each role at each school once; the first at a school is the primary one there."""
    roles: list[Role] = []
    for org, role in dict.fromkeys((one.school.id, one.role) for one in at):
        roles.append(Role(org, role, is_primary=all(one.org != org for one in roles)))
    return tuple(roles)


def _primary(document: Document, role: str) -> bool | None:
    """Which teacher is the first of a class STIL does not say; a pupil never is."""
    told = document.get("primary")
    return told if isinstance(told, bool) else False if role == "student" else None

"""What a target knows of people loses what is protected by now, and nothing is told that was not known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, Key
from bridge.domain.privacy import WITHHELD_NAME, Protection, Told
from bridge.engine.codec import decode_body, encode_body, hash_bytes
from bridge.engine.desire import Rendering
from bridge.engine.leavers import Leaving
from bridge.engine.views import views
from bridge.engine.words import protected_users, protection, words
from bridge.mapping import resolve
from bridge.ports import URGENT, Delivery, Desired, Reader, UnitOfWork

_NOBODY = dict(zip(("given_name", "family_name"), WITHHELD_NAME, strict=True))
"""All that is shown of somebody of whom no institution in scope says anything."""

Masks = Mapping[CanonicalId, dict[str, Any] | None]

TELLING = (Kind.PERSON, Kind.AFFILIATION)
"""What may show something of a person that can be protected."""


def user_of(row: Delivery) -> str:
    """The user id of whom a delivery of a person or of an affiliation tells."""
    return row.key[0] if row.kind is Kind.PERSON else row.key[1]


def protected_people(reader: Reader, municipality: str, rows: Iterable[Delivery]) -> set[Key]:
    """Those of the persons that these deliveries are about of whom something is protected now."""
    users = {row.key[0] for row in rows if row.kind is Kind.PERSON}
    return {(user,) for user in protected_users(reader, municipality, users)}


def _stated(reader: Reader, municipality: str, users: set[str]) -> dict[str, Protection | None]:
    """What is stated to be protected of persons; None of those of whom nobody says anything any more."""
    told = words(reader, municipality, users)
    return {user: protection(said) if said else None for user, said in told.items()}


def masks(reader: Reader, rendering: Rendering, leaving: Leaving, rows: Iterable[Delivery]) -> Masks:
    """What must become of the accounts that show what is protected by now, whatever else they wait for.

    It is the document that the target confirmed, and only those of its fields that may show something protected
    are made anew. So it can be told of people whom the mapping does not send any more, and by a mapping that is
    not applied yet. None: the account can only go, for nobody can say what it shows, or nobody is stored any more
    of whom a protection was on its way. Where an attempt is in doubt, the target may know more than it confirmed.
    """
    rows = [row for row in rows if row.kind in TELLING and (row.confirmed_body is not None or row.in_doubt)]
    stated = _stated(reader, rendering.scope.municipality, {user_of(row) for row in rows})
    hidden = {user: said.fields for user, said in stated.items() if said and said.fields}
    seen = {
        (kind, key): view
        for kind in TELLING
        for key, view in views(
            reader, rendering.scope, kind, {row.key for row in rows if row.kind is kind and user_of(row) in hidden}
        ).items()
    }
    told = reader.target_state(rendering.target).told if hidden else None
    found: dict[CanonicalId, dict[str, Any] | None] = {}
    for row in rows:
        user = user_of(row)
        if stated[user] is None and row.rank == URGENT:
            found[row.id] = None
        elif user in hidden:
            known = decode_body(row.confirmed_body) if row.confirmed_body is not None else None
            view = seen.get((row.kind, row.key), _unseen(row))
            body = _masked(rendering, leaving, row, known, hidden[user], view, told) if known is not None else None
            if body is None or body != known or row.in_doubt:
                found[row.id] = body
    return found


def _unseen(row: Delivery) -> Mapping[str, Any]:
    return _NOBODY if row.kind is Kind.PERSON else {"institution_number": row.institution}


def _masked(
    rendering: Rendering,
    leaving: Leaving,
    row: Delivery,
    known: Mapping[str, Any],
    fields: Collection[str],
    view: Mapping[str, Any],
    told: Told | None,
) -> dict[str, Any] | None:
    resource = next((one for one in rendering.mapping.resources_of(view) if one.name == row.resource), None)
    body = resource.remade(known, fields, view, told) if resource else None
    if body is None:
        return None
    asleep = {name: known[name] for name in leaving.inactive.get(row.resource, ()) if name in known}
    return decode_body(encode_body({**resolve(body, {}), **asleep}))


def protect(
    uow: UnitOfWork,
    rendering: Rendering,
    people: Iterable[Key],
    now: datetime,
    leaving: Leaving | None = None,
    cause: str = "",
) -> None:
    """Let a target whose mapping waits for a person have of these people what it has, without what is protected.

    When the mapping is applied, or taken back, everything is rendered anew. `cause` is the run that says so; none
    leaves the one that is known.
    """
    name, scope = rendering.target, rendering.scope
    users = [user for (user,) in people]
    ids = [scope.id(Kind.PERSON, (user,)) for user in users]
    ids += [scope.id(Kind.AFFILIATION, key) for key in _with_initials(uow, rendering, users)]
    rows = [row for identity in ids if (row := uow.delivery(name, identity)) is not None]
    found = masks(uow, rendering, leaving or Leaving(), rows)
    wanted = [
        (row, hash_bytes(encode_body(found[row.id] or {})) if row.id in found else row.confirmed)
        for row in rows
        if row.id in found or (row.rank == URGENT and row.confirmed is not None)
    ]
    uow.put_desired([_urgent(row, digest, cause) for row, digest in wanted], now)


def _with_initials(reader: Reader, rendering: Rendering, users: Collection[str]) -> list[Key]:
    """The affiliations of these people, where the target may have been told of them more than that they are."""
    told = reader.target_state(rendering.target).told
    if told is not None and not any("short_name" in paths for paths in told.values()):
        return []
    worn = reader.entities_by_person(rendering.scope.municipality, Kind.AFFILIATION, users)
    return [row.key for row in worn]


def _urgent(row: Delivery, wanted: bytes | None, cause: str) -> Desired:
    return Desired(
        target=row.target,
        id=row.id,
        kind=row.kind,
        key=row.key,
        institution=row.institution,
        resource=row.resource,
        rank=row.rank,
        hash=wanted,
        is_urgent=True,
        cause=cause,
    )

"""What a target knows of people loses what is protected by now, and nothing is told that was not known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from bridge.domain.entities import Kind, Person
from bridge.domain.ids import CanonicalId, Key
from bridge.domain.privacy import WITHHELD_NAME, hidden
from bridge.engine.codec import decode_body, decode_entity, encode_body, hash_bytes
from bridge.engine.desire import Rendering
from bridge.engine.leavers import Leaving
from bridge.engine.views import views
from bridge.mapping import resolve
from bridge.ports import URGENT, Delivery, Desired, Reader, UnitOfWork

_NOBODY = dict(zip(("given_name", "family_name"), WITHHELD_NAME, strict=True))
"""All that is shown of somebody of whom no institution in scope says anything."""

Masks = Mapping[CanonicalId, dict[str, Any] | None]


def protected_people(reader: Reader, municipality: str, rows: Iterable[Delivery]) -> set[Key]:
    """Those of the persons that these deliveries are about of whom something is protected now."""
    return {key for key, person in _living(reader, municipality, rows).items() if hidden(person)}


def _living(reader: Reader, municipality: str, rows: Iterable[Delivery]) -> dict[Key, Person]:
    found = reader.entities(municipality, Kind.PERSON, {row.key for row in rows if row.kind is Kind.PERSON})
    people = {key: decode_entity(Kind.PERSON, row.body) for key, row in found.items() if row.body is not None}
    return {key: person for key, person in people.items() if isinstance(person, Person)}


def masks(reader: Reader, rendering: Rendering, leaving: Leaving, rows: Iterable[Delivery]) -> Masks:
    """What must become of the accounts that show what is protected by now, whatever else they wait for.

    It is the document that the target confirmed, and only those of its fields that may show something protected
    are made anew. So it can be told of people whom the mapping does not send any more, and by a mapping that is
    not applied yet. None: the account can only go, for the mapping cannot say what it shows, or nobody is stored
    any more of whom a protection was on its way.
    """
    rows = [row for row in rows if row.kind is Kind.PERSON and row.confirmed_body is not None]
    people = _living(reader, rendering.scope.municipality, rows)
    seen = views(reader, rendering.scope, Kind.PERSON, [key for key, person in people.items() if hidden(person)])
    found: dict[CanonicalId, dict[str, Any] | None] = {}
    for row in rows:
        known, person = decode_body(row.confirmed_body or b"{}"), people.get(row.key)
        if person is None and row.rank == URGENT:
            found[row.id] = None
        elif person is not None and (fields := hidden(person)):
            body = _masked(rendering, leaving, row, known, fields, seen.get(row.key, _NOBODY))
            if body != known:
                found[row.id] = body
    return found


def _masked(
    rendering: Rendering,
    leaving: Leaving,
    row: Delivery,
    known: Mapping[str, Any],
    fields: Collection[str],
    view: Mapping[str, Any],
) -> dict[str, Any] | None:
    resource = next((one for one in rendering.mapping.resources if one.name == row.resource), None)
    body = resource.remade(known, fields, view) if resource else None
    if body is None:
        return None
    asleep = {name: known[name] for name in leaving.inactive.get(row.resource, ()) if name in known}
    return decode_body(encode_body({**resolve(body, {}), **asleep}))


def protect(
    uow: UnitOfWork, rendering: Rendering, people: Iterable[Key], now: datetime, leaving: Leaving | None = None
) -> None:
    """Let a target whose mapping waits for a person have of these people what it has, without what is protected.

    When the mapping is applied, or taken back, everything is rendered anew.
    """
    name, scope = rendering.target, rendering.scope
    ids = [scope.id(Kind.PERSON, key) for key in people]
    rows = [row for identity in ids if (row := uow.delivery(name, identity)) is not None]
    found = masks(uow, rendering, leaving or Leaving(), rows)
    wanted = [
        (row, hash_bytes(encode_body(found[row.id] or {})) if row.id in found else row.confirmed)
        for row in rows
        if row.id in found or (row.rank == URGENT and row.confirmed is not None)
    ]
    uow.put_desired([_urgent(row, digest) for row, digest in wanted], now)


def _urgent(row: Delivery, wanted: bytes | None) -> Desired:
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
    )

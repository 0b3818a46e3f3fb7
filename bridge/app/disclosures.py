"""Who gets which personal data of whom and why: the record of processing (GDPR article 30) of a configuration.

What is said here is read from what the bridge acts on, mappings, masking and how each target stands, so it
cannot be out of date.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from bridge.app.bridge import open_if_any
from bridge.config import MunicipalitySettings, Settings, TargetSettings, VendorSettings
from bridge.domain.entities import Address, Kind, Person, Phone, Role
from bridge.domain.ids import TargetId
from bridge.domain.privacy import visible
from bridge.domain.spans import spelled
from bridge.engine.breaker import standing
from bridge.mapping import Choice, Resource, Rule, TargetMapping
from bridge.ports import ACTIVE, SHADOW, TargetState

ALL, OBSERVED = "all", "observed"
FETCHES = "vendor feed"
"""In the place of a connector: who fetches events from the bridge's own web server."""
_AS_IT_IS, _ALIAS, _LEFT_OUT = "as it is", "the alias instead", "left out"
_PEOPLE = {
    Role.STUDENT: "pupils",
    Role.EMPLOYEE: "employees",
    Role.EXTERNAL: "external staff",
    Role.CONTACT: "contact persons",
    Role.NONE: "people of whom no role is told",
}


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One field that one recipient gets. `when_protected`: what stands there for somebody who is protected."""

    resource: str
    field: str
    sources: tuple[str, ...]
    people: tuple[str, ...]
    institutions: str
    purpose: str
    legal_basis: str
    when_protected: str
    is_personal: bool


@dataclass(frozen=True, slots=True)
class Recipient:
    """One target with all that it gets. `standing`: `ACTIVE`, `OBSERVED` where it only observes, or why it is not
    sent anything (`bridge.ports.STANDING`)."""

    municipality: str
    target: str
    connector: str
    system: str
    mapping: str
    purpose: str
    institutions: str
    is_sent: bool
    standing: str
    retention: str
    fields: tuple[Disclosure, ...]


def disclosures(settings: Settings) -> list[Recipient]:
    """Return every target and vendor that is configured with every field that it may get.

    How it stands is told by the state; where there is none yet, by how it will begin. Raises `StoreUnavailable`.
    """
    found = _standings(settings)
    return [
        *(_recipient(home, one, found[one.id]) for home in settings.municipalities for one in home.targets),
        *(_vendor(home, one) for home in settings.municipalities for one in settings.vendors if _has(one, home)),
    ]


def _has(vendor: VendorSettings, home: MunicipalitySettings) -> bool:
    return home.code in vendor.municipalities


def _vendor(home: MunicipalitySettings, vendor: VendorSettings) -> Recipient:
    """A vendor that fetches for itself: from when it is configured it may see what its mapping names."""
    scope = vendor.scope_in(home.institutions)
    return Recipient(
        municipality=home.code,
        target=vendor.name,
        connector=FETCHES,
        system="",
        mapping=vendor.mapping.name,
        purpose=vendor.mapping.purpose,
        institutions=_listed(scope),
        is_sent=True,
        standing=ACTIVE,
        retention="told at once what is gone; how long the vendor keeps it is agreed with the vendor",
        fields=tuple(_fields(vendor.mapping, scope)),
    )


def _standings(settings: Settings) -> dict[TargetId, str]:
    bridge = open_if_any(settings)
    if bridge is None:
        return {one.id: _standing(one, TargetState(one.id)) for one in settings.targets}
    with bridge.store.read() as reader:
        return {one.id: _standing(one, reader.target_state(one.id)) for one in settings.targets}


def _standing(target: TargetSettings, state: TargetState) -> str:
    if not target.config.discloses:
        return OBSERVED
    return standing(state, begins_in_shadow=target.start == SHADOW)


def _recipient(home: MunicipalitySettings, target: TargetSettings, stands: str) -> Recipient:
    scope = target.institutions if target.institutions is not None else home.institutions
    return Recipient(
        municipality=home.code,
        target=target.name,
        connector=target.connector.name,
        system=target.config.system,
        mapping=target.mapping.name,
        purpose=target.mapping.purpose,
        institutions=_listed(scope),
        is_sent=stands == ACTIVE,
        standing=stands,
        retention=_retention(home, target),
        fields=tuple(_fields(target.mapping, scope)),
    )


def _retention(home: MunicipalitySettings, target: TargetSettings) -> str:
    grace, sleep = home.guard.deletion_grace, target.leavers.retention
    return (
        f"deleted {spelled(grace)} after somebody has left the last school; where the platform can put accounts "
        f"to sleep, they sleep for {spelled(sleep)} first"
    )


def _listed(numbers: frozenset[str] | None) -> str:
    return ALL if numbers is None else ", ".join(sorted(numbers))


def _fields(mapping: TargetMapping, scope: frozenset[str] | None) -> Iterator[Disclosure]:
    """Those of the mapping itself, then those of each school in scope that has rules of its own."""
    own = sorted(number for number in mapping.schools if scope is None or number in scope)
    if scope is None or scope - mapping.schools.keys():
        where = _listed(None if scope is None else scope - mapping.schools.keys())
        yield from _of_resources(
            mapping.resources, f"{where} but {', '.join(own)}" if own and scope is None else where
        )
    for number in own:
        yield from _of_resources(mapping.schools[number], number)


def _of_resources(resources: tuple[Resource, ...], institutions: str) -> Iterator[Disclosure]:
    for resource in resources:
        people = _people(resource)
        for place, rule in resource.leaves():
            if rule.reads:
                yield _disclosure(resource, place, rule, people, institutions)


def _disclosure(
    resource: Resource, place: str, rule: Rule, people: tuple[str, ...], institutions: str
) -> Disclosure:
    told = resource.tells_of_people(rule)
    return Disclosure(
        resource=resource.name,
        field=place,
        sources=rule.reads,
        people=people if told else (),
        institutions=institutions,
        purpose=rule.purpose or "",
        legal_basis=rule.legal_basis or "",
        when_protected=_when_protected(resource.kind, rule.reads) if told else "",
        is_personal=told,
    )


# ---------------------------------------------------------------- whose, and what protection does to it


def _people(resource: Resource) -> tuple[str, ...]:
    match resource.kind:
        case Kind.PERSON | Kind.AFFILIATION:
            at_schools = (Role.STUDENT, Role.EMPLOYEE, Role.EXTERNAL)
            roles = tuple(Role) if resource.kind is Kind.PERSON else at_schools
            chosen = [role for role in roles if all(choice.admits(role.value) for choice in _on_roles(resource))]
            return tuple(_PEOPLE[role] for role in chosen)
        case Kind.GUARDIANSHIP:
            return ("pupils", "contact persons")
        case _:
            return ("pupils", "employees", "external staff")


def _on_roles(resource: Resource) -> list[Choice]:
    return [choice for path, choice in resource.when.items() if path in ("kind", "kinds")]


def _when_protected(kind: Kind, reads: tuple[str, ...]) -> str:
    if kind is Kind.AFFILIATION and "short_name" in reads:
        return _LEFT_OUT
    if kind is not Kind.PERSON:
        return _AS_IT_IS
    found = {_masked(path.partition(".")[0]) for path in reads}
    return next((one for one in (_ALIAS, _LEFT_OUT) if one in found), _AS_IT_IS)


def _masked(field: str) -> str:
    """What the masking makes of a field, found by masking somebody who has all of them."""
    before, after = _everything(), visible(_everything())
    if field.startswith("alias_") or not hasattr(before, field):
        return _AS_IT_IS
    shown = getattr(after, field)
    return _AS_IT_IS if shown == getattr(before, field) else _LEFT_OUT if shown is None else _ALIAS


@cache
def _everything() -> Person:
    phone = Phone("x", protected=True)
    return Person(
        user_id="x",
        given_name="given",
        family_name="family",
        protected=True,
        alias_given_name="alias",
        alias_family_name="alias",
        civil_registration_number="x",
        civil_registration_number_type="x",
        email="x",
        birth_date="x",
        gender="x",
        photo_id="x",
        address=Address(),
        home_phone=phone,
        work_phone=phone,
        mobile_phone=phone,
    )

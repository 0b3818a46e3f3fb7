"""A OneRoster provider on a shelf in memory, what it is told, and somebody who asks it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from bridge.connector import Command, Outcome, Services, Shelf
from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.ids import CanonicalId, Key, canonical_id
from bridge.testing.memory_shelf import MemoryShelf
from connectors.oneroster import OneRosterTarget, connector
from connectors.oneroster.config import OneRosterConfig

TOWN = "0751"
URL = "https://bro.example/oneroster"
V1, V2 = "/ims/oneroster/v1p1", "/ims/oneroster/rostering/v1p2"
SECRET = "a-secret-of-more-than-thirty-two-characters"
CORE = ("roster.readonly", "roster-core.readonly")
ALL = (*CORE, "roster-demographics.readonly")
SCHOOL, OTHER = "101001", "101002"


@dataclass
class Clock:
    at: datetime = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


def services(clock: Clock, shelf: Shelf, municipality: str = TOWN) -> Services:
    return Services(
        municipality, None, _no_http, lambda path: path.read_text(), clock, Path.read_bytes, shelf=lambda: shelf
    )


def _no_http(*_: object, **__: object) -> Any:
    raise AssertionError("a provider calls nobody")


def config(folder: Path, **settings: Any) -> OneRosterConfig:
    secret = folder / "secret"
    secret.write_text(SECRET)
    client = {"client_id": "platform", "secret_file": secret, "versions": ("1.1", "1.2"), "scopes": ALL}
    return OneRosterConfig(**{"public_url": URL, "clients": (client,), **settings})


def make_target(
    folder: Path, clock: Clock, shelf: Shelf, municipality: str = TOWN, **settings: Any
) -> OneRosterTarget:
    assert connector.target is not None
    made = connector.target(config(folder, **settings), services(clock, shelf, municipality))
    assert isinstance(made, OneRosterTarget)
    return made


# ---------------------------------------------------------------- what it is told


def key_id(kind: Kind, *key: str) -> CanonicalId:
    return canonical_id(TOWN, kind, key)


def org_id(number: str = SCHOOL) -> CanonicalId:
    return key_id(Kind.INSTITUTION, number)


def class_id(name: str, number: str = SCHOOL) -> CanonicalId:
    return key_id(Kind.GROUP, number, name)


def user_id(name: str) -> CanonicalId:
    return key_id(Kind.PERSON, name)


def enrollment_id(name: str, group: str, number: str = SCHOOL) -> CanonicalId:
    return key_id(Kind.MEMBERSHIP, number, group, name)


_KINDS = {
    "org": (Kind.INSTITUTION, ("institution_number",)),
    "class": (Kind.GROUP, ("institution_number", "group_id")),
    "user": (Kind.PERSON, ("user_id",)),
    "enrollment": (Kind.MEMBERSHIP, ("institution_number", "group_id", "user_id")),
    "agent": (Kind.GUARDIANSHIP, ("institution_number", "child_user_id", "contact_user_id")),
}


def command(resource: str, key: Key, document: Mapping[str, Any] | None, **changes: Any) -> Command:
    return made(resource, *_KINDS[resource], key, document, **changes)


def made(
    resource: str,
    kind: Kind,
    names: Sequence[str],
    key: Key,
    document: Mapping[str, Any] | None,
    **changes: Any,
) -> Command:
    """A command about an entity of a kind, its key under these names."""
    identifier = key_id(kind, *key)
    fields: dict[str, Any] = {
        "operation": Operation.DELETED if document is None else Operation.CREATED,
        "resource": resource,
        "kind": kind.value,
        "id": identifier,
        "key": key,
        "identity": {"id": identifier, **dict(zip(names, key, strict=True))},
        "document": None if document is None else {"sourcedId": identifier, **document},
        "previous": None,
        "remote_id": None,
        "etag": None,
        "in_doubt": False,
        "municipality": TOWN,
        "institution": key[0],
        "version": 1,
        "sequence": 1,
        "cause": "test",
        "time": datetime(2026, 11, 20, tzinfo=UTC),
        "delivery_key": f"{identifier}-1",
    }
    return Command(**{**fields, **changes})


def school(number: str = SCHOOL, **fields: Any) -> Command:
    return command("org", (number,), {"name": f"Skolen {number}", "identifier": number, **fields})


def group(name: str, number: str = SCHOOL, **fields: Any) -> Command:
    told = {
        "title": f"Klasse {name}",
        "classCode": name,
        "classType": "homeroom",
        "groupType": "main",
        "school": org_id(number),
    }
    return command("class", (number, name), {**told, **fields})


def role(kind: str, *roles: str, number: str = SCHOOL) -> dict[str, Any]:
    return {"school": number, "kind": kind, **({"roles": list(roles)} if roles else {})}


PUPIL, TEACHER = role("student", "student"), role("aide", "teacher")


def user(name: str, *roles: Mapping[str, Any], **fields: Any) -> Command:
    told = {
        "username": name,
        "userIds": [{"type": "UNI-Login", "identifier": name}],
        "identifier": name,
        "enabledUser": True,
        "givenName": name.title(),
        "familyName": "Holm",
        "email": f"{name}@skole.example",
        "roles": list(roles or (PUPIL,)),
    }
    return command("user", (name,), {**told, **fields})


def member(name: str, group_name: str, *, role: str = "student", number: str = SCHOOL) -> Command:
    told = {
        "user": user_id(name),
        "class": class_id(group_name, number),
        "school": org_id(number),
        "role": [role],
    }
    return command("enrollment", (number, group_name, name), told)


def agent(child: str, contact: str, relation: str = "parent", number: str = SCHOOL) -> Command:
    told = {"child": user_id(child), "contact": user_id(contact), "school": org_id(number), "relation": relation}
    return command("agent", (number, child, contact), told)


def gone(told: Command) -> Command:
    return command(told.resource, told.key, None)


TOLD = [
    school(),
    school(OTHER),
    group("1A", grades=["01"], beginDate="2026-08-01", lastDate="2027-07-31"),
    group("1B", OTHER),
    user("anna", demographics={"birthDate": "2019-04-01", "sex": "female"}),
    user("bo", TEACHER, role("aide", "principal", number=OTHER)),
    user("carl", role("student", "student", number=OTHER)),
    member("anna", "1A"),
    member("bo", "1A", role="teacher"),
    member("carl", "1B", number=OTHER),
]
"""Two schools with a class each, a teacher at both, and a pupil in each."""


# ---------------------------------------------------------------- who asks


@dataclass
class Provider:
    """A target with its application, and a client that has a token."""

    target: OneRosterTarget
    clock: Clock
    shelf: Shelf
    path: str = V2
    token: str = field(default="")
    is_open: Callable[[], bool] = lambda: True

    def __post_init__(self) -> None:
        self.http = TestClient(self.target.application(lambda: self.is_open()), base_url="http://testserver")
        self.token = self.token or self.fetch_token().json()["access_token"]

    def wait(self, time: timedelta) -> None:
        """Let time pass; the client gets itself a new token."""
        self.clock.at += time
        self.token = self.fetch_token().json()["access_token"]

    def tell(self, *commands: Command) -> list[Outcome]:
        return list(self.target.apply(commands))

    def fetch_token(self, scope: str | None = None, secret: str = SECRET, name: str = "platform") -> Any:
        form = {"grant_type": "client_credentials", **({} if scope is None else {"scope": scope})}
        return self.http.post("/token", data=form, headers={"Authorization": basic(name, secret)})

    def ask(self, path: str, headers: Mapping[str, str] | None = None, **params: Any) -> Any:
        proof = {"Authorization": f"Bearer {self.token}"} if headers is None else headers
        return self.http.get(f"{self.path}/{path}", params=params, headers=proof)

    def get(self, path: str, **params: Any) -> Any:
        """What an answer has in its envelope."""
        answer = self.ask(path, **params)
        assert answer.status_code == 200, answer.text
        (content,) = answer.json().values()
        return content

    def ids(self, path: str, **params: Any) -> list[str]:
        return [one["sourcedId"] for one in self.get(path, **params)]


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def make_provider(
    folder: Path, path: str = V2, told: Iterable[Command] = (), token: str = "", **settings: Any
) -> Provider:
    clock = Clock()
    shelf = MemoryShelf(clock)
    provider = Provider(make_target(folder, clock, shelf, **settings), clock, shelf, path, token)
    provider.tell(*told)
    return provider

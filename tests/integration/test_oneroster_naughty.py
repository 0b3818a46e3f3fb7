"""Whatever somebody, a class or a school is called, a client fetches it as it was told and finds it by that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests

from bridge.connector import Command, Delivered, Outcome, Rejected
from bridge.testing.memory_shelf import MemoryShelf
from connectors.oneroster.query import LONGEST_FILTER
from tests.support.naughty import NAUGHTY
from tests.support.oneroster import (
    SECRET,
    V1,
    V2,
    Clock,
    class_id,
    group,
    make_target,
    member,
    org_id,
    role,
    school,
    user,
    user_id,
)
from tests.support.oneroster_server import served

LONE = "\ud800"
SENDABLE = tuple(text for text in NAUGHTY if text != LONE)
BOTH = pytest.mark.parametrize("version", [V1, V2], ids=["1.1", "1.2"])


@dataclass
class Client:
    """Somebody with a token at a provider that was told everything in one batch."""

    url: str
    outcomes: list[Outcome]
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False
        form = {"grant_type": "client_credentials"}
        told = self.session.post(f"{self.url}/token", data=form, auth=("platform", SECRET), timeout=30).json()
        self.session.headers["Authorization"] = f"Bearer {told['access_token']}"

    def get(self, path: str, **params: str) -> requests.Response:
        return self.session.get(f"{self.url}{path}", params=params, timeout=30)

    def all(self, path: str, **params: str) -> list[dict[str, Any]]:
        """Every object of a collection, page by page as the links lead."""
        found: list[dict[str, Any]] = []
        answer = self.get(path, limit="20", **params)
        while True:
            (page,) = answer.json().values()
            found += page
            following = answer.links.get("next")
            if following is None:
                return found
            answer = self.session.get(following["url"], timeout=30)


def told(text: str) -> list[Command]:
    """A school, a class there and a pupil in it, of which the text is the name and the key."""
    return [
        school(text, name=text),
        group(text, text, title=text),
        user(text, role("student", "student", number=text), givenName=text, familyName=text),
        member(text, text, number=text),
    ]


COMMANDS = [command for text in NAUGHTY if text != LONE for command in told(text)]
ODD = [school("101009", name=LONE), user("odd", familyName=f"a{LONE}b")]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    clock = Clock(datetime.now(UTC))
    shelf, folder = MemoryShelf(clock), tmp_path_factory.mktemp("oneroster")
    with served(lambda url: make_target(folder, clock, shelf, public_url=url)) as (target, url):
        client = Client(url, list(target.apply([*ODD, *COMMANDS])))
        with client.session:
            yield client


def test_all_is_taken_but_what_utf8_cannot_carry(client: Client) -> None:
    assert client.outcomes[:2] == [Rejected("not_in_utf8", "name"), Rejected("not_in_utf8", "familyName")]
    assert {type(outcome) for outcome in client.outcomes[2:]} == {Delivered}


@BOTH
@pytest.mark.parametrize("sort", ["sourcedId", "familyName"])
def test_users_come_as_they_were_told(client: Client, version: str, sort: str) -> None:
    found = {one["sourcedId"]: one for one in client.all(f"{version}/users", sort=sort)}
    assert found.keys() == {user_id(text) for text in SENDABLE}
    for text in SENDABLE:
        one = found[user_id(text)]
        assert [one[name] for name in ("username", "identifier", "givenName", "familyName")] == [text] * 4
        assert one["userIds"] == [{"type": "UNI-Login", "identifier": text}]


@BOTH
def test_schools_and_classes_come_as_they_were_told(client: Client, version: str) -> None:
    schools = {one["sourcedId"]: (one["name"], one["identifier"]) for one in client.all(f"{version}/schools")}
    assert schools == {org_id(text): (text, text) for text in SENDABLE}
    classes = {one["sourcedId"]: (one["title"], one["classCode"]) for one in client.all(f"{version}/classes")}
    assert classes == {class_id(text, text): (text, text) for text in SENDABLE}
    ties = {(one["user"]["sourcedId"], one["class"]["sourcedId"]) for one in client.all(f"{version}/enrollments")}
    assert ties == {(user_id(text), class_id(text, text)) for text in SENDABLE}


# ---------------------------------------------------------------- asked for by name


def ids(answer: requests.Response) -> list[str]:
    (page,) = answer.json().values()
    return [one["sourcedId"] for one in page]


FOUND_BY = [("users", "familyName"), ("users", "userIds.identifier"), ("classes", "title"), ("schools", "name")]


def wanted(collection: str, text: str) -> str:
    match collection:
        case "users":
            return user_id(text)
        case "classes":
            return class_id(text, text)
        case _:
            return org_id(text)


@pytest.mark.parametrize(("collection", "name"), FOUND_BY)
def test_each_is_found_by_a_filter_and_alone(client: Client, collection: str, name: str) -> None:
    for text in SENDABLE:
        doubled = text.replace("'", "''")
        answer = client.get(f"{V2}/{collection}", filter=f"{name}='{doubled}'")
        if len(text) > LONGEST_FILTER:
            assert answer.status_code == 400
            assert "characters" in answer.json()["imsx_description"]
        else:
            assert answer.status_code == 200, answer.text
            assert ids(answer) == [wanted(collection, text)]


def test_who_does_not_write_the_apostrophe_twice_gets_that_one_or_a_reason(client: Client) -> None:
    for text in SENDABLE:
        answer = client.get(f"{V2}/users", filter=f"familyName='{text}'")
        if answer.status_code == 200:
            assert ids(answer) == [user_id(text)]
        else:
            assert answer.status_code == 400
            assert answer.json()["imsx_description"]
            assert "'" in text or len(text) > LONGEST_FILTER


# ---------------------------------------------------------------- in a path


@BOTH
@pytest.mark.parametrize("collection", ["users/{}", "orgs/{}", "schools/{}/classes", "users/{}/classes"])
def test_as_an_id_in_a_path_it_is_nobody(client: Client, version: str, collection: str) -> None:
    """Ids are UUIDs of ours, so that a name in a URL leads nowhere, and to nothing else either."""
    for text in SENDABLE:
        answer = client.get(f"{version}/{collection.format(quote(text, safe=''))}")
        assert answer.status_code == 404
        assert len(answer.content) < 400
        assert len(text) < 10 or text not in answer.text


def test_every_reference_leads_to_what_it_names(client: Client) -> None:
    for one in client.all(f"{V2}/enrollments"):
        for end, name in (("user", "familyName"), ("class", "title"), ("school", "name")):
            path = urlsplit(one[end]["href"]).path
            answer = client.session.get(one[end]["href"], timeout=30)
            (found,) = answer.json().values()
            assert path.endswith(found["sourcedId"])
            assert found[name] in SENDABLE

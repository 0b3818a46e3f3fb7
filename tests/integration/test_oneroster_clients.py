"""Clients that others wrote fetch the roster over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from oneroster import ClasslinkConnector
from oneroster.classlink import ClasslinkAPI

from bridge.testing.memory_shelf import MemoryShelf
from tests.support.oneroster import (
    OTHER,
    SECRET,
    TEACHER,
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
)
from tests.support.oneroster_server import served

PUPILS = [f"elev{number:03}" for number in range(25)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    clock = Clock(datetime.now(UTC))  # the client signs with the time of this machine
    shelf, folder = MemoryShelf(clock), tmp_path_factory.mktemp("oneroster")
    with served(lambda url: make_target(folder, clock, shelf, public_url=url)) as (target, url):
        target.apply([school(), school(OTHER), group("1A"), group("1B", OTHER)])
        target.apply([user("bo", TEACHER, role("aide", "teacher", number=OTHER))])
        target.apply([user(name) for name in PUPILS])
        target.apply([member("bo", "1A", role="teacher"), *(member(name, "1A") for name in PUPILS)])
        yield url


def client(url: str, secret: str = SECRET, page: int = 4) -> ClasslinkConnector:
    made = ClasslinkConnector(f"{url}{V1}/", "platform", secret, page_size=page)
    made.classlink_api = ClasslinkAPI("platform", secret)  # as its own get_users does
    return made


class TestPypiOneroster:
    """Signs by OAuth 1.0a with HMAC-SHA256 and follows Link: next."""

    def test_pages_through_all_users(self, url: str) -> None:
        found = client(url).get_users(user_filter="users")
        assert sorted(one["username"] for one in found) == sorted(["bo", *PUPILS])
        assert {one["enabledUser"] for one in found} == {"true"}

    # Its search by name needs a Python before 3.10, so it is told the ids.

    def test_finds_the_pupils_of_a_school(self, url: str) -> None:
        found = client(url).execute_actions("schools", "students", org_id(), "mapped_users", None)
        assert sorted(one["username"] for one in found) == PUPILS

    def test_finds_the_teachers_of_a_class(self, url: str) -> None:
        found = client(url).execute_actions("classes", "teachers", class_id("1A"), "mapped_users", None)
        assert [one["username"] for one in found] == ["bo"]

    def test_finds_the_classes_of_a_course(self, url: str) -> None:
        """This one ends the path with a slash, and signs that."""
        courses, following = client(url).get_url(f"{url}{V1}/courses/?limit=1&offset=0")
        rest, end = client(url).get_url(following)
        (course,) = [one for one in (*courses, *rest) if one["org"]["sourcedId"] == org_id()]
        assert end is None
        found = client(url).execute_actions("courses", None, course["sourcedId"], "course_classlist", None)
        assert found == [class_id("1A")]

    def test_is_refused_with_a_wrong_secret(self, url: str) -> None:
        with pytest.raises(requests.RequestException, match="401"):
            client(url, "x" * 40).get_users(user_filter="users")


def test_a_client_gets_a_token_and_pages_by_link(url: str) -> None:
    session = requests.Session()
    form = {"grant_type": "client_credentials"}
    told = session.post(f"{url}/token", data=form, auth=("platform", SECRET), timeout=10).json()
    session.headers["Authorization"] = f"{told['token_type']} {told['access_token']}"
    found: list[str] = []
    page: str | None = f"{url}{V2}/users?limit=7&sort=familyName&filter=status%3D%27active%27"
    while page:
        answer = session.get(page, timeout=10)
        found += [one["username"] for one in answer.json()["users"]]
        page = answer.links.get("next", {}).get("url")
    assert answer.headers["X-Total-Count"] == "26"
    assert sorted(found) == sorted(["bo", *PUPILS])


def test_every_reference_can_be_fetched(url: str) -> None:
    session = requests.Session()
    form = {"grant_type": "client_credentials"}
    told = session.post(f"{url}/token", data=form, auth=("platform", SECRET), timeout=10).json()
    session.headers["Authorization"] = f"Bearer {told['access_token']}"
    seen: set[str] = set()
    for base in (V1, V2):
        for name in ("orgs", "academicSessions", "courses", "classes", "enrollments", "users"):
            (content,) = session.get(f"{url}{base}/{name}?limit=1000", timeout=10).json().values()
            assert content
            seen |= set(_hrefs(content))
    assert len(seen) > 60
    for href in seen:
        (one,) = session.get(href, timeout=10).json().values()
        assert href.endswith(one["sourcedId"])


def _hrefs(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _hrefs(one)
    elif isinstance(value, dict):
        if "href" in value:
            yield value["href"]
        for one in value.values():
            yield from _hrefs(one)


def test_the_folder_of_the_secret_is_not_served(url: str, tmp_path: Path) -> None:
    assert requests.get(f"{url}/../secret", timeout=10).status_code == 404
    assert requests.get(f"{url}/openapi.json", timeout=10).status_code == 404

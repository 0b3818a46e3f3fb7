"""What clients get: only with a proof, in the words of their version, page by page until the end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.oneroster.collections import COLLECTIONS
from connectors.oneroster.shapes import shapes
from tests.support.oneroster import (
    OTHER,
    SCHOOL,
    TOLD,
    URL,
    V1,
    V2,
    Provider,
    class_id,
    enrollment_id,
    gone,
    make_provider,
    member,
    org_id,
    role,
    school,
    user,
    user_id,
)


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return make_provider(tmp_path, told=TOLD)


@pytest.fixture
def old(tmp_path: Path) -> Provider:
    return make_provider(tmp_path, V1, TOLD)


def next_link(answer: Any) -> str | None:
    found = answer.links.get("next")
    return found["url"] if found else None


def pages(provider: Provider, path: str, **params: Any) -> Iterator[list[dict[str, Any]]]:
    """The pages of a list, by its links."""
    answer = provider.ask(path, **params)
    while True:
        assert answer.status_code == 200
        (content,) = answer.json().values()
        yield content
        url = next_link(answer)
        if url is None:
            return
        assert url.startswith(f"{URL}{provider.path}/")
        answer = provider.http.get(url.removeprefix(URL), headers={"Authorization": f"Bearer {provider.token}"})


# ---------------------------------------------------------------- collections


@pytest.mark.parametrize("path", [V1, V2])
def test_each_collection_is_there_and_each_of_its_members(tmp_path: Path, path: str) -> None:
    provider = make_provider(tmp_path, path, TOLD)
    ids = {"schoolSourcedId": org_id(), "classSourcedId": class_id("1A")}
    owners = {
        "schools": org_id(),
        "terms": provider.ids("terms")[0],
        "courses": provider.ids("courses")[0],
        "classes": class_id("1A"),
        "students": user_id("anna"),
        "teachers": user_id("bo"),
        "users": user_id("anna"),
    }
    for collection in COLLECTIONS:
        where = collection.path.format(sourcedId=owners.get(collection.path.partition("/")[0]), **ids)
        answer = provider.ask(where)
        assert answer.status_code == 200, where
        assert list(answer.json()) == [collection.envelope]
        if collection.has_members:
            for one in answer.json()[collection.envelope]:
                single = provider.ask(f"{where}/{one['sourcedId']}")
                assert single.json() == {collection.kind: one}


def test_nested_collections_hold_what_belongs_there(provider: Provider) -> None:
    anna, bo, carl = map(user_id, ("anna", "bo", "carl"))
    expected = {
        f"schools/{org_id()}/classes": [class_id("1A")],
        f"schools/{org_id()}/students": [anna],
        f"schools/{org_id()}/teachers": [bo],
        f"schools/{org_id(OTHER)}/students": [carl],
        f"schools/{org_id(OTHER)}/teachers": [],
        f"schools/{org_id()}/enrollments": sorted([enrollment_id("anna", "1A"), enrollment_id("bo", "1A")]),
        f"schools/{org_id()}/classes/{class_id('1A')}/students": [anna],
        f"schools/{org_id()}/classes/{class_id('1A')}/teachers": [bo],
        f"classes/{class_id('1A')}/students": [anna],
        f"classes/{class_id('1A')}/teachers": [bo],
        f"students/{anna}/classes": [class_id("1A")],
        f"teachers/{bo}/classes": [class_id("1A")],
        f"users/{carl}/classes": [class_id("1B", OTHER)],
        "students": sorted([anna, carl]),
        "teachers": [bo],
        "gradingPeriods": [],
    }
    assert {path: provider.ids(path) for path in expected} == expected


@pytest.mark.parametrize(
    "path",
    [
        "users/nobody",
        "users/nobody/classes",
        f"students/{user_id('bo')}",
        f"students/{user_id('bo')}/classes",
        f"schools/{class_id('1A')}/students",
        f"schools/{org_id(OTHER)}/classes/{class_id('1A')}/students",
        "schools/nobody/classes/nobody/teachers",
        "pupils",
        "users/x/y/z",
    ],
)
def test_what_is_not_there_is_404(provider: Provider, old: Provider, path: str) -> None:
    new = provider.ask(path)
    assert (new.status_code, new.json()["imsx_CodeMinor"]) == (
        404,
        {
            "imsx_codeMinorField": [
                {"imsx_codeMinorFieldName": "TargetEndSystem", "imsx_codeMinorFieldValue": "unknownobject"}
            ]
        },
    )
    (told,) = old.ask(path).json()["statusInfoSet"]
    assert told["imsx_CodeMinor"] == "unknown object"


def test_a_district_is_an_org_and_no_school(provider: Provider) -> None:
    (district,) = provider.get("orgs", filter="type='district'")
    assert provider.ask(f"schools/{district['sourcedId']}").status_code == 404
    assert len(provider.get("schools")) == 2


@pytest.mark.parametrize(("path", "version"), [(V1, "v1p1"), (V2, "v1p2")])
def test_every_field_is_one_of_the_version(tmp_path: Path, path: str, version: Any) -> None:
    provider = make_provider(tmp_path, path, TOLD)
    known = shapes(version, "json")
    for collection in COLLECTIONS[:12]:
        for one in provider.get(collection.path):
            assert one.keys() <= known[collection.kind].keys()


def test_the_versions_differ_in_roles_and_booleans(provider: Provider, old: Provider) -> None:
    path = f"users/{user_id('bo')}"
    new, before = provider.get(path), old.get(path)
    assert (new["enabledUser"], before["enabledUser"]) == (True, "true")
    assert [(one["role"], one["roleType"], one["org"]["sourcedId"]) for one in new["roles"]] == [
        ("teacher", "primary", org_id()),
        ("principal", "primary", org_id(OTHER)),
    ]
    assert before["role"] == "teacher"
    assert [one["sourcedId"] for one in before["orgs"]] == [org_id(), org_id(OTHER)]
    assert before["orgs"][0]["href"] == f"{URL}{V1}/orgs/{org_id()}"


def test_a_principal_is_an_administrator_in_1_1(old: Provider) -> None:
    old.tell(user("dan", role("aide", "principal")))
    assert old.get(f"users/{user_id('dan')}")["role"] == "administrator"
    assert old.ids("users", filter="role='administrator'") == [user_id("dan")]


def test_who_is_pupil_and_staff_is_a_pupil_in_1_1_and_both_in_1_2(provider: Provider, old: Provider) -> None:
    for one in (provider, old):
        one.tell(user("eva", role("student", "student"), role("aide", "aide", number=OTHER)))
    path = f"users/{user_id('eva')}"
    assert old.get(path)["role"] == "student"
    assert [held["role"] for held in provider.get(path)["roles"]] == ["student", "aide"]


def test_booleans_can_be_set(tmp_path: Path) -> None:
    provider = make_provider(tmp_path, V1, TOLD, booleans="json")
    assert provider.get(f"users/{user_id('bo')}")["enabledUser"] is True


# ---------------------------------------------------------------- pages


def test_pages_make_the_whole_list(provider: Provider) -> None:
    got = list(pages(provider, "users", limit=1))
    assert [len(page) for page in got] == [1, 1, 1]
    assert [one["sourcedId"] for page in got for one in page] == provider.ids("users")


def test_links_keep_what_was_asked(provider: Provider) -> None:
    got = list(
        pages(provider, "users", limit=1, filter="familyName='Holm' AND status='active'", fields="sourcedId")
    )
    assert [list(one) for page in got for one in page] == [["sourcedId"]] * 3


def test_links_lead_back_and_to_the_ends(provider: Provider) -> None:
    links = provider.ask("users", limit=1, offset=1).links
    assert {name: "offset=" + link["url"].split("offset=")[1].split("&")[0] for name, link in links.items()} == {
        "next": "offset=2",
        "prev": "offset=0",
        "first": "offset=0",
        "last": "offset=2",
    }


def test_the_count_is_that_of_the_whole_list(provider: Provider) -> None:
    answer = provider.ask("users", limit=1, filter=f"roles.org.sourcedId='{org_id()}'")
    assert answer.headers["x-total-count"] == "2"
    assert provider.ask("users", offset=99).json() == {"users": []}


def test_who_comes_between_two_pages_shifts_nothing(provider: Provider) -> None:
    first = provider.ask("users", limit=2, filter="status='active'")
    seen = [one["sourcedId"] for one in first.json()["users"]]
    provider.tell(gone(member("anna", "1A")), *(gone(user(name)) for name in ("anna", "bo")))
    url = next_link(first)
    assert url is not None
    rest = provider.http.get(url.removeprefix(URL), headers={"Authorization": f"Bearer {provider.token}"})
    seen += [one["sourcedId"] for one in rest.json()["users"]]
    assert seen == sorted(map(user_id, ("anna", "bo", "carl")))


def test_a_later_page_tells_nothing_that_is_hidden_by_now(provider: Provider) -> None:
    first = provider.ask("users", limit=1)
    for name in ("anna", "bo", "carl"):
        provider.tell(user(name, givenName="Beskyttet", familyName="Navn", email=None))
    url = next_link(first)
    assert url is not None
    second = provider.http.get(url.removeprefix(URL), headers={"Authorization": f"Bearer {provider.token}"})
    assert second.json()["users"][0]["givenName"] == "Beskyttet"


def test_a_snapshot_that_nobody_knows_is_the_roster_of_now(provider: Provider) -> None:
    assert provider.ids("users", snapshot="7-1999010100") == provider.ids("users")


# ---------------------------------------------------------------- deletions


def test_what_is_deleted_is_told_for_a_while_and_then_no_more(provider: Provider) -> None:
    since = provider.get(f"users/{user_id('anna')}")["dateLastModified"]
    provider.wait(timedelta(days=1))
    provider.tell(gone(member("anna", "1A")), gone(user("anna")))
    (anna,) = provider.get("users", filter=f"dateLastModified>'{since}'")
    assert (anna["sourcedId"], anna["status"], anna["givenName"]) == (user_id("anna"), "tobedeleted", "")
    assert "email" not in anna
    assert provider.ids("students", filter="status='tobedeleted'") == [user_id("anna")]
    assert provider.ids(f"classes/{class_id('1A')}/students") == []
    assert provider.get(f"enrollments/{enrollment_id('anna', '1A')}")["status"] == "tobedeleted"
    provider.wait(timedelta(days=89))
    assert provider.ask(f"users/{user_id('anna')}").status_code == 200
    provider.wait(timedelta(days=3))
    assert provider.ask(f"users/{user_id('anna')}").status_code == 404


def test_who_sleeps_is_not_enabled(provider: Provider) -> None:
    provider.tell(user("anna", enabledUser=False))
    assert provider.ids("users", filter="enabledUser='false'") == [user_id("anna")]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("params", "minor"),
    [
        ({"filter": "nickname='x'"}, "invalid_filter_field"),
        ({"fields": "nickname"}, "invalid_selection_field"),
        ({"sort": "nickname"}, "invalid_sort_field"),
        ({"limit": "0"}, "invaliddata"),
    ],
)
def test_a_bad_query_is_told_in_the_words_of_the_version(
    provider: Provider, old: Provider, params: dict[str, str], minor: str
) -> None:
    new, before = provider.ask("users", **params), old.ask("users", **params)
    assert (new.status_code, before.status_code) == (400, 400)
    (field,) = new.json()["imsx_CodeMinor"]["imsx_codeMinorField"]
    assert field["imsx_codeMinorFieldValue"] == minor
    (told,) = before.json()["statusInfoSet"]
    assert told["imsx_CodeMinor"].replace(" ", "") == minor
    assert "nickname" not in new.text + before.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(provider: Provider, method: str) -> None:
    refused = provider.http.request(method, f"{V2}/users", headers={"Authorization": f"Bearer {provider.token}"})
    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET"


def test_no_answer_may_be_kept_by_a_cache(provider: Provider) -> None:
    assert provider.ask("users").headers["cache-control"] == "no-store"
    assert provider.fetch_token().headers["cache-control"] == "no-store"


def test_a_school_may_have_any_name(provider: Provider) -> None:
    name = "Æblehaven \u202e\x00\r\n<script>'\"&?#%/\U0001f3eb"
    provider.tell(school(SCHOOL, name=name))
    assert provider.get(f"orgs/{org_id()}")["name"] == name

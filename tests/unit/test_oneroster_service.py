"""What clients get: only with a proof, in the words of their version, page by page until the end."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from oauthlib.oauth1 import Client as Signer

from connectors.oneroster.collections import COLLECTIONS
from connectors.oneroster.shapes import shapes
from connectors.oneroster.tokens import scope
from tests.support.oneroster import (
    CORE,
    OTHER,
    SCHOOL,
    SECRET,
    TEACHER,
    URL,
    V1,
    V2,
    Provider,
    basic,
    class_id,
    enrollment_id,
    gone,
    group,
    make_provider,
    member,
    org_id,
    role,
    school,
    user,
    user_id,
)

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


# ---------------------------------------------------------------- tokens


def test_a_token_is_for_the_scopes_of_the_client(provider: Provider) -> None:
    told = provider.fetch_token().json()
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 3600)
    assert {*told["scope"].split()} >= {scope("v1p2", name) for name in CORE}


def test_a_token_is_for_no_more_than_was_asked(provider: Provider) -> None:
    asked = scope("v1p2", "roster-core.readonly")
    provider.token = provider.fetch_token(
        f"{asked} https://purl.imsglobal.org/spec/or/v1p2/scope/gradebook"
    ).json()["access_token"]
    assert provider.ask("users").status_code == 200
    assert provider.ask("demographics").status_code == 403
    provider.path = V1
    refused = provider.ask("users")
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]


def test_demographics_need_their_own_scope(provider: Provider) -> None:
    (one,) = provider.get("demographics")
    assert (one["sourcedId"], one["sex"]) == (user_id("anna"), "female")
    provider.token = provider.fetch_token(scope("v1p2", "roster.readonly")).json()["access_token"]
    assert provider.ask("demographics").status_code == 403
    assert provider.ask(f"demographics/{user_id('anna')}").status_code == 403


def test_a_client_gets_only_what_is_configured(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    client = {"client_id": "platform", "secret_file": secret, "versions": ("1.2",), "scopes": ("roster.readonly",)}
    provider = make_provider(tmp_path, told=TOLD, clients=(client,))
    assert provider.ask("users").status_code == 200
    assert provider.ask("demographics").status_code == 403
    assert provider.fetch_token(scope("v1p2", "roster-demographics.readonly")).json() == {"error": "invalid_scope"}
    provider.path = V1
    assert provider.ask("users").status_code == 403
    assert provider.ask("users", headers=signed(f"{URL}{V1}/users")).status_code == 401


@pytest.mark.parametrize(
    ("name", "secret"), [("platform", "x" * 40), ("nobody", SECRET), ("platform", ""), ("", ""), ("plåtform", "ø")]
)
def test_a_wrong_secret_gets_no_token(provider: Provider, name: str, secret: str) -> None:
    refused = provider.fetch_token(secret=secret, name=name)
    assert (refused.status_code, refused.json()) == (401, {"error": "invalid_client"})
    assert refused.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"scope": "x"}, "invalid_request"),
        ({"grant_type": "client_credentials", "scope": "x"}, "invalid_scope"),
        ({"grant_type": ["client_credentials", "client_credentials"]}, "invalid_request"),
    ],
)
def test_a_wrong_request_gets_no_token(provider: Provider, form: dict[str, Any], error: str) -> None:
    refused = provider.http.post("/token", data=form, headers={"Authorization": basic("platform", SECRET)})
    assert (refused.status_code, refused.json()) == (400, {"error": error})


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"\xff\xfe", b"grant_type=client_credentials"])
def test_a_body_that_is_no_form_gets_no_token(provider: Provider, body: bytes) -> None:
    for kind in ("application/json", "text/plain"):
        proof = {"Authorization": basic("platform", SECRET), "Content-Type": kind}
        refused = provider.http.post("/token", content=body, headers=proof)
        assert (refused.status_code, refused.json()) == (400, {"error": "invalid_request"})


def test_a_long_body_is_not_even_read(provider: Provider) -> None:
    proof = {"Authorization": basic("platform", SECRET), "Content-Type": "application/x-www-form-urlencoded"}
    assert provider.http.post("/token", content=b"x" * 9000, headers=proof).status_code == 413
    assert provider.http.post("/token", content=iter([b"x"]), headers=proof).status_code == 413


def test_a_secret_in_the_body_is_none(provider: Provider) -> None:
    form = {"grant_type": "client_credentials", "client_id": "platform", "client_secret": SECRET}
    assert provider.http.post("/token", data=form).status_code == 401


@pytest.mark.parametrize("path", [V1, V2])
def test_nobody_is_let_in_without_a_proof(tmp_path: Path, path: str) -> None:
    provider = make_provider(tmp_path, path, TOLD)
    forged = provider.token[:-2] + ("AA" if provider.token[-2:] != "AA" else "BB")
    wrong = [
        "",
        "Bearer",
        "Bearer x",
        "Bearer a.b.c",
        f"Bearer {forged}",
        f"Basic {provider.token}",
        "OAuth",
        "OAuth x",
    ]
    wrong += [f"Bearer {provider.token}x", basic("platform", SECRET), "Bearer " + "[" * 5000]
    for collection in COLLECTIONS:
        where = collection.path.format(sourcedId="x", schoolSourcedId="x", classSourcedId="x")
        for proof in wrong:
            refused = provider.ask(where, headers={"Authorization": proof} if proof else {})
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")


def test_a_token_ends(provider: Provider) -> None:
    provider.clock.at += timedelta(minutes=59)
    assert provider.ask("users").status_code == 200
    provider.clock.at += timedelta(minutes=1)
    assert provider.ask("users").status_code == 401


def test_a_token_outlives_a_restart_and_ends_with_its_secret(tmp_path: Path, provider: Provider) -> None:
    again = make_provider(tmp_path, told=TOLD, token=provider.token)
    assert again.ask("users").status_code == 200
    other = make_provider(tmp_path, told=TOLD, public_url="https://another.example", token=provider.token)
    assert other.ask("users").status_code == 401
    (tmp_path / "new").write_text("another secret, and longer than thirty-two characters")
    changed = {"client_id": "platform", "secret_file": tmp_path / "new"}
    later = make_provider(tmp_path, told=TOLD, clients=(changed,), token=provider.token)
    assert later.ask("users").status_code == 401


def test_the_claims_of_a_token_cannot_be_changed(provider: Provider) -> None:
    name, claims, seal = provider.fetch_token(scope("v1p2", "roster.readonly")).json()["access_token"].split(".")
    text = base64.urlsafe_b64decode(claims + "==").replace(b"roster.readonly", b"roster-demographics.readonly")
    provider.token = ".".join((name, base64.urlsafe_b64encode(text).decode().rstrip("="), seal))
    assert provider.ask("demographics").status_code == 401


# ---------------------------------------------------------------- signatures


def signed(url: str, secret: str = SECRET, method: str = "HMAC-SHA256", **options: Any) -> dict[str, str]:
    options = {"timestamp": str(int(PROVIDER_TIME)), **options}
    signer = Signer("platform", client_secret=secret, signature_method=method, **options)
    return dict(signer.sign(url)[1])


PROVIDER_TIME = 1795161600  # 2026-11-20 08:00 UTC


def test_a_signed_request_is_answered_once(old: Provider) -> None:
    proof = signed(f"{URL}{V1}/users?limit=2&filter=givenName%3D%27Anna%27")
    assert old.ask("users", headers=proof, limit=2, filter="givenName='Anna'").status_code == 200
    assert old.ask("users", headers=proof, limit=2, filter="givenName='Anna'").status_code == 401


@pytest.mark.parametrize(
    "proof",
    [
        signed(f"{URL}{V1}/users", secret="x" * 40),
        signed(f"{URL}{V1}/orgs"),
        signed(f"{URL}{V1}/users?limit=1"),
        signed(f"http://bro.example/oneroster{V1}/users"),
        signed(f"{URL}{V1}/users", method="HMAC-SHA1"),
        signed(f"{URL}{V1}/users", method="PLAINTEXT"),
        signed(f"{URL}{V1}/users", timestamp=str(PROVIDER_TIME - 301)),
        signed(f"{URL}{V1}/users", timestamp=str(PROVIDER_TIME + 301)),
        signed(f"{URL}{V1}/users", timestamp="9" * 5000),
        signed(f"{URL}{V1}/users", timestamp="soon"),
    ],
)
def test_a_wrong_signature_is_refused(old: Provider, proof: dict[str, str]) -> None:
    assert old.ask("users", headers=proof).status_code == 401


def test_sha1_is_taken_where_it_is_allowed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    client = {"client_id": "platform", "secret_file": secret, "versions": ("1.1",), "signatures": ("HMAC-SHA1",)}
    provider = make_provider(tmp_path, V1, TOLD, clients=(client,))
    assert provider.ask("users", headers=signed(f"{URL}{V1}/users", method="HMAC-SHA1")).status_code == 200
    assert provider.ask("users", headers=signed(f"{URL}{V1}/users")).status_code == 401


def test_a_signature_is_no_proof_in_1_2(provider: Provider) -> None:
    assert provider.ask("users", headers=signed(f"{URL}{V2}/users")).status_code == 403


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

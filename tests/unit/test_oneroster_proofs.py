"""Nobody is let in without a proof that is theirs, is good now, and reaches as far as what is asked for."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oauthlib.oauth1 import Client as Signer

from connectors.oneroster.collections import COLLECTIONS
from connectors.oneroster.tokens import scope
from tests.support.oneroster import (
    CORE,
    SECRET,
    TOLD,
    URL,
    V1,
    V2,
    Provider,
    basic,
    make_provider,
    user_id,
)


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return make_provider(tmp_path, told=TOLD)


@pytest.fixture
def old(tmp_path: Path) -> Provider:
    return make_provider(tmp_path, V1, TOLD)


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


@pytest.mark.parametrize("name", ["oauth_nonce", "oauth_timestamp", "oauth_consumer_key", "oauth_signature", "x"])
def test_a_parameter_that_is_there_twice_is_refused_whatever_it_says(old: Provider, name: str) -> None:
    proof = signed(f"{URL}{V1}/users")["Authorization"].replace("OAuth ", f'OAuth {name}="1", {name}="1", ')
    assert old.ask("users", headers={"Authorization": proof}).status_code == 401


@pytest.mark.parametrize(("length", "status"), [(255, 200), (256, 401), (50_000, 401)])
def test_a_nonce_has_a_length_that_can_be_remembered(old: Provider, length: int, status: int) -> None:
    proof = signed(f"{URL}{V1}/users", nonce="n" * length)
    assert old.ask("users", headers=proof).status_code == status


# ---------------------------------------------------------------- headers that are no proof at all


def answered(provider: Provider, path: str, proof: bytes, method: str = "GET") -> tuple[int, dict[str, Any]]:
    """The status and body of an answer to a header of any bytes, which no good client would send."""
    told: list[Any] = []
    given = iter([{"type": "http.request", "body": b""}])

    async def receive() -> Any:
        return next(given, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"authorization", proof)],
    }
    asyncio.run(provider.http.app(scope, receive, send))  # type: ignore[arg-type]  # an application
    body = b"".join(one.get("body", b"") for one in told[1:])
    return told[0]["status"], json.loads(body)


PARTS = (
    b'oauth_consumer_key="platform"',
    b'oauth_signature_method="HMAC-SHA256"',
    b'oauth_signature="x"',
    b'oauth_timestamp="1795161600"',
    b'oauth_nonce="n"',
)


@pytest.mark.parametrize(
    "proof",
    [
        b"OAuth " + b", ".join((*PARTS[:2], part, *PARTS[3:]))
        for part in (
            b'oauth_signature="%"',
            b'oauth_signature="%zz%e"',
            b'oauth_signature="%ff%fe"',
            b'oauth_signature="%ed%a0%80"',
            b'oauth_signature="\xff\xfe"',
            'oauth_signature="ø"'.encode(),
            b"oauth_signature",
            b"oauth_signature=",
            b'oauth_signature="',
            b"=",
            b",,,",
            b'oauth_signature="x", oauth_signature="y"',
            b'oauth_consumer_key="platform"',
            b'oauth_version="2.0"',
            b"realm=",
            b'oauth_signature="' + b"x" * 100_000 + b'"',
        )
    ]
    + [
        b"OAuth oauth_nonce=",
        b"OAuth =",
        b"OAuth " + b"," * 1000,
        b"OAuth " + b", ".join(PARTS[:3]) + b', oauth_timestamp="' + b"9" * 50_000 + b'", oauth_nonce="n"',
        b"OAuth " + b", ".join(PARTS[:4]) + b', oauth_nonce="' + b"n" * 50_000 + b'"',
        b'OAuth oauth_signature_method="' + "HMAC-ŠHA".encode() + b'"',
        b"Bearer \xff.\xfe.\xfd",
        b"Bearer " + b"." * 1000,
        b"Bearer =.=.=",
        b"Basic =",
        b"Basic \xff",
        b"Basic YQ",
        b"Basic " + base64.b64encode(b"\xff:\xfe"),
        b"Basic " + base64.b64encode(b"platform:%ff%zz"),
        b"Basic " + base64.b64encode(b"no colon"),
    ],
    ids=lambda proof: repr(proof[:12] + b"..." + proof[-12:]),
)
def test_a_header_that_is_broken_is_no_proof_and_no_failure(provider: Provider, proof: bytes) -> None:
    refuse_everywhere(provider, proof)


def refuse_everywhere(provider: Provider, proof: bytes) -> None:
    status, body = answered(provider, f"{V1}/users", proof)
    assert (status, body["statusInfoSet"][0]["imsx_CodeMinor"]) == (401, "unauthorized")
    status, body = answered(provider, f"{V2}/users", proof)
    (minor,) = body["imsx_CodeMinor"]["imsx_codeMinorField"]
    assert (status, minor["imsx_codeMinorFieldValue"]) == (401, "unauthorisedrequest")
    assert answered(provider, "/token", proof, "POST") == (401, {"error": "invalid_client"})


schemes = st.sampled_from([b"OAuth ", b"oauth ", b"Bearer ", b"Basic ", b""])
marks = (b"%", b"=", b",", b'"', b"\\", b"&", b"oauth_", b"realm=", b" ")
pieces = st.sampled_from([*PARTS, *marks]) | st.binary(max_size=6)
whole = st.lists(pieces, max_size=12).map(b"".join) | st.lists(pieces, max_size=12).map(b",".join)
coded = st.binary(max_size=20).map(base64.b64encode)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scheme=schemes, rest=whole | coded)
def test_no_bytes_of_a_header_are_a_failure(provider: Provider, scheme: bytes, rest: bytes) -> None:
    refuse_everywhere(provider, scheme + rest)


# ---------------------------------------------------------------- switched off


def test_who_has_no_proof_does_not_learn_whether_it_is_switched_on_and_nobody_looks(provider: Provider) -> None:
    asked: list[str] = []
    provider.is_open = lambda: bool(asked.append("asked"))
    for proof in ({}, {"Authorization": "Bearer x"}, {"Authorization": basic("platform", SECRET)}):
        assert provider.ask("users", headers=proof).status_code == 401
    assert provider.http.get("/nothing").status_code == 404
    assert provider.fetch_token(secret="x" * 40).status_code == 401
    assert asked == []


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize(
    "path", ["users", *(f"users/{user_id(name)}" for name in ("anna", "nobody")), "users?limit=x"]
)
def test_who_has_a_proof_is_told_nothing_of_the_roster_while_it_is_switched_off(
    tmp_path: Path, version: str, path: str
) -> None:
    provider = make_provider(tmp_path, version, TOLD)
    provider.is_open = lambda: False
    answer = provider.ask(path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "300")
    assert "server_busy" in answer.text
    assert "anna" not in answer.text.lower()


def test_whether_it_is_switched_on_is_read_in_a_thread_that_nobody_else_waits_for(provider: Provider) -> None:
    loops: list[object] = []

    def is_open() -> bool:
        loops.append(asyncio._get_running_loop())
        return True

    provider.is_open = is_open
    assert provider.ask("users").status_code == 200
    assert loops == [None]

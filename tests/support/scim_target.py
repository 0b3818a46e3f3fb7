"""The SCIM connector's target as the bridge makes it, and what it is told in tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.http import HttpEdge
from bridge.connector import Command, Delivered, Outcome, Services
from bridge.testing.conformance_target import Samples
from connectors.scim import ScimConfig, connector
from connectors.scim.target import ScimTarget

OURS = "0f0e7a2b-5d0c-5b8e-9a3c-6f1f0a4d6b11"


def make_target(url: str, token: str, folder: Path, **config: Any) -> Iterator[ScimTarget]:
    """The target as the composition root would make it; its connections end with the test."""
    edges: list[HttpEdge] = []

    def http(base_url: str, **options: Any) -> HttpEdge:
        edges.append(HttpEdge(base_url, sleep=lambda seconds: None, **options))
        return edges[-1]

    secret = folder / "token"
    secret.write_text(token)
    services = Services(
        "9999", None, http, lambda path: path.read_text(), lambda: pytest.fail("no clock"), Path.read_bytes
    )
    assert connector.target is not None
    config = {"discovery": "off", **config}  # what is asked is told by the test, and by it alone
    made = connector.target(ScimConfig(base_url=url, token_file=secret, **config), services)
    assert isinstance(made, ScimTarget)
    yield made
    for edge in edges:
        edge.close()


def user(identifier: str, name: str) -> dict[str, Any]:
    return {
        "externalId": identifier,
        "userName": f"{identifier[:8]}@skole",
        "name": {"givenName": name, "familyName": "Ærø"},
        "displayName": f"{name} Ærø",
        "active": True,
        "emails": [{"value": f"{name.lower()}@skole.example", "type": "work", "primary": True}],
    }


def group(identifier: str, name: str) -> dict[str, Any]:
    return {"externalId": identifier, "displayName": name}


def user_samples() -> Samples:
    return Samples.of("User", "person", {"user_id": "astr1234"}, {"user_id": "cars1234"}, user)


def apply(target: ScimTarget, command: Command) -> Outcome:
    (outcome,) = target.apply([command])
    return outcome


def after(outcome: Outcome, command: Command) -> Command:
    assert isinstance(outcome, Delivered)
    return replace(command, remote_id=outcome.remote_id, etag=outcome.etag)


def is_post(method: str, path: str) -> bool:
    return method == "POST"

"""Every code with which a target may be away is told with what to look at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.domain.errors import ContractBroken, TargetUnauthorised, TargetUnavailable
from bridge.observe import explained_target
from bridge.observe.target_reasons import TARGET_WORDS

ROOT = Path(__file__).parents[2]
_RAISED = re.compile(r"TargetUnavailable\(\"([a-z_]+)\"")
_OF_HTTP = re.compile(r"^(?:[A-Z_]+, )*[A-Z_]+ = (\"[a-z_]+\"(?:, \"[a-z_]+\")*)$", re.MULTILINE)
_OF_DELIVERY = {"connector_error", "many_deferred"}
"""What no check meets."""


def raised() -> set[str]:
    files = [*(ROOT / "connectors").rglob("*.py"), *(ROOT / "bridge" / "adapters").glob("*.py")]
    return {code for file in files for code in _RAISED.findall(file.read_text("utf-8"))} - _OF_DELIVERY


def of_http() -> set[str]:
    text = (ROOT / "bridge" / "adapters" / "http.py").read_text("utf-8")
    return {code for group in _OF_HTTP.findall(text) for code in re.findall(r"[a-z_]+", group)}


def test_every_code_has_words() -> None:
    assert {"connect_failed", "tls_failed", "timeout"} <= of_http()
    assert raised() and raised() | of_http() <= TARGET_WORDS.keys()


@pytest.mark.parametrize("word", ["address", "port", "firewall", "proxy"])
def test_who_cannot_connect_is_told_what_to_look_at(word: str) -> None:
    said = explained_target(TargetUnavailable("connect_failed"))
    assert word in said.lower() and said.endswith("(connect_failed)")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TargetUnavailable("status_503"), "it answered with HTTP status 503: the platform is down or busy"),
        (TargetUnavailable("status_418"), "it answered with HTTP status 418: ask the vendor"),
        (TargetUnavailable("strange"), "target unavailable: strange"),
        (TargetUnauthorised("renew the token"), "renew the token"),
        (ContractBroken("it redirects"), "it redirects"),
    ],
)
def test_a_status_is_told_and_what_says_itself_what_to_do_stays(error: Exception, said: str) -> None:
    assert explained_target(error).startswith(said)  # type: ignore[arg-type]  # a TargetError each

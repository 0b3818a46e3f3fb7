"""Whoever gets a request of ours can name the attempt that it belongs to, unless it is of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.connector import Command, Delivered, Target
from bridge.domain.tracing import TraceId, span_id, trace_id, traceparent
from bridge.testing.faulty_proxy import FaultyProxy
from bridge.testing.ims_receiver import ImsReceiver
from tests.integration.test_ims_es_target import PASSWORD, USER
from tests.integration.test_ims_es_target import make_target as make_ims_target
from tests.support import itslearning
from tests.support.scim import ScimServer
from tests.support.scim_target import make_target, user_samples

ONE, OTHER = trace_id("one run"), trace_id("another run")


def traced(commands: Sequence[Command], *traces: TraceId) -> list[Command]:
    """The commands, each an attempt of its own in one of these traces."""
    return [
        replace(one, traceparent=traceparent(trace, span_id(one.id)))
        for one, trace in zip(commands, traces, strict=True)
    ]


def users() -> list[Command]:
    samples = user_samples()
    return [samples.create, samples.other]


def headers(proxy: FaultyProxy, path: str) -> list[str | None]:
    """The header of each request below a path, in order."""
    seen = [one for one in proxy.requests if path in one.path]
    return [{name.lower(): value for name, value in one.headers.items()}.get("traceparent") for one in seen]


def bring(target: Target, commands: Sequence[Command]) -> None:
    assert all(isinstance(outcome, Delivered) for outcome in target.apply(commands))


def test_each_request_of_a_command_carries_its_attempt(
    proxy: FaultyProxy, server: ScimServer, tmp_path: Path
) -> None:
    for target in make_target(proxy.url, server.token, tmp_path, before_create="look_up"):
        commands = traced(users(), ONE, OTHER)
        bring(target, commands)
    first, second = (command.traceparent for command in commands)
    assert set(headers(proxy, "/Users")[:2]) == {first}
    assert headers(proxy, "/Users").count(second) == headers(proxy, "/Users").count(first) >= 2
    assert set(headers(proxy, "/Users")) == {first, second}


@pytest.mark.parametrize(("traces", "is_told"), [((ONE, ONE), True), ((ONE, OTHER), False)])
def test_a_bulk_carries_a_trace_only_where_all_in_it_is_of_that_one(
    proxy: FaultyProxy, server: ScimServer, tmp_path: Path, traces: tuple[TraceId, TraceId], is_told: bool
) -> None:
    options = {"bulk": "announced", "before_create": "post", "discovery": "required"}
    for target in make_target(proxy.url, server.token, tmp_path, **options):
        target.probe()
        commands = traced(users(), *traces)
        bring(target, commands)
    assert headers(proxy, "/Bulk") == [commands[0].traceparent if is_told else None]


@pytest.mark.parametrize(("traces", "is_told"), [((ONE, ONE), True), ((ONE, OTHER), False)])
def test_a_plural_call_carries_a_trace_only_where_all_in_it_is_of_that_one(
    tmp_path: Path, traces: tuple[TraceId, TraceId], is_told: bool
) -> None:
    with ImsReceiver(USER, PASSWORD) as ims, FaultyProxy(ims.url) as seen:
        for target in make_ims_target(seen.url, tmp_path):
            commands = traced([itslearning.person("anna"), itslearning.person("bo")], *traces)
            bring(target, commands)
        assert headers(seen, "/") == [commands[0].traceparent if is_told else None]


def test_a_command_without_a_trace_carries_none(proxy: FaultyProxy, server: ScimServer, tmp_path: Path) -> None:
    for target in make_target(proxy.url, server.token, tmp_path):
        bring(target, users())
    assert set(headers(proxy, "/Users")) == {None}

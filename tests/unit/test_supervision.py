"""A service manager hears that we are ready, that every loop comes round, and that we stop."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.adapters.service_manager import ServiceManager
from bridge.app.supervision import Supervised
from bridge.config.secrets import is_open
from bridge.domain.errors import ConfigError
from bridge.web.app import Health
from tests.support.service_manager import Manager

WELL, HUNG = Health(True), Health(False, ("loop deliver/0751/platform has not come round",))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "notify") as manager:
        yield manager


def test_a_message_is_one_datagram(manager: Manager) -> None:
    ServiceManager(manager.address).tell("READY=1", "STATUS=well")
    assert manager.hears() == "READY=1\nSTATUS=well"


def test_an_abstract_socket_is_found() -> None:
    with Manager(f"@skolebro-test-{os.getpid()}") as abstract:
        ServiceManager(abstract.address).tell("READY=1")
        assert abstract.hears() == "READY=1"


def test_that_nobody_listens_is_no_trouble(tmp_path: Path) -> None:
    ServiceManager(str(tmp_path / "nobody")).tell("READY=1")
    ServiceManager().tell("READY=1")


def test_a_hung_loop_gets_no_sign_of_life_and_is_told_once(manager: Manager, stream: io.StringIO) -> None:
    health = [WELL, HUNG, HUNG, WELL]
    link = Supervised(ServiceManager(manager.address), lambda: health.pop(0))
    for _ in range(4):
        link.beat()
    link.stopping()
    assert manager.hears_until(lambda word: word == "STOPPING=1") == ["WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]
    said = [line for line in stream.getvalue().splitlines() if "loop.hung" in line]
    assert len(said) == 1 and "deliver/0751/platform" in said[0]


def test_it_beats_again_and_again_from_the_moment_that_it_is_ready(manager: Manager) -> None:
    link = Supervised(ServiceManager(manager.address, timedelta(milliseconds=30)), lambda: WELL)
    link.ready()
    assert [manager.hears() for _ in range(4)] == ["READY=1", *["WATCHDOG=1"] * 3]
    link.stopping()
    assert manager.hears_until(lambda word: word == "STOPPING=1")[-1] == "STOPPING=1"


def test_without_a_watchdog_it_is_ready_and_says_no_more(manager: Manager) -> None:
    link = Supervised(ServiceManager(manager.address), lambda: WELL)
    link.ready()
    link.stopping()
    assert [manager.hears(), manager.hears()] == ["READY=1", "STOPPING=1"]


@pytest.mark.parametrize(
    ("variables", "patience"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, timedelta(seconds=3)),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, timedelta(seconds=3)),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_its_patience_stands_in_the_environment(variables: dict[str, str], patience: timedelta | None) -> None:
    assert ServiceManager.of({"NOTIFY_SOCKET": "/run/notify", **variables}).patience == patience


def test_a_socket_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="NOTIFY_SOCKET: vsock:2:1234 is no Unix socket"):
        ServiceManager.of({"NOTIFY_SOCKET": "vsock:2:1234"})


OURS, ROOT, SERVICE = 10001, 0, 10001


@pytest.mark.parametrize(
    ("mode", "owner", "reader", "others"),
    [
        (0o400, OURS, SERVICE, False),
        (0o440, OURS, SERVICE, True),
        (0o440, ROOT, SERVICE, False),  # a Secret of Kubernetes with fsGroup, a credential of systemd
        (0o460, ROOT, SERVICE, True),
        (0o444, ROOT, SERVICE, True),
        (0o440, ROOT, ROOT, True),
        (0o440, 4711, SERVICE, True),
        (0o600, ROOT, ROOT, False),
    ],
)
def test_a_secret_is_its_owners_or_handed_over_by_root(mode: int, owner: int, reader: int, others: bool) -> None:
    assert is_open(stat.S_IFREG | mode, owner, reader) is others

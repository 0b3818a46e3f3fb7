"""The real daemon under a service manager, and watched from elsewhere: ready, alive, stopping, and restarted."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from bridge.app import open_bridge
from bridge.app.supervision import supervised
from bridge.config import load_settings
from bridge.registry import Registry
from tests.support.daemon import Daemon
from tests.support.postgres import database
from tests.support.process import run
from tests.support.service_manager import Manager

_CONFIG = """\
state_folder: state
web: {listen: null}
log: {format: json}
municipalities:
  "0751":
    name: Eksempel Kommune
    institutions: all
    source: {connector: stil-folder, folder: incoming}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "incoming").mkdir()
    path = tmp_path / "skolebro.yaml"
    path.write_text(_CONFIG)
    return path


def test_the_daemon_says_when_it_is_ready_that_it_lives_and_that_it_stops(config: Path, tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager, Daemon(config) as daemon:
        daemon.start(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="300000")
        assert manager.hears() == "READY=1"
        assert daemon.logged("app.started"), "it is ready when its loops run, not before"
        assert [manager.hears() for _ in range(3)] == ["WATCHDOG=1"] * 3
        assert daemon.stop() == 0
        assert manager.hears_until(lambda word: word == "STOPPING=1")[-1] == "STOPPING=1"


def test_while_a_loop_hangs_there_is_no_sign_of_life(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = open_bridge(load_settings(config, Registry()))
    with Manager(tmp_path / "notify") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        link, now = supervised(bridge), bridge.clock.monotonic()
        bridge.pulse |= {"watch": now, "intake/0751": now - 121}
        link.beat()
        assert manager.hears_nothing()
        bridge.pulse["intake/0751"] = now
        link.beat()
        assert manager.hears() == "WATCHDOG=1"
    bridge.store.close()


def test_a_daemon_that_cannot_begin_is_never_ready(config: Path, tmp_path: Path) -> None:
    config.write_text(_CONFIG.replace("state_folder: state", "state_folder: no/where"))
    with Manager(tmp_path / "notify") as manager, Daemon(config) as daemon:
        daemon.start(NOTIFY_SOCKET=manager.address)
        assert daemon.wait_until_ended() == 2
        assert manager.hears_nothing()


def test_a_role_without_pages_answers_probes_at_an_address_of_its_own(config: Path) -> None:
    with database() as url:
        _put_database(config, url)
        with Daemon(config, "--role", "deliver", "--monitor", "127.0.0.1:0") as daemon:
            daemon.start().wait_until_started()
            site = f"http://127.0.0.1:{daemon.logged('monitor.started')[0]['port']}"
            for path in ("/health/live", "/health/ready", "/metrics"):
                assert requests.get(site + path, timeout=30).status_code == 200, path
            assert requests.get(site + "/", timeout=30).status_code == 404
            assert not daemon.logged("web.started")
            assert daemon.stop() == 0


@pytest.mark.parametrize("address", ["8601", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:8601"])
def test_an_address_that_is_none_is_refused_in_one_sentence(config: Path, address: str) -> None:
    told = run(["run", "--config", config, "--monitor", address], config.parent).ended(2)
    assert f"--monitor: {address!r} is no address" in told.stderr


def _put_database(config: Path, url: str) -> None:
    secret = config.with_name("database-url")
    secret.touch(mode=0o600)
    secret.write_text(url)
    config.write_text(config.read_text() + "database: {url_file: database-url}\n")

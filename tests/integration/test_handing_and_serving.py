"""A target that hands over and one that is fetched from, in a configured bridge as daemon and `sync` run it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from bridge.app import serve
from bridge.app.bridge import Bridge, open_bridge
from bridge.app.check import check
from bridge.cli import show
from bridge.config import load_settings
from bridge.connector import Capabilities, Connector, ConnectorConfig, DropConfig, Services
from bridge.domain.errors import ConfigError
from bridge.domain.ids import TargetId
from bridge.engine.audit import verify
from bridge.engine.breaker import switch_off
from bridge.ports import RETIRED
from bridge.registry import Registry
from tests.support.engine import PLATFORM
from tests.support.sftp import PASSWORD, SftpServer
from tests.support.shelf import FILE, RosterTarget, users
from tests.support.world import DATA

TOWN, PUBLIC = "101", "skolebro.kommune.example"
FILES, API = TargetId(f"{TOWN}/files"), TargetId(f"{TOWN}/api")


class NoDrop:
    """Nothing is ever left here."""

    names = read = delete = put = lambda *_: None


class ApiTarget:
    """Serves what is on its shelf, by resource, as JSON."""

    capabilities = Capabilities(references="canonical")

    def __init__(self, services: Services) -> None:
        self._roster = RosterTarget(services.shelf(), NoDrop())  # type: ignore[arg-type] - it is never used
        self.apply = self._roster.apply
        self.shelf = self._roster.shelf

    def probe(self) -> None: ...

    def application(self, is_open: Callable[[], bool]) -> Callable[..., Any]:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            name = scope["path"].removeprefix(scope["root_path"]).strip("/")
            status = 200 if await asyncio.to_thread(is_open) else 503
            body = json.dumps([dict(one.document) for one in self.shelf.all(name)]).encode()
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": body})

        return app


CONNECTORS = {
    "roster": Connector(
        "roster", DropConfig, target=lambda config, services: RosterTarget(services.shelf(), services.drop(config))
    ),
    "api": Connector("api", ConnectorConfig, target=lambda _, services: ApiTarget(services)),
}


@dataclass
class Town:
    """A configured municipality on disk; `settings` is changed before the bridge is opened."""

    folder: Path
    settings: dict[str, Any]

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def targets(self) -> dict[str, Any]:
        found: dict[str, Any] = self.settings["municipalities"][TOWN]["targets"]
        return found

    def arrive(self, *names: str, day: str = "day1") -> None:
        for name in names:
            shutil.copy(DATA / day / f"{name}.xml", self.folder / "in")

    def open(self) -> Bridge:
        path = self.folder / "skolebro.yaml"
        path.write_text(yaml.safe_dump(self.settings, sort_keys=False), encoding="utf-8")
        return open_bridge(load_settings(path, {**CONNECTORS, "stil-folder": Registry()["stil-folder"]}))


@pytest.fixture
def town(tmp_path: Path) -> Town:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    said_why = PLATFORM.replace("{from: ", "{purpose: tests, from: ")  # a configuration is refused without
    (tmp_path / "platform.yaml").write_text(said_why, encoding="utf-8")
    targets = {
        "files": {"connector": "roster", "drop_folder": "out", "mapping": "./platform.yaml"},
        "api": {"connector": "api", "mapping": "./platform.yaml"},
    }
    source = {"connector": "stil-folder", "folder": "in", "settle": "0s"}
    municipality = {"name": "By", "institutions": "all", "source": source, "targets": targets}
    web = {"listen": "127.0.0.1:0", "public_hosts": [PUBLIC]}
    return Town(tmp_path, {"state_folder": "state", "municipalities": {TOWN: municipality}, "web": web})


@pytest.fixture
def bridge(town: Town) -> Iterator[Bridge]:
    town.arrive("280555", "101002")
    bridge = town.open()
    with bridge.alone():
        yield bridge
    bridge.store.close()


def documents(bridge: Bridge, target: TargetId, collection: str) -> dict[str, Any]:
    with bridge.store.read() as reader:
        ids = reader.shelved_ids(target, collection, 0)
        return {one: found.document for one, found in reader.shelved(target, collection, ids).items()}


def audit(bridge: Bridge, kind: str) -> list[dict[str, Any]]:
    with bridge.store.read() as reader:
        records = [json.loads(row.record) for row in reader.audit_rows(0, 100_000)]
    return [one for one in records if one["kind"] == kind]


# ---------------------------------------------------------------- sync


def test_a_sync_leaves_the_file_and_the_next_one_leaves_it_alone(town: Town, bridge: Bridge) -> None:
    assert bridge.sync() == []
    content = (town.out / FILE).read_bytes()
    assert len(users(content)) > 10
    assert os.listdir(town.out) == [FILE]
    before = (town.out / FILE).stat().st_mtime_ns
    assert bridge.sync() == []
    assert (town.out / FILE).stat().st_mtime_ns == before
    (told,) = audit(bridge, "disclosure.handed_over")
    assert (told["target"], told["file"], told["counts"]["User"]) == (FILES, FILE, len(users(content)))
    with bridge.store.read() as reader:
        verdict = verify(reader)
    assert (verdict.ok, verdict.open_intents) == (True, 0)


def test_each_target_has_a_shelf_of_its_own(bridge: Bridge) -> None:
    bridge.sync()
    assert documents(bridge, FILES, "User") == documents(bridge, API, "User") != {}
    with bridge.store.write() as uow:
        assert uow.forget_shelf(FILES) > 0
    assert documents(bridge, FILES, "User") == {} != documents(bridge, API, "User")


def test_a_school_that_was_never_heard_is_named_until_it_is(town: Town) -> None:
    town.settings["municipalities"][TOWN]["institutions"] = ["280555", "101002"]
    town.arrive("280555")
    bridge = town.open()
    with bridge.alone():
        bridge.sync()
        assert os.listdir(town.out) == []
        sentence = f"Files for target {FILES} wait until 101002 has been read once"
        assert any(sentence in one for one in bridge.status().attention)
        town.arrive("101002")
        assert bridge.sync() == []
        assert os.listdir(town.out) == [FILE]
        assert not any("Files for" in one for one in bridge.status().attention)
    bridge.store.close()


def test_a_folder_that_is_gone_is_a_problem_of_the_sync_and_the_next_one_mends_it(
    town: Town, bridge: Bridge, capsys: pytest.CaptureFixture[str]
) -> None:
    town.out.rmdir()
    (problem,) = bridge.sync()
    assert problem.startswith(f"{FILES} could not be given its files (folder_missing)")
    show.synced(bridge.status(), [problem], json=False)
    assert "folder_missing" in capsys.readouterr().out
    town.out.mkdir()
    with bridge.store.write() as uow:  # the pause is over
        uow.put_target_state(replace(uow.target_state(FILES), paused_until=None))
    assert bridge.sync() == []
    assert os.listdir(town.out) == [FILE]


def test_an_sftp_server_gets_the_file_by_a_secret_of_the_configuration(town: Town) -> None:
    there = town.folder / "there"
    there.mkdir()
    with SftpServer(there) as server:
        (town.folder / "password").write_text(PASSWORD, encoding="utf-8")
        (town.folder / "password").chmod(0o600)
        server.known_hosts(town.folder / "known_hosts")
        town.targets["files"] = {
            "connector": "roster",
            "mapping": "./platform.yaml",
            "sftp_url": server.url,
            "sftp_known_hosts_file": "known_hosts",
            "sftp_password_file": "password",
        }
        town.arrive("280555")
        bridge = town.open()
        with bridge.alone():
            assert bridge.sync() == []
        assert f"deliver/{FILES}" in bridge.pulse, "a slow line is no loop that hangs"
        bridge.store.close()
    assert len(users((there / FILE).read_bytes())) > 5


# ---------------------------------------------------------------- the daemon


class Daemon:
    """The parts of the daemon, each step taken by hand."""

    def __init__(self, bridge: Bridge) -> None:
        bus, lanes = serve.bus(bridge), bridge.lanes()
        self.bridge = bridge
        found = serve.stages(bridge, bridge.teller, bus, lanes)
        self.stages = {one.name: one.step for of_role in found.values() for one in of_role}
        web = serve.web_server(bridge, bridge.teller, lanes)
        assert web is not None
        self.web = web

    def step(self, *names: str) -> None:
        for name in names:
            while self.stages[name]():
                pass

    def fetch(self, path: str, host: str = PUBLIC) -> requests.Response:
        return requests.get(self.web.url[:-1] + path, headers={"Host": host}, timeout=10)


@pytest.fixture
def daemon(bridge: Bridge) -> Iterator[Daemon]:
    daemon = Daemon(bridge)
    daemon.web.start()
    yield daemon
    daemon.web.stop()


def test_the_daemon_hands_over_only_after_a_pass_and_serves_what_is_kept(town: Town, daemon: Daemon) -> None:
    deliveries = (f"deliver/{FILES}", f"deliver/{API}")
    daemon.step(f"decide/{TOWN}", *deliveries)
    assert os.listdir(town.out) == []
    daemon.step(f"intake/{TOWN}", *deliveries)
    assert os.listdir(town.out) == [FILE]
    served = daemon.fetch("/targets/101/api/User").json()
    assert sorted(one["userName"] for one in served) == users((town.out / FILE).read_bytes())
    assert daemon.fetch("/status").status_code == 400
    assert daemon.fetch("/targets/101/files/").status_code == 404
    assert daemon.fetch("/status", "localhost").json()["targets"][0]["target"] == FILES


def test_a_file_waits_while_a_pass_is_under_way(town: Town, daemon: Daemon) -> None:
    daemon.step(f"intake/{TOWN}")
    daemon.bridge.in_pass.add(TOWN)
    daemon.step(f"deliver/{FILES}")
    assert os.listdir(town.out) == []
    daemon.bridge.in_pass.discard(TOWN)
    assert daemon.bridge.sync() == []
    assert os.listdir(town.out) == [FILE]


def test_what_is_served_is_told_whether_it_is_switched_on_and_whole(daemon: Daemon) -> None:
    assert daemon.fetch("/targets/101/api/User").status_code == 503, "it was told nothing yet"
    daemon.step(f"decide/{TOWN}", f"intake/{TOWN}", f"deliver/{API}")
    assert daemon.fetch("/targets/101/api/User").status_code == 200
    with daemon.bridge.store.write() as uow:
        switch_off(uow, API, RETIRED)
    assert daemon.fetch("/targets/101/api/User").status_code == 503


def test_check_and_status_say_where_a_target_is_served(daemon: Daemon) -> None:
    found = {one.name: one.text for one in check(daemon.bridge, is_offline=True)}
    assert found[f"target {API}"] == f"works; served at /targets/101/api/, for {PUBLIC}"
    assert found[f"target {FILES}"] == "works"
    status = daemon.bridge.status()
    assert f"{API} is served at /targets/101/api/" in status.notes
    assert [one.served_at for one in status.targets] == [None, "/targets/101/api/"]


def test_a_target_that_is_fetched_from_needs_an_address(town: Town) -> None:
    town.settings["web"] = {"listen": None}
    bridge = town.open()
    with pytest.raises(ConfigError, match=r"web\.listen: 101/api is fetched from"):
        serve.web_server(bridge, bridge.teller, bridge.lanes())
    with pytest.raises(ConfigError, match=r"web\.listen: 101/api is fetched from"):
        check(bridge, is_offline=True)
    del town.targets["api"]
    bridge.store.close()
    bridge = town.open()
    assert serve.web_server(bridge, bridge.teller, bridge.lanes()) is None
    bridge.store.close()


@pytest.mark.parametrize("name", ["a b", "..", "{x}", "a/b", "æ"])
def test_a_target_whose_name_cannot_stand_in_an_address_is_refused(town: Town, name: str) -> None:
    town.targets[name] = town.targets.pop("api")
    bridge = town.open()
    with pytest.raises(ConfigError, match="part of the address"):
        serve.web_server(bridge, bridge.teller, bridge.lanes())
    bridge.store.close()


@pytest.mark.parametrize("host", ["*", "*.kommune.example", "bro.example:443", "https://bro.example", "", "a b"])
def test_a_public_host_is_a_plain_name(town: Town, host: str) -> None:
    town.settings["web"]["public_hosts"] = [host]
    with pytest.raises(ConfigError, match=r"web\.public_hosts: .*no name of a server"):
        town.open()


def test_what_is_fetched_from_by_nobody_any_more_is_not_said_to_be(town: Town, daemon: Daemon) -> None:
    town.targets["api"] = {**town.targets["files"]}
    bridge = town.open()
    serve.web_server(bridge, bridge.teller, bridge.lanes())
    assert not any("served at" in one for one in bridge.status().notes)
    bridge.store.close()


# ---------------------------------------------------------------- another configuration


def started(town: Town) -> tuple[Bridge, Daemon]:
    """The daemon as it is after a start with the configuration as it is now."""
    bridge = town.open()
    with bridge.alone():
        pass
    daemon = Daemon(bridge)
    daemon.web.start()
    return bridge, daemon


def ended(bridge: Bridge, daemon: Daemon) -> None:
    daemon.web.stop()
    bridge.store.close()


def pass_of(daemon: Daemon) -> None:
    daemon.step(f"decide/{TOWN}", f"intake/{TOWN}", f"deliver/{FILES}", f"deliver/{API}")


def status_of(daemon: Daemon) -> int:
    return daemon.fetch("/targets/101/api/User").status_code


def test_a_school_that_is_configured_later_closes_what_is_served_until_it_has_been_read(town: Town) -> None:
    schools = town.settings["municipalities"][TOWN]
    schools["institutions"] = ["280555"]
    town.arrive("280555")
    bridge, daemon = started(town)
    pass_of(daemon)
    assert status_of(daemon) == 200
    ended(bridge, daemon)
    schools["institutions"] = ["280555", "101002"]
    bridge, daemon = started(town)
    assert status_of(daemon) == 503
    pass_of(daemon)
    assert status_of(daemon) == 503, "nobody has heard of the new school"
    ended(bridge, daemon)
    town.arrive("101002")
    bridge, daemon = started(town)
    pass_of(daemon)
    assert status_of(daemon) == 200
    ended(bridge, daemon)
    schools["institutions"] = ["280555"]
    bridge, daemon = started(town)
    assert status_of(daemon) == 200, "less is whole of what it was"
    ended(bridge, daemon)


def test_what_was_not_configured_for_a_while_is_closed_until_it_has_caught_up(town: Town) -> None:
    town.arrive("280555", "101002")
    bridge, daemon = started(town)
    pass_of(daemon)
    assert status_of(daemon) == 200
    ended(bridge, daemon)
    api = town.targets.pop("api")
    bridge = town.open()
    with bridge.alone():
        town.arrive("280555", day="day2")
        assert bridge.sync() == []
    bridge.store.close()
    town.targets["api"] = api
    bridge, daemon = started(town)
    assert status_of(daemon) == 503
    pass_of(daemon)
    assert status_of(daemon) == 200
    ended(bridge, daemon)

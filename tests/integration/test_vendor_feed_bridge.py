"""A configured bridge: from the export in a folder to the vendor at its web server, and nobody protected in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

import pytest
import requests
import yaml

from bridge.app.bridge import Bridge, open_bridge
from bridge.app.serve import web_server
from bridge.cli.vendors import vendors_list
from bridge.config import load_settings
from bridge.domain.ids import TargetId
from bridge.engine.deliver import deliver
from bridge.ports import REPLAYED
from bridge.registry import Registry
from bridge.testing.aula_receiver import AulaReceiver
from bridge.web.server import WebServer
from tests.support.world import DAYS

TOKEN = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2
SECRET = "whsec_" + "MTIz" * 10
HOME = "0751"
HOOK = TargetId("0751/hook")


@pytest.fixture
def receiver() -> Iterator[AulaReceiver]:
    with AulaReceiver(SECRET) as receiver:
        yield receiver


@pytest.fixture
def bridge(tmp_path: Path, receiver: AulaReceiver) -> Iterator[Bridge]:
    (tmp_path / "in").mkdir()
    for name, text in (("token", TOKEN), ("other", OTHER), ("secret", SECRET)):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(text)
    source = {"connector": "stil-folder", "folder": "in"}
    vendor = {"municipalities": [HOME], "mapping": "webhook/events", "token_file": "token"}
    hook = {"connector": "webhook", "url": receiver.events_url, "secret_file": "secret"}
    told = {
        "state_folder": "state",
        "web": {"listen": "127.0.0.1:0"},
        "municipalities": {
            HOME: {"name": "Prøveby", "institutions": "all", "source": source, "targets": {"hook": hook}}
        },
        "vendors": {
            "books": vendor | {"requests_per_minute": 10_000, "targets": [HOOK]},
            "films": vendor | {"token_file": "other"},
        },
    }
    path = tmp_path / "skolebro.yaml"
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    bridge = open_bridge(load_settings(path, Registry()))
    yield bridge
    bridge.store.close()


@pytest.fixture
def server(bridge: Bridge) -> Iterator[WebServer]:
    server = web_server(bridge, bridge.teller, [])
    assert server is not None
    server.start()
    yield server
    bridge.stopping.set()
    server.stop()


def day(bridge: Bridge, folder: Path) -> None:
    for file in folder.iterdir():
        copyfile(file, bridge.settings.path.parent / "in" / file.name)
    bridge.take_in(bridge.settings.municipalities[0], bridge.teller)


def test_a_vendor_follows_from_one_day_to_the_next(bridge: Bridge, server: WebServer) -> None:
    http = requests.Session()
    http.headers["Authorization"] = f"Bearer {TOKEN}"
    held: dict[str, object] = {}
    day(bridge, DAYS[0])
    after, cursor, pages = None, "", 0
    while True:
        answer = http.get(f"{server.url}v1/snapshot", params={"after": after, "limit": "1000"}, timeout=60)
        assert answer.status_code == 200, answer.text
        held |= {one["subject"]: one["object"] for one in answer.json()["entities"]}
        cursor, after, pages = answer.json()["cursor"], answer.headers.get("Skolebro-Cursor"), pages + 1
        if after is None:
            break
    assert pages > 2
    day(bridge, DAYS[1])
    while events := (answer := http.get(f"{server.url}v1/events?limit=1000&after={cursor}", timeout=60)).json():
        cursor = answer.headers["Skolebro-Cursor"]
        for event in events:
            held[event["subject"]] = event["data"]["object"]
            if event["type"].endswith(".deleted.v1"):
                del held[event["subject"]]
    with bridge.store.read() as reader:
        kept = reader.shelved_after(f"{HOME}/vendors/books", "journal", 0, 1_000_000)  # type: ignore[arg-type]
        fetched = [row for row in reader.audit_rows(0, 1_000_000) if "disclosure.fetched" in row.record]
    assert {one.id for one in kept if not one.is_gone} == set(held)
    assert len(fetched) >= pages


def test_the_answers_are_counted_under_the_vendors_name(bridge: Bridge, server: WebServer) -> None:
    assert requests.get(f"{server.url}v1/snapshot", timeout=30).status_code == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert requests.get(f"{server.url}v1/snapshot", headers=headers, timeout=30).json()["entities"] == []
    shown = bridge.metrics.exposition().decode()
    assert 'bridge_served_requests_total{code_class="2xx",target="vendors/books"} 1.0' in shown


def send(bridge: Bridge) -> None:
    (lane,) = bridge.lanes()
    with bridge.store.write() as uow:
        uow.wake(HOOK, REPLAYED, bridge.clock.now())  # nobody waits for the pace of a replay here
    while deliver(lane, bridge.teller):
        pass


def test_a_vendor_sees_what_its_webhook_was_sent_and_has_it_sent_again(
    bridge: Bridge, server: WebServer, receiver: AulaReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    http = requests.Session()
    http.headers["Authorization"] = f"Bearer {TOKEN}"
    day(bridge, DAYS[0])
    send(bridge)
    held = dict(receiver.objects)
    found: list[dict[str, object]] = []
    answer = http.get(f"{server.url}v1/deliveries?limit=1000", timeout=60)
    while answer.json():
        found += answer.json()
        answer = http.get(f"{server.url.rstrip('/')}{answer.links['next']['url']}", timeout=60)
    assert {one["subject"] for one in found} == set(held)
    assert {(one["outcome"], one["status"]) for one in found} == {("delivered", 200)}
    asked = {"target": HOOK, "since": "2000-01-01T00:00:00Z"}
    foreign = requests.post(
        f"{server.url}v1/replay", json=asked, headers={"Authorization": f"Bearer {OTHER}"}, timeout=60
    )
    assert foreign.status_code == 404
    done = http.post(f"{server.url}v1/replay", json=asked, timeout=60)
    assert (done.status_code, done.json()["entities"]) == (202, min(len(held), 5_000))
    capsys.readouterr()
    vendors_list(bridge.settings.path, json=True)
    listed = [target for one in json.loads(capsys.readouterr().out)["vendors"] for target in one["targets"]]
    (until,) = [target["replay_until"] for target in listed]
    assert until.startswith(done.json()["ends"][:16])
    before = len(receiver.received)
    send(bridge)
    assert len(receiver.received) - before == done.json()["entities"]
    assert (receiver.duplicates, receiver.stale) == (0, 0)
    assert receiver.objects == held
    assert (
        requests.get(f"{server.url}v1/deliveries", headers={"Authorization": f"Bearer {OTHER}"}, timeout=60).json()
        == []
    )

"""`skolebro vendors` says how each vendor stands and what it was told, and never a password."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from bridge.app import check
from bridge.app.bridge import Bridge, open_bridge
from bridge.app.vendors import vendor_renderings
from bridge.cli.vendors import vendors_list, vendors_log, vendors_rights
from bridge.config import load_settings
from bridge.domain.errors import ConfigError
from bridge.engine.vendor_feed import VendorFeed
from bridge.engine.vendor_feed_cursor import AtFeed
from bridge.registry import Registry
from tests.support.engine import Bench, pupil
from tests.unit.test_vendor_queues import settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configured bridge whose vendor has fetched once."""
    found = settings(tmp_path, "queue: true")
    bridge = open_bridge(found)
    fetch(bridge)
    bridge.store.close()
    return found.path


def fetch(bridge: Bridge) -> None:
    bench = Bench()
    bench.store = bridge.store
    bench.take(pupil("anna", given_name="Hemmelig"))
    vendor = bridge.settings.vendors[0]
    feed = VendorFeed(
        vendor.name,
        bridge.store,
        vendor_renderings(bridge, vendor),
        bridge.book(),
        bridge.settings.history.retention,
        bridge.clock.now,
    )
    feed.events(AtFeed(), 100)


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_each_vendor_is_told_with_its_channels_and_its_last_entry(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vendors_list(config, json=True)
    (one,) = told(capsys)["vendors"]
    assert (one["vendor"], one["municipalities"], one["queue"]) == ("books", ["101", "103"], "vendor.books")
    assert (one["last"]["kind"], one["last"]["what"], one["targets"]) == ("fetch", "events", [])
    vendors_list(config)
    assert "vendor.books" in capsys.readouterr().out


def test_a_check_reads_every_token_as_the_daemon_does(config: Path) -> None:
    bridge = open_bridge(load_settings(config, Registry()))
    found = {one.name: one for one in check(bridge, is_offline=True)}
    assert (found["vendors"].ok, found["vendors"].text) == (True, "the tokens of books can be read")
    (config.parent / "token").chmod(0o644)
    with pytest.raises(ConfigError, match=r"vendors\.books\.token_file.* others may read this secret"):
        check(bridge, is_offline=True)


def test_the_log_is_what_the_vendor_sees(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vendors_log("books", config, json=True)
    (entry,) = told(capsys)["entries"]
    assert (entry["kind"], entry["entities"]["person"]) == ("fetch", 1)
    vendors_log("books", config)
    shown = capsys.readouterr().out
    assert "fetched events of 101" in shown
    assert "emmelig" not in shown
    vendors_log("books", config, limit=1)
    assert capsys.readouterr().out.endswith("The last 1; there may be more: --since TIME or --limit.\n")
    vendors_log("books", config, since="2099-01-01")
    assert capsys.readouterr().out == "Nothing was disclosed to books since then.\n"


def test_a_vendor_that_there_is_not_is_a_mistake(config: Path) -> None:
    with pytest.raises(ConfigError, match="no vendor 'book'; there are books"):
        vendors_log("book", config)


def test_the_rights_are_lines_for_a_shell(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vendors_rights("books", config)
    assert capsys.readouterr().out.splitlines() == [
        "rabbitmqctl add_user vendor.books",
        r"rabbitmqctl set_permissions -p town/1 vendor.books '^$' '^$' '^vendor\.books$'",
    ]


def test_the_password_is_read_and_never_shown(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = config.parent / "password"
    secret.touch(mode=0o600)
    secret.write_text("correct horse battery\n")
    hashes = []
    for _ in range(2):
        vendors_rights("books", config, password_file=secret, json=True)
        text = capsys.readouterr().out
        assert "horse" not in text
        hashes.append(json.loads(text)["users"][0]["password_hash"])
    assert len(set(hashes)) == 2, "each has a salt of its own"
    vendors_rights("books", config, json=True)
    assert told(capsys)["users"][0]["password_hash"] == ""
    secret.chmod(stat.S_IRUSR | stat.S_IROTH)
    with pytest.raises(ConfigError, match="others may read this secret"):
        vendors_rights("books", config, password_file=secret, json=True)
    with pytest.raises(ConfigError, match="goes with --json"):
        vendors_rights("books", config, password_file=secret)

"""Only a target that can be read back is, as often as configured; and what that found is shown and told."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from bridge.app import open_bridge
from bridge.app.reconcile import name_of, reconcilers
from bridge.app.serve import bus, stages
from bridge.config import load_settings
from bridge.domain.entities import Kind
from bridge.domain.errors import ConfigError
from bridge.domain.ids import TargetId
from bridge.engine.reconcile import Report
from bridge.engine.status import read_status
from bridge.engine.tell import Teller
from bridge.observe import Metrics, configure_logging
from bridge.ports import Drift, TargetState
from bridge.registry import Registry
from bridge.testing.store_samples import identity_of
from tests.support.stores import new_store
from tests.support.world import webhook_secret

NOW = datetime(2026, 8, 11, tzinfo=UTC)
TARGET = TargetId("0751/platform")
CONFIG = """
state_folder: state
municipalities:
  "0751":
    name: Prøveby
    institutions: all
    source: {connector: stil-folder, folder: incoming}
    targets:
      platform: {connector: scim, base_url: "http://127.0.0.1:1"RECONCILE}
      aula:
        {connector: aula, mode: agreement, agreement: none, base_url: "http://127.0.0.1:1", secret_file: secret}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "incoming").mkdir()
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text(webhook_secret())
    return tmp_path


def write(folder: Path, section: str = "") -> Path:
    path = folder / "skolebro.yaml"
    path.write_text(CONFIG.replace("RECONCILE", f", reconcile: {section}" if section else ""), "utf-8")
    return path


@pytest.mark.parametrize(
    ("section", "every", "repair"),
    [
        ("", timedelta(hours=24), "report"),
        ("{every: 6h}", timedelta(hours=6), "report"),
        ("{every: null, repair: restore}", None, "restore"),
    ],
)
def test_a_target_that_can_be_read_back_is(
    folder: Path, section: str, every: timedelta | None, repair: str
) -> None:
    bridge = open_bridge(load_settings(write(folder, section), Registry()))
    (one,) = reconcilers(bridge)
    assert (name_of(one), one.every, one.policy) == (TARGET, every, repair)
    bridge.store.close()


def test_a_target_is_set_right_by_as_many_people_as_decide_in_its_municipality(folder: Path) -> None:
    path = write(folder)
    path.write_text(path.read_text("utf-8") + "    guard: {two_people: true, approval_lifetime: 6h}\n", "utf-8")
    bridge = open_bridge(load_settings(path, Registry()))
    (one,) = reconcilers(bridge)
    assert (one.lane.policy.people_needed, one.lane.policy.approval_lifetime) == (2, timedelta(hours=6))
    bridge.store.close()


@pytest.mark.parametrize("section", ["{every: 0s}", "{repair: delete}", "{each: 24h}", "daily"])
def test_what_cannot_be_meant_is_refused(folder: Path, section: str) -> None:
    with pytest.raises(ConfigError, match=r"targets\.platform\.reconcile"):
        load_settings(write(folder, section), Registry())


def test_the_daemon_has_a_loop_for_each_such_target_and_no_other(folder: Path) -> None:
    bridge = open_bridge(load_settings(write(folder), Registry()))
    found = stages(bridge, bridge.teller, bus(bridge), bridge.lanes())
    names = [stage.name for of_role in found.values() for stage in of_role]
    assert [name for name in names if name.startswith("reconcile/")] == [f"reconcile/{TARGET}"]
    bridge.store.close()


# ---------------------------------------------------------------- shown


def drift(user: str, state: str = "open") -> Drift:
    return Drift(TARGET, identity_of(user), Kind.PERSON, "changed", ("email",), 0, state, NOW)


def test_what_stays_otherwise_is_shown_and_counted() -> None:
    store, metrics = new_store(), Metrics("0")
    with store.write() as uow:
        uow.put_target_state(TargetState(TARGET, reconciled_at=NOW, drifted=3, foreign=7))
        uow.put_drift([drift("anna"), drift("bo"), drift("carl", "parked")])
    status = read_status(store, [TARGET], NOW)
    (row,) = status.targets
    assert (row.drifted, row.parked, row.foreign, row.reconciled_at) == (3, 1, 7, NOW)
    parked, otherwise = (sentence for sentence in status.attention if sentence.startswith(TARGET))
    assert "keeps changing 1 entity back" in parked
    assert "has 2 entities otherwise" in otherwise
    metrics.refresh(status)
    shown = metrics.exposition().decode()
    assert f'bridge_drift_entities{{target="{TARGET}"}} 3.0' in shown
    (line,) = (one for one in shown.splitlines() if one.startswith("bridge_last_reconcile_timestamp_seconds{"))
    assert float(line.split()[-1]) == NOW.timestamp()


def test_a_target_that_was_never_read_shows_no_number() -> None:
    metrics = Metrics("0")
    metrics.refresh(read_status(new_store(), [TARGET], NOW))
    assert "drift_entities{" not in metrics.exposition().decode()


# ---------------------------------------------------------------- told


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logging to a text, put back afterwards."""
    root, hooks = logging.getLogger(), (sys.excepthook, sys.unraisablehook)
    before = root.handlers, root.level
    out = io.StringIO()
    configure_logging("info", json=True, stream=out)
    yield out
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers, root.level = before
    sys.excepthook, sys.unraisablehook = hooks


def test_what_stays_is_told_once_and_again_when_its_number_changes(stream: io.StringIO) -> None:
    teller, state = Teller(Metrics("0"), lambda: NOW), TargetState(TARGET)
    for number, parked in ((2, 0), (2, 0), (2, 1), (3, 0), (0, 0)):
        rows = tuple(drift(f"user{n}") for n in range(number))
        teller.reconciled(state, Report(TARGET, NOW, 9, 0, rows, parked=parked))
        state = TargetState(TARGET, drifted=number)
    teller.unread(TARGET, "read_back_incomplete")
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line.get("count")) for line in told] == [
        ("target.drifted", 2),
        ("target.keeps", 1),
        ("target.drifted", 3),
        ("target.unread", None),
    ]

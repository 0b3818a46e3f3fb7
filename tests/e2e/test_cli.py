"""What a newcomer, a script and an operator may rely on when they type `skolebro`."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.exports import Export
from tests.support.process import Background, background, run, start
from tests.support.world import DAYS, World

SMALL = "280555.xml"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One school and no target."""
    return World(tmp_path / "world")


@pytest.fixture
def filled(world: World) -> World:
    """After one day of a small school, of which nothing is sent anywhere."""
    world.municipality["targets"] = {"aula": {"connector": "aula"}}
    world.write()
    world.drop_bytes(SMALL, Export.of(DAYS[0] / SMALL).cut(6).bytes())
    world.sync()
    return world


# ---------------------------------------------------------------- beginning


def test_a_newcomer_gets_from_init_to_a_synchronised_state(tmp_path: Path) -> None:
    told = start(["init"], tmp_path).ended(0).stdout
    assert "Wrote skolebro.yaml" in told
    assert [line.split(" -c ")[0].split() for line in told.splitlines() if line.startswith("  ")] == [
        ["skolebro", "check"],
        ["skolebro", "plan"],
        ["skolebro", "sync"],
    ]
    assert start(["check"], tmp_path).ended(0).stdout.startswith("ok   configuration")
    for file in DAYS[0].glob("*.xml"):
        (tmp_path / "incoming" / file.name).write_bytes(file.read_bytes())
    start(["plan"], tmp_path).ended(0)
    assert len(list((tmp_path / "incoming").glob("*.xml"))) == 3
    (row,) = start(["sync", "--json"], tmp_path).ended(0).json["municipalities"]
    assert (row["municipality"], row["persons"]) == ("0999", 2509)
    assert list((tmp_path / "incoming").glob("*.xml")) == []
    assert start(["status"], tmp_path).ended(0).stdout.startswith("All well.")


def test_a_mistake_ends_the_program_with_its_code_and_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "skolebro.yaml").write_text("speed: 3\n")
    ended = start(["check"], tmp_path).ended(2)
    assert (ended.stdout, ended.stderr.count("\n")) == ("", 1)
    assert ended.stderr.startswith("skolebro: skolebro.yaml")


def test_init_names_the_municipality_that_was_asked_for(tmp_path: Path) -> None:
    run(["init", "ny", "--municipality", "0751", "--name", 'Prøveby "Nord"'], tmp_path).ended(0)
    config = (tmp_path / "ny" / "skolebro.yaml").read_text("utf-8")
    assert '"0751":' in config
    run(["check", "-c", "ny/skolebro.yaml"], tmp_path).ended(0)


def test_init_never_writes_over_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "skolebro.yaml").write_text("mine")
    answer = run(["init"], tmp_path).ended(2)
    assert answer.stderr == "skolebro: skolebro.yaml is there already; it was left as it is\n"
    assert answer.stdout == ""
    assert (tmp_path / "skolebro.yaml").read_text() == "mine"
    assert not (tmp_path / "incoming").exists()


def test_init_into_a_place_that_is_no_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in run(["init", "file"], tmp_path).ended(2).stderr


def test_without_a_verb_the_verbs_are_shown(tmp_path: Path) -> None:
    answer = run([], tmp_path)
    assert answer.returncode in (0, 2)
    for verb in ("run", "sync", "preview", "plan", "status", "check", "init", "holds", "events", "audit"):
        assert re.search(rf"\b{verb}\b", answer.stdout + answer.stderr)


def test_help_documents_every_exit_code(tmp_path: Path) -> None:
    told = " ".join(run(["--help"], tmp_path).ended(0).stdout.split())
    for code, what in {
        0: "done",
        1: "finished, but something failed or is still to be sent; of `status`: something needs a person",
        2: "the configuration or the command is wrong",
        3: "state or source cannot be used now",
        4: "another skolebro works on this state",
        5: "the audit chain does not verify",
        130: "interrupted",
    }.items():
        assert f"{code} {what}" in told


# ---------------------------------------------------------------- for programs


READING = [
    ("plan",),
    ("status",),
    ("check",),
    ("events",),
    ("events", "--data"),
    ("holds", "list"),
    ("holds", "list", "--all"),
    ("deliveries", "list"),
    ("deliveries", "retry"),
    ("audit", "verify"),
    ("sync",),
]


@pytest.mark.parametrize("verb", READING, ids=" ".join)
def test_json_is_one_document_and_nothing_else_is_on_stdout(filled: World, verb: tuple[str, ...]) -> None:
    answer = filled.run(*verb, "--json").ended(0)
    assert isinstance(answer.json, dict | list)
    assert answer.stdout.count("\n") == 1
    for line in answer.stderr.splitlines():
        assert json.loads(line)["event"], "stderr holds log lines only"


def test_logs_go_to_stderr_so_that_stdout_stays_readable(world: World) -> None:
    world.drop_bytes(SMALL, Export.of(DAYS[0] / SMALL).cut(2).bytes())
    answer = world.run("sync", "--json").ended(0)
    assert answer.json["problems"] == []
    assert [json.loads(line)["event"] for line in answer.stderr.splitlines()] == ["snapshot.recorded"]


def test_events_can_be_read_page_by_page(filled: World) -> None:
    def page(after: int) -> Any:
        return filled.run("events", "--after", str(after), "--limit", "20", "--json").ended(0).json

    seen, after = [], 0
    while (found := page(after))["events"]:
        seen += [int(event["sequence"]) for event in found["events"]]
        assert after < found["next"] == seen[-1]
        after = found["next"]
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) == filled.rows("SELECT count(*) FROM events")[0][0] > 20


# ---------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("deliveries", "list", "--state", "lost"), "allowed are due, rejected, confirmed"),
        (("deliveries", "list", "--target", "0751/x"), "no target '0751/x'; there are 0751/aula"),
        (("events", "--municipality", "0101"), "there are 0751"),
        (("holds", "show", "1"), "there is no hold 1"),
        (("audit", "verify", "--expect", "nonsense"), "--expect"),
        (("audit", "verify", "--expect", "7"), "--expect"),
        (("audit", "verify", "--expect", "1:abc"), "--expect"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_command_ends_with_2(filled: World, words: tuple[str, ...], says: str) -> None:
    answer = filled.run(*words).ended(2)
    assert answer.stdout == ""
    assert says in answer.stderr


@pytest.mark.parametrize("words", [("nonsense",), ("sync", "--nonsense"), ("events", "--limit", "0")])
def test_an_unknown_verb_or_option_ends_with_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    run(words, tmp_path).ended(2)


def test_a_target_that_is_away_ends_a_sync_with_1(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    world.municipality["targets"] = {"platform": {"connector": "scim", "base_url": f"http://127.0.0.1:{port}"}}
    world.write()
    world.drop_bytes(SMALL, Export.of(DAYS[0] / SMALL).cut(2).bytes())
    told = world.sync(code=1)
    assert told["targets"][0]["due"] > 0
    assert world.run("check").ended(1).stdout.splitlines()[-1].startswith("FAIL target 0751/platform")
    world.run("check", "--offline").ended(0)


@pytest.mark.parametrize("damage", ["a folder", "no database", "short key"])
def test_a_state_that_cannot_be_used_ends_with_3(world: World, damage: str) -> None:
    state = world.root / "state"
    state.mkdir(0o700)
    match damage:
        case "a folder":
            (state / "skolebro.db").mkdir()
        case "no database":
            (state / "skolebro.db").write_bytes(b"this is no database at all" * 100)
        case "short key":
            (state / "subject.key").write_text("short")
    answer = world.run("status").ended(3)
    assert answer.stdout == ""
    assert answer.stderr.startswith("skolebro: ")
    assert answer.stderr.count("\n") == 1


# ---------------------------------------------------------------- the daemon


@contextmanager
def _running(world: World) -> Iterator[tuple[Background, str]]:
    """A daemon whose status page answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    world.settings["web"] = {"listen": f"127.0.0.1:{port}"}
    world.write()
    with background(["run", "--config", "skolebro.yaml"], world.root) as daemon, requests.Session() as session:
        session.trust_env = False

        def is_up() -> bool:
            try:
                return session.get(f"http://127.0.0.1:{port}/health/live", timeout=5).ok
            except requests.ConnectionError:
                return False

        daemon.until(is_up)
        yield daemon, f"http://127.0.0.1:{port}"


def test_only_one_works_on_a_state_while_all_may_look(filled: World) -> None:
    with _running(filled) as (daemon, _):
        for verb in ("sync", "run"):
            answer = filled.run(verb).ended(4)
            assert answer.stdout == ""
            assert answer.stderr.startswith(f"skolebro: another skolebro (process {daemon.process.pid}) works on ")
            assert answer.stderr.count("\n") == 1
        for looking in ("status", "plan", "holds list", "events", "deliveries list", "check", "audit verify"):
            filled.run(*looking.split()).ended(0)
        assert daemon.process.poll() is None
        daemon.signal(signal.SIGTERM)
        daemon.end().ended(0)
    filled.run("sync").ended(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_cleanly(filled: World, number: signal.Signals) -> None:
    with _running(filled) as (daemon, _):
        daemon.signal(number)
        ended = daemon.end().ended(0)
    events = [json.loads(line)["event"] for line in ended.stderr.splitlines()]
    assert events[-1] == "app.stopped"
    assert ended.stdout == ""


def test_the_daemon_takes_a_file_that_is_dropped_while_it_runs(filled: World) -> None:
    later = Export.of(DAYS[0] / SMALL).cut(6).later(days=1).renamed("Nyt navn")
    before = filled.rows("SELECT count(*) FROM events")[0][0]
    with _running(filled) as (daemon, url), requests.Session() as session:
        session.trust_env = False
        filled.drop_bytes(SMALL, later.bytes())
        daemon.until(lambda: filled.rows("SELECT count(*) FROM events")[0][0] > before)
        assert session.get(f"{url}/status", timeout=10).json()["municipalities"][0]["last_sequence"] > before
        daemon.signal(signal.SIGTERM)
        daemon.end().ended(0)


def test_a_decision_reaches_the_running_daemon(filled: World) -> None:
    small = Export.of(DAYS[0] / SMALL).cut(6).later(days=1).without_pupils(80)
    filled.drop_bytes(SMALL, small.bytes())
    filled.sync()
    (hold,) = filled.holds()
    with _running(filled) as (daemon, _):
        filled.run("holds", "approve", str(hold["id"])).ended(0)
        daemon.until(lambda: filled.rows("SELECT state FROM holds") == [("applied",)])
        daemon.signal(signal.SIGTERM)
        daemon.end().ended(0)


# ---------------------------------------------------------------- the audit


def test_a_link_that_was_edited_is_found(filled: World) -> None:
    filled.run("audit", "verify").ended(0)
    ((seq, record),) = filled.rows("SELECT seq, record FROM audit ORDER BY seq LIMIT 1")
    filled.edit("UPDATE audit SET record = ? WHERE seq = ?", record.replace('"changes":', '"change":'), seq)
    answer = filled.run("audit", "verify").ended(5)
    assert f"link {seq} was changed after it was written" in answer.stdout
    verdict = filled.run("audit", "verify", "--json").ended(5).json
    assert (verdict["ok"], verdict["size"]) == (False, seq - 1)


def test_a_tail_that_was_cut_off_is_found_by_a_head_noted_earlier(filled: World) -> None:
    filled.drop_bytes(SMALL, Export.of(DAYS[0] / SMALL).cut(6).later(days=1).renamed("Nyt navn").bytes())
    filled.sync()
    head = filled.run("audit", "verify", "--json").ended(0).json["head"]
    size = int(head.split(":")[0])
    filled.run("audit", "verify", "--expect", head).ended(0)
    filled.edit("DELETE FROM audit WHERE seq = ?", size)
    assert filled.run("audit", "verify", "--json").ended(0).json["size"] == size - 1  # it cannot know by itself
    answer = filled.run("audit", "verify", "--expect", head).ended(5)
    assert f"link {size} was noted: its tail was cut off" in answer.stdout


def test_a_chain_that_goes_on_still_holds_an_earlier_head(filled: World) -> None:
    head = filled.run("audit", "verify", "--json").ended(0).json["head"]
    filled.drop_bytes(SMALL, Export.of(DAYS[0] / SMALL).cut(6).later(days=1).renamed("Nyt navn").bytes())
    filled.sync()
    filled.run("audit", "verify", "--expect", head).ended(0)
    size, _, digest = head.partition(":")
    filled.run("audit", "verify", "--expect", f"{size}:{'0' * len(digest)}").ended(5)


def test_the_state_is_for_its_owner_only(filled: World) -> None:
    state = filled.root / "state"
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "subject.key").stat().st_mode & 0o777 == 0o600

"""Every mistake in the configuration ends in one sentence: the file, the key, what is allowed; and exit code 2."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.process import Result, run
from tests.support.world import DAYS, MUNICIPALITY, World

VERBS = ("check", "sync", "run")
AT = f"municipalities.{MUNICIPALITY}"
AGREED = {"mode": "agreement", "agreement": "none, a stand-in"}
PLATFORM = f"{AT}.targets.platform"
MAPPING = """\
mapping: our/school
purpose: A test
resources:
  User:
    entity: person
    fields:
      userName: {from: user_id, required: true}
"""
Spoil = Callable[[World], None]


@dataclass(frozen=True)
class Bad:
    """One mistake and what the sentence must hold; `at` is the file that it names."""

    spoil: Spoil
    says: tuple[str, ...]
    is_late: bool = False  # found when sources and targets are built, so each verb has a way of its own to it


def _put(path: str, value: Any) -> Spoil:
    """Set a value in the configuration; `path` is dotted below the top."""

    def spoil(world: World) -> None:
        *steps, last = path.split(".")
        section = world.settings
        for step in steps:
            section = section.setdefault(step, {})
        section[last] = value
        world.write()

    return spoil


def _drop(path: str) -> Spoil:
    def spoil(world: World) -> None:
        *steps, last = path.split(".")
        section = world.settings
        for step in steps:
            section = section[step]
        del section[last]
        world.write()

    return spoil


def _text(text: str | bytes) -> Spoil:
    def spoil(world: World) -> None:
        world.config.write_bytes(text if isinstance(text, bytes) else text.encode())

    return spoil


def _append(text: str) -> Spoil:
    def spoil(world: World) -> None:
        world.config.write_text(world.config.read_text() + text)

    return spoil


def _file(name: str, text: str, mode: int = 0o600) -> Spoil:
    """Leave the configuration as it is and write another file beside it."""

    def spoil(world: World) -> None:
        (world.root / name).write_text(text)
        (world.root / name).chmod(mode)

    return spoil


def _mapping(old: str, new: str) -> Spoil:
    def spoil(world: World) -> None:
        assert old in MAPPING
        (world.root / "ours.yaml").write_text(MAPPING.replace(old, new))
        _put(f"{PLATFORM}.mapping", "ours.yaml")(world)

    return spoil


def _both(*spoils: Spoil) -> Spoil:
    def spoil(world: World) -> None:
        for one in spoils:
            one(world)

    return spoil


def _url(url: str) -> Spoil:
    return _put(f"{PLATFORM}.base_url", url)


KEYS = "allowed are"
CASES: dict[str, Bad] = {
    # the file
    "no file": Bad(lambda world: world.config.unlink(), ("cannot be read", "skolebro init")),
    "a folder": Bad(lambda world: (world.config.unlink(), world.config.mkdir())[-1], ("cannot be read",)),
    "not UTF-8": Bad(_text(b"name: \xe6\n"), ("cannot be read", "not UTF-8")),
    "not YAML": Bad(_text("state_folder: [a\nmunicipalities: {}\n"), ("skolebro.yaml:2", "not readable as YAML")),
    "empty": Bad(_text(""), ("expected keys and values",)),
    "a list": Bad(_text("- state_folder\n"), ("expected keys and values",)),
    "a tag of Python": Bad(_text("!!python/object/apply:os.getcwd []\n"), ("not readable as YAML",)),
    "a control character": Bad(_text("state_folder: a\x07b\n"), ("not readable as YAML",)),
    "a key twice": Bad(
        _append("state_folder: elsewhere\n"), ("state_folder: this key stands twice",), is_late=True
    ),
    "a merge key": Bad(_append("<<: {log: {level: info}}\n"), ("<<", "unknown key")),
    # unknown keys, at every level
    "unknown at the top": Bad(_put("state_foldr", "x"), ("state_foldr", "did you mean 'state_folder'?", KEYS)),
    "unknown in web": Bad(_put("web.listn", "x"), ("web.listn", "did you mean 'listen'?", KEYS)),
    "unknown in log": Bad(_put("log.levl", "x"), ("log.levl", "did you mean 'level'?", "format")),
    "unknown in retry": Bad(_put("retry.bas", "1s"), ("retry.bas", "did you mean 'base'?", "ceiling")),
    "unknown in guard": Bad(
        _put(f"{AT}.guard.min_deletd", 3), (f"{AT}.guard.min_deletd", "did you mean 'min_deleted'?")
    ),
    "unknown in a municipality": Bad(
        _put(f"{AT}.intervall", "1h"), (f"{AT}.intervall", "did you mean 'interval'?", "institutions")
    ),
    "unknown in a source": Bad(
        _put(f"{AT}.source.foldr", "x"), (f"{AT}.source.foldr", "did you mean 'folder'?", "settle")
    ),
    "unknown in a target": Bad(
        _put(f"{PLATFORM}.base_ulr", "x"),
        (f"{PLATFORM}.base_ulr", "did you mean 'base_url'?", "token_file"),
        is_late=True,
    ),
    "unknown in broker": Bad(
        _put("broker", {"url_file": "token", "exchnge": "x"}), ("broker.exchnge", "did you mean 'exchange'?")
    ),
    "like no key at all": Bad(_put("zzz", 1), ("zzz: unknown key; allowed are", "state_folder")),
    # missing keys
    "no state folder": Bad(_drop("state_folder"), ("state_folder: missing",)),
    "no municipalities": Bad(_drop("municipalities"), ("municipalities: missing",)),
    "no municipality": Bad(_put("municipalities", {}), ("municipalities: ", "at least 1")),
    "no name": Bad(_drop(f"{AT}.name"), (f"{AT}.name: missing",)),
    "no source": Bad(_drop(f"{AT}.source"), (f"{AT}.source: missing",)),
    "no folder": Bad(_drop(f"{AT}.source.folder"), (f"{AT}.source.folder: missing",)),
    "no connector": Bad(
        _drop(f"{PLATFORM}.connector"), (f"{PLATFORM}.connector: missing; allowed are aula, ", " scim,")
    ),
    "no base_url": Bad(_drop(f"{PLATFORM}.base_url"), (f"{PLATFORM}.base_url: missing",)),
    "no url_file": Bad(_put("broker", {"exchange": "x"}), ("broker.url_file: missing",)),
    # wrong types
    "state folder is a number": Bad(_put("state_folder", 7), ("state_folder: ",)),
    "municipalities are a list": Bad(_put("municipalities", ["0751"]), ("municipalities: ", "dictionary")),
    "a municipality is a text": Bad(_put(AT, "Prøveby"), (f"{AT}: expected keys and values",)),
    "name is a number": Bad(_put(f"{AT}.name", 7), (f"{AT}.name: ", "string")),
    "interval and cron": Bad(
        lambda world: (_put(f"{AT}.interval", "1h")(world), _put(f"{AT}.cron", "30 5 * * 1-5")(world)),
        (f"{AT}: cron: ", "interval are both given"),
    ),
    "interval of nothing": Bad(_put(f"{AT}.interval", "0s"), (f"{AT}.interval: ", "greater than 0")),
    "interval below nothing": Bad(_put(f"{AT}.interval", -5), (f"{AT}.interval: ", "greater than 0")),
    "retry without a pause": Bad(_put("retry.base", "0s"), ("retry.base: ", "greater than 0")),
    "interval in words": Bad(_put(f"{AT}.interval", "soon"), (f"{AT}.interval: ", "such as 30s, 15m")),
    "institutions are a text": Bad(
        _put(f"{AT}.institutions", "101001"), (f"{AT}.institutions: ", '"all" or a list')
    ),
    "institutions are none": Bad(_put(f"{AT}.institutions", []), (f"{AT}.institutions: ", '"all" or a list')),
    "targets are a list": Bad(_put(f"{AT}.targets", ["scim"]), (f"{AT}.targets: ", "dictionary")),
    "a target is a text": Bad(_put(PLATFORM, "scim"), (f"{PLATFORM}.connector: missing",)),
    "percent is a text": Bad(
        _put(f"{AT}.guard.max_deleted_percent", "many"), (f"{AT}.guard.max_deleted_percent: ", "number")
    ),
    "percent above a hundred": Bad(
        _put(f"{AT}.guard.max_deleted_percent", 101), (f"{AT}.guard.max_deleted_percent: ", "100")
    ),
    "level is unknown": Bad(_put("log.level", "loud"), ("log.level: ", "'debug', 'info', 'warning' or 'error'")),
    "base_url is a number": Bad(_url(7), (f"{PLATFORM}.base_url: ", "string")),  # type: ignore[arg-type]
    "web is a text": Bad(_put("web", "127.0.0.1:8600"), ("web: expected keys and values",)),
    "listen without host": Bad(_put("web.listen", "8600"), ("web.listen: ",)),
    "listen on a word": Bad(_put("web.listen", "127.0.0.1:http"), ("web.listen: ",)),
    # connectors, mappings
    "unknown connector": Bad(
        _put(f"{PLATFORM}.connector", "skim"),
        (f"{PLATFORM}.connector: unknown connector 'skim'", "allowed are aula, ", " scim,"),
        is_late=True,
    ),
    "connector with a near name": Bad(_put(f"{PLATFORM}.connector", "scmi"), ("did you mean 'scim'?",)),
    "a source is no target": Bad(
        _put(f"{PLATFORM}.connector", "stil"), (f"{PLATFORM}.connector: 'stil' is not a target; allowed are",)
    ),
    "a target is no source": Bad(
        _put(f"{AT}.source.connector", "scim"), (f"{AT}.source.connector: 'scim' is not a source", "stil-folder")
    ),
    "unknown mapping": Bad(
        _put(f"{PLATFORM}.mapping", "scim/cor"),
        (f"{PLATFORM}.mapping: ", "aula/agreement, ", " scim/core, ", ".yaml"),
    ),
    "mapping file is missing": Bad(
        _put(f"{PLATFORM}.mapping", "ours.yaml"), (f"{PLATFORM}.mapping: ", "ours.yaml", "cannot be read")
    ),
    "mapping is not YAML": Bad(
        _mapping("mapping: our/school", "mapping: ["),
        (f"{PLATFORM}.mapping: ", "ours.yaml:", "not readable as YAML"),
    ),
    "mapping has an unknown key": Bad(
        _mapping("purpose: A test", "purpose: A test\nresorces: {}"),
        ("ours.yaml", "'resorces'", KEYS, "resources"),
    ),
    "mapping has an unknown verb": Bad(
        _mapping("required: true", "requird: true"),
        ("ours.yaml", "resources.User.fields.userName: unknown key 'requird'", KEYS, "required"),
    ),
    "mapping has an unknown entity": Bad(
        _mapping("entity: person", "entity: pupil"), ("resources.User.entity: expected one of", "affiliation")
    ),
    "mapping sends CPR without legal basis": Bad(
        _mapping("from: user_id", "from: civil_registration_number"),
        ("ours.yaml", "resources.User.fields.userName: expected a legal_basis", "CPR"),
    ),
    "mapping without purpose": Bad(_mapping("purpose: A test\n", ""), ("ours.yaml", "purpose: expected a text")),
    # secrets
    "secret file is missing": Bad(
        lambda world: (world.root / "token").unlink(), (f"{PLATFORM}.token_file: no file at", "token; allowed is")
    ),
    "secret file is a folder": Bad(
        _put(f"{PLATFORM}.token_file", "incoming"), (f"{PLATFORM}.token_file: no file at",)
    ),
    "secret is readable by the group": Bad(
        _file("token", "secret", 0o640),
        (f"{PLATFORM}.token_file: ", "token: others may read", "chmod 600"),
        is_late=True,
    ),
    "secret is readable by all": Bad(
        _file("token", "secret", 0o604), (f"{PLATFORM}.token_file: ", "token: others may read", "chmod 600")
    ),
    "secret is empty": Bad(
        _file("token", " \n"), (f"{PLATFORM}.token_file: ", "the secret file is empty"), is_late=True
    ),
    "no credentials were handed over": Bad(
        _put(f"{PLATFORM}.token_file", "credential:token"),
        (f"{PLATFORM}.token_file: ", "systemd credential"),
        is_late=True,
    ),
    "webhook secret is no such secret": Bad(
        _put(
            PLATFORM,
            {"connector": "aula", **AGREED, "base_url": "http://127.0.0.1:1", "secret_file": "token"},
        ),
        (f"{PLATFORM}.secret_file", "Standard Webhooks", "whsec_"),
        is_late=True,
    ),
    # folders
    "drop folder is missing": Bad(
        _put(f"{AT}.source.folder", "nowhere"), (f"{AT}.source.folder: no folder at", "nowhere; create it")
    ),
    "drop folder is a file": Bad(
        _put(f"{AT}.source.folder", "token"), (f"{AT}.source.folder: no folder at", "token; create it")
    ),
    "state folder below nothing": Bad(
        _put("state_folder", "no/where"), ("state_folder: ", "no is no folder; create it")
    ),
    "state folder below a file": Bad(
        _put("state_folder", "token/state"), ("state_folder: ", "token is no folder")
    ),
    "state folder is a file": Bad(_put("state_folder", "token"), ("state_folder: ", "token is a file; a folder")),
    # institutions, addresses
    "institution of somebody else": Bad(
        _both(_put(f"{AT}.institutions", ["101001"]), _put(f"{PLATFORM}.institutions", ["280555"])),
        (f"{PLATFORM}.institutions: 280555 is not among the institutions of municipality {MUNICIPALITY}",),
    ),
    "base_url is nonsense": Bad(_url("platform"), (f"{PLATFORM}.base_url must be https://",), is_late=True),
    "base_url with a bad port": Bad(_url("https://h:port/"), (f"{PLATFORM}.base_url must be https://",)),
    "base_url with a password": Bad(
        _url("https://ib:hemmeligt@platform.example/scim"),
        (f"{PLATFORM}.base_url must not hold a user name",),
        is_late=True,
    ),
    "base_url without TLS": Bad(
        _url("http://platform.example/scim"),
        (f"{PLATFORM}.base_url must begin with https://", "loopback"),
        is_late=True,
    ),
    "base_url of another scheme": Bad(
        _url("ftp://platform.example/scim"), (f"{PLATFORM}.base_url must begin with https://",)
    ),
    "base_url with a query": Bad(_url("https://platform.example/?a=b"), (f"{PLATFORM}.base_url must end with",)),
    "a STIL address without TLS": Bad(
        _put(f"{AT}.source", {"connector": "stil", "base_url": "http://stil.example", "udbydersystem_id": "x"}),
        (f"{AT}.source", "base_url"),
        is_late=True,
    ),
    "an agreement without address": Bad(
        _put(PLATFORM, {"connector": "aula", "mode": "agreement", "secret_file": "token"}),
        (PLATFORM, "mode agreement needs agreement, base_url"),
        is_late=True,
    ),
    "an agreement without certificate": Bad(
        _put(PLATFORM, {"connector": "aula", **AGREED, "base_url": "https://127.0.0.1:1", "secret_file": "token"}),
        (PLATFORM, "mode agreement needs client_certificate_file, client_key_file"),
        is_late=True,
    ),
    "a certificate without key": Bad(
        _put(f"{PLATFORM}.client_certificate_file", "token"),
        (PLATFORM, "client_certificate_file", "belong together"),
    ),
    "a ca_file without certificates": Bad(
        _put(f"{PLATFORM}.ca_file", "token"),
        (PLATFORM, "token holds no certificate authorities in PEM form"),
        is_late=True,
    ),
    "listen for everybody": Bad(
        _put("web.listen", "0.0.0.0:8600"), ("web.listen: 0.0.0.0", "127.0.0.1"), is_late=True
    ),
    "listen on a port beyond": Bad(_put("web.listen", "127.0.0.1:65536"), ("web.listen: ", "65535")),
}


def _world(root: Path) -> World:
    """A configuration without a mistake, with an export that waits."""
    world = World(root)
    world.secret("token", "secret")
    world.municipality["targets"] = {
        "platform": {"connector": "scim", "base_url": "http://127.0.0.1:1/v2", "token_file": "token"}
    }
    world.write()
    world.drop(DAYS[0] / "280555.xml")
    return world


def _say(world: World, verb: str) -> Result:
    return run([verb, "--config", "skolebro.yaml"], world.root, timeout=30)


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_sentence_with_its_place(name: str, tmp_path: Path) -> None:
    """Reading the file is the same for every verb, so the verbs take turns there."""
    bad, number = CASES[name], list(CASES).index(name)
    verbs = VERBS if bad.is_late else VERBS[number % 3 :][:1]
    worlds = {verb: _world(tmp_path / verb) for verb in verbs}
    for world in worlds.values():
        bad.spoil(world)
    for verb in verbs:
        _is_one_sentence(_say(worlds[verb], verb), bad.says)
        assert (worlds[verb].incoming / "280555.xml").exists(), (
            "something was taken in before the mistake was told"
        )


def _is_one_sentence(result: Result, says: tuple[str, ...]) -> None:
    result.ended(2)
    assert result.stdout == ""
    assert result.stderr.startswith("skolebro: skolebro.yaml"), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.endswith("\n")
    for text in says:
        assert text in result.stderr, result.stderr
    assert "hemmeligt" not in result.stderr


# ---------------------------------------------------------------- what only `run` can know


@contextmanager
def _taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_a_port_that_is_taken_stops_the_daemon_before_it_does_anything(tmp_path: Path) -> None:
    world = _world(tmp_path / "world")
    with _taken_port() as port:
        _put("web.listen", f"127.0.0.1:{port}")(world)
        result = _say(world, "run")
        _is_one_sentence(result, (f"web.listen: port {port} on 127.0.0.1 is taken", "choose another"))
        assert (world.incoming / "280555.xml").exists()
        world.run("check", "--offline").ended(0)  # a running daemon has its port, so this is no mistake
    assert world.rows("SELECT * FROM runs") == []


# ---------------------------------------------------------------- what looks like a mistake and is none


@pytest.mark.parametrize("code", ["0751", "0101", "010", "08", '"0751"', "0999"])
def test_a_municipality_code_means_what_it_says(tmp_path: Path, code: str) -> None:
    world = World(tmp_path / "world")
    text = yaml.safe_dump(world.settings, allow_unicode=True)
    assert f"'{MUNICIPALITY}'" in text
    world.config.write_text(text.replace(f"'{MUNICIPALITY}'", code))
    world.drop(DAYS[0] / "280555.xml")
    (row,) = world.sync()["municipalities"]
    assert row["municipality"] == code.strip('"')


@pytest.mark.parametrize("numbers", ["[280555]", '["280555"]', "\n      - 280555"])
def test_institution_numbers_may_stand_without_quotes(tmp_path: Path, numbers: str) -> None:
    world = World(tmp_path / "world", institutions="LIST")
    world.config.write_text(world.config.read_text().replace("LIST", numbers))
    world.drop(DAYS[0] / "280555.xml")
    assert world.sync()["institutions"][0]["result"] == "recorded"


def test_an_institution_number_that_looks_octal_is_kept_as_it_is_written(tmp_path: Path) -> None:
    world = World(tmp_path / "world", institutions="LIST")
    world.config.write_text(world.config.read_text().replace("LIST", "[012345]"))
    content = (DAYS[0] / "280555.xml").read_bytes().replace(b"Number>280555<", b"Number>012345<")
    world.drop_bytes("012345.xml", content)
    (row,) = world.sync()["institutions"]
    assert (row["institution"], row["result"]) == ("012345", "recorded")


def test_an_aula_that_only_observes_needs_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "world", targets={"aula": {"connector": "aula"}})
    world.run("check").ended(0)


def test_a_credential_of_systemd_is_a_secret_file_too(tmp_path: Path) -> None:
    world = _world(tmp_path / "world")
    _put(f"{PLATFORM}.token_file", "credential:token")(world)
    run(["check", "--offline"], world.root, CREDENTIALS_DIRECTORY=str(world.root)).ended(0)

"""A package from outside adds a platform: installed, configured, synced, and no file of ours is touched for it."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.connector import Document, Reported, Reports
from bridge.testing.loopback import LoopbackServer, Request, Response
from tests.support.environment import environment
from tests.support.world import DAYS, MUNICIPALITY, World

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests" / "example_connector"
HOW_TO = ROOT / "docs" / "how-to" / "write-a-connector.md"
TOKEN = "klasselog-token-of-a-test"


class Klasselog(LoopbackServer):
    """The made-up platform; `logins` is what each pupil logs in with."""

    def __init__(self) -> None:
        super().__init__()
        self.pupils: dict[str, dict[str, Any]] = {}

    def answer(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Response(401)
        identifier = request.path.removeprefix("/pupils/")
        match request.method:
            case "PUT":
                self.pupils[identifier] = json.loads(request.body)
            case "DELETE":
                self.pupils.pop(identifier, None)
            case "GET":
                listed = [{"id": key, **pupil} for key, pupil in self.pupils.items()]
                return Response(200, json.dumps({"pupils": listed}).encode())
        return Response(204)


@pytest.fixture
def klasselog() -> Iterator[Klasselog]:
    with Klasselog() as server:
        yield server


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package, from a copy, without asking any index."""
    folder = tmp_path_factory.mktemp("third")
    shutil.copytree(
        PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    )
    options = ("--quiet", "--no-index", "--no-build-isolation", "--no-deps", "--disable-pip-version-check")
    _python("-m", "pip", "install", *options, "--target", folder / "site", folder / "source", cwd=folder)
    return folder / "site"


def _python(*args: str | Path, cwd: Path, path: Path | None = None, code: int = 0) -> str:
    known = {**environment(), **({"PYTHONPATH": os.pathsep.join(map(str, (path, ROOT)))} if path else {})}
    done = subprocess.run([sys.executable, *map(str, args)], cwd=cwd, env=known, capture_output=True, text=True)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_it_is_configured_by_name_and_kept_up_to_date(
    installed: Path, klasselog: Klasselog, tmp_path: Path
) -> None:
    token = tmp_path / "world" / "token"
    target = {"connector": "klasselog", "base_url": klasselog.url, "token_file": "token"}
    world = World(tmp_path / "world", targets={"klasselog": target})
    token.write_text(TOKEN)
    token.chmod(0o600)
    world.drop(DAYS[0] / "280555.xml")
    skolebro = ("-m", "bridge.cli")
    where = {"cwd": world.root, "path": installed}
    assert "klasselog" in _python(*skolebro, "check", **where)
    told = json.loads(_python(*skolebro, "sync", "--json", **where))
    assert told["problems"] == []
    pupils = {
        row[0]
        for row in world.rows(
            "SELECT DISTINCT json_extract(body, '$.user_id') FROM entities "
            "WHERE kind = 'affiliation' AND body IS NOT NULL AND json_extract(body, '$.role') = 'student'"
        )
    }
    assert {pupil["login"] for pupil in klasselog.pupils.values()} == pupils
    assert all(pupil.keys() == {"login", "name"} for pupil in klasselog.pupils.values())
    assert f"## {MUNICIPALITY}/klasselog" in _python(*skolebro, "disclosures", **where)
    some = next(iter(klasselog.pupils))
    del klasselog.pupils[some]
    (reading,) = json.loads(_python(*skolebro, "reconcile", "--json", **where, code=1))["targets"]
    assert [(one["what"], one["id"]) for one in reading["drift"]] == [("missing", some)]


def test_its_preset_is_shown_extended_and_configured_by_its_name(installed: Path, tmp_path: Path) -> None:
    target = {"connector": "klasselog", "base_url": "http://127.0.0.1:1", "token_file": "token"}
    world = World(tmp_path / "world", targets={"klasselog": target | {"mapping": "own.yaml"}})
    world.secret("token", TOKEN)
    (world.root / "own.yaml").write_text(
        "extends: klasselog/pupils\nmapping: own\nresources: {Pupil: {fields: {name: null}}}\n"
    )
    run = ("-m", "bridge.cli", "mapping")
    where = {"cwd": world.root, "path": installed}
    shown = json.loads(_python(*run, "show", "klasselog/pupils", "--json", **where))
    assert (shown["name"], [one["field"] for one in shown["fields"]]) == ("klasselog/pupils", ["login", "name"])
    assert [
        one["field"] for one in json.loads(_python(*run, "show", "own.yaml", "--json", **where))["fields"]
    ] == ["login"]
    listed = json.loads(_python(*run, "list", "--json", **where))["mappings"]
    assert {one["name"]: one["used_by"] for one in listed}.items() >= {
        "klasselog/pupils": [],
        "own": [f"{MUNICIPALITY}/klasselog"],
    }.items()
    target["mapping"] = "klasselog/pupils"
    world.municipality["targets"]["klasselog"] = target
    world.write()
    _python("-m", "bridge.cli", "check", "--offline", **where)


def test_its_own_conformance_suite_passes(installed: Path, tmp_path: Path) -> None:
    suite = tmp_path / "test_conformance.py"
    shutil.copy(PACKAGE / "tests" / "test_conformance.py", suite)
    said = _python("-m", "pytest", "-q", "-p", "no:cacheprovider", suite, cwd=tmp_path, path=installed)
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) >= 18


def test_the_how_to_shows_a_report_that_is_one(tmp_path: Path) -> None:
    (shown,) = re.findall(r"(    report_codes = .*?)\n\n`report`", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    imports = "from collections.abc import Iterable, Iterator\nfrom bridge.connector import Document, Reported\n"
    (tmp_path / "made.py").write_text(f"{imports}class Made:\n{shown}\n", encoding="utf-8")
    made = runpy.run_path(str(tmp_path / "made.py"))["Made"]()
    assert isinstance(made, Reports)
    names = ("1A", "1A and more")
    classes = [Document("Class", {"school": "101001", "id": name, "name": name}) for name in names]
    (found,) = made.report([*classes, Document("Pupil", {})])
    assert found == Reported("101001", "long_name", "101001/1A and more")


def test_nothing_of_ours_knows_it(installed: Path) -> None:
    ours = [*ROOT.glob("bridge/**/*"), *ROOT.glob("connectors/**/*"), *ROOT.glob("mappings/**/*")]
    texts = [file.read_text(encoding="utf-8") for file in ours if file.suffix in (".py", ".yaml", ".html", ".md")]
    assert texts
    assert not [text for text in texts if "klasselog" in text.lower()]


@pytest.mark.parametrize(
    "name",
    [
        "pyproject.toml",
        "klasselog/__init__.py",
        "klasselog/pupils.yaml",
        "klasselog/target.py",
        "tests/test_conformance.py",
    ],
)
def test_the_how_to_shows_the_package_as_it_is(name: str) -> None:
    shown = re.findall(r"`([\w./]+)`:\n\n```\w+\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    assert dict(shown)[name] == (PACKAGE / name).read_text(encoding="utf-8")

"""Two days of three schools go from the source's files through the engine and each preset into the files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bridge.connector import Connector
from bridge.engine.guard import GuardPolicy
from bridge.mapping import load_mapping
from connectors import ims_enterprise, oneroster, sds
from connectors.stil import FolderConfig, folder
from tests.support.engine import TOWN, Bench
from tests.support.files import FileDesk, services, tables, unzip
from tests.support.world import DAYS

TRUTH = json.loads((DAYS[0].parent / "truth.json").read_text(encoding="utf-8"))
CONNECTORS = [oneroster.csv_connector, sds.connector, ims_enterprise.connector]


class Municipality:
    """The bridge in the middle, with a source of files and a target that leaves them."""

    def __init__(self, connector: Connector, work: Path) -> None:
        assert connector.default_mapping is not None
        self.desk = FileDesk(connector, {"max_lost_percent": 100}, municipality=TOWN)
        policy = GuardPolicy(max_deleted_percent=100.0, deletion_grace=timedelta(0))
        self.bench = Bench(mapping=load_mapping(connector.default_mapping), policy=policy)
        self.bench.target = self.desk.target
        self.bench.leaving = replace(self.bench.leaving, retention=timedelta(0))
        self.incoming = work / "incoming"

    def pass_a_day(self, day: Path) -> Mapping[str, int]:
        assert folder.source is not None
        self.desk.clock.at += timedelta(days=1)
        self.bench.clock.at = self.desk.clock.at
        shutil.copytree(day, self.incoming)  # what is taken is moved
        given = services(self.desk.clock, self.desk.shelf, self.desk.drop)
        self.bench.source = folder.source(FolderConfig(folder=self.incoming), given)
        assert [end[0] for end in self.bench.fetch()] == ["recorded"] * 3
        while self.bench.deliver():
            pass
        shutil.rmtree(self.incoming)
        made = self.desk.target.hand_over()
        assert made is not None
        return dict(made.counts)


def people(day: Path) -> tuple[int, set[tuple[str, ...]]]:
    """How many pupils and staff there are, and real names and user id of those who are protected; read by hand."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(day.glob("*.xml")))
    own = re.findall(r"<fm:InstitutionPerson .*?<fm:Person .*?</fm:Person>", text, re.DOTALL)
    users = {found[1] for one in own if (found := re.search(r"<c:UserId>(.*?)</c:UserId>", one))}
    hidden = re.findall(
        r'<fm:Person protected="true"><c:FirstName>(.*?)</c:FirstName><c:FamilyName>(.*?)</c:FamilyName>'
        r"<c:UserId>(.*?)</c:UserId>",
        text,
    )
    return len(users), set(hidden)


def expected(name: str, day: int) -> dict[str, int]:
    truth, users = TRUTH["counts"][f"day{day}"], people(DAYS[day - 1])[0]
    match name:
        case "sds":
            same = {"orgs": truth["institution"], "users": users}
        case "ims-enterprise":
            return {"groups": truth["institution"] + truth["group"], "persons": users}
        case _:
            same = {"orgs": truth["institution"] + 1, "users": users, "courses": truth["institution"]}
    return same | {"classes": truth["group"], "enrollments": truth["membership"]}


@dataclass(frozen=True)
class Day:
    """What was handed over by its own account, what somebody else finds in it, and all lines of it."""

    told: Mapping[str, int]
    found: Mapping[str, int]
    lines: list[str]


@pytest.fixture(scope="module", params=CONNECTORS, ids=lambda one: one.name)
def connector(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def days(connector: Connector, tmp_path_factory: pytest.TempPathFactory) -> list[Day]:
    made = Municipality(connector, tmp_path_factory.mktemp(connector.name))
    passed = []
    for day in DAYS[:2]:
        told = made.pass_a_day(day)
        parts = [part for content in made.desk.drop.files.values() for part in _parts(content)]
        passed.append(Day(told, counted(made.desk), [line for part in parts for line in part.splitlines()]))
    return passed


def test_each_day_the_files_have_exactly_what_the_source_has(connector: Connector, days: list[Day]) -> None:
    for number, day in enumerate(days, 1):
        assert expected(connector.name, number).items() <= day.told.items()
        assert day.told == day.found


def test_no_civil_registration_number_and_no_protected_name_is_in_a_file(days: list[Day]) -> None:
    for number, day in enumerate(days):
        hidden = people(DAYS[number])[1]
        assert any(user in line for _, _, user in hidden for line in day.lines)
        for line in day.lines:
            assert not re.search(r"\b\d{10}\b", line)
            assert not any(all(word in line for word in told) for told in hidden)


def counted(desk: FileDesk) -> dict[str, int]:
    """What somebody else finds in the files."""
    name, content = desk.drop.puts[-1]
    if name.endswith(".xml"):
        root = etree.fromstring(content)
        members = len(root.findall("membership/member"))
        return {
            "persons": len(root.findall("person")),
            "groups": len(root.findall("group")),
            "memberships": members,
        }
    files = unzip(content) if name.endswith(".zip") else desk.drop.files
    return {file: len(rows) for file, rows in tables(files).items() if file != "manifest"}


def _parts(content: bytes) -> list[str]:
    files = unzip(content).values() if content.startswith(b"PK") else [content]
    return [part.decode() for part in files]

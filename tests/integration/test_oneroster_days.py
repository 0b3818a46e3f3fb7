"""Two days of three schools go from the source's files through the engine to who fetches the roster."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.engine.guard import GuardPolicy
from bridge.mapping import load_mapping
from bridge.testing.memory_shelf import MemoryShelf
from connectors.stil import FolderConfig, folder
from tests.support.engine import TOWN, Bench
from tests.support.oneroster import V2, Clock, Provider, make_target, services
from tests.support.world import DAYS

TRUTH = json.loads((DAYS[0].parent / "truth.json").read_text(encoding="utf-8"))
COLLECTIONS = ("orgs", "academicSessions", "courses", "classes", "enrollments", "users")
STAFF_AND_PUPILS = {"student", "employee", "external"}


class Municipality:
    """The bridge in the middle, with a source of files and a OneRoster provider."""

    def __init__(self, work: Path) -> None:
        self.clock = Clock()
        shelf = MemoryShelf(self.clock)
        target = make_target(work, self.clock, shelf, TOWN)
        self.provider = Provider(target, self.clock, shelf, V2)
        policy = GuardPolicy(max_deleted_percent=100.0, deletion_grace=timedelta(0))
        self.bench = Bench(mapping=load_mapping("oneroster/core"), policy=policy)
        self.bench.target = target  # type: ignore[assignment]  # a real one
        self.bench.leaving = replace(self.bench.leaving, retention=timedelta(0))
        self.incoming = work / "incoming"
        self.services = services(self.clock, shelf)

    def pass_a_day(self, day: Path) -> None:
        assert folder.source is not None
        self.provider.wait(timedelta(days=1))
        self.bench.clock.at = self.clock.at
        shutil.copytree(day, self.incoming)  # what is taken is moved
        self.bench.source = folder.source(FolderConfig(folder=self.incoming), self.services)
        ends = self.bench.fetch()
        assert [end[0] for end in ends] == ["recorded"] * 3, ends
        while self.bench.deliver():
            pass
        shutil.rmtree(self.incoming)

    def collected(self, **params: Any) -> dict[str, dict[str, Any]]:
        """By collection, every object by its id."""
        found = {}
        for name in COLLECTIONS:
            found[name] = {one["sourcedId"]: one for one in self.provider.get(name, limit=10_000, **params)}
        return found


@pytest.fixture(scope="module")
def municipality(tmp_path_factory: pytest.TempPathFactory) -> Municipality:
    return Municipality(tmp_path_factory.mktemp("oneroster"))


@pytest.fixture(scope="module")
def days(municipality: Municipality) -> list[dict[str, dict[str, Any]]]:
    """What a client has after the first day, after the second, and what it got by asking for changes between."""
    municipality.pass_a_day(DAYS[0])
    first = municipality.collected()
    newest = max(one["dateLastModified"] for group in first.values() for one in group.values())
    municipality.pass_a_day(DAYS[1])
    changes = municipality.collected(filter=f"dateLastModified>'{newest}'")
    return [first, municipality.collected(), changes]


def active(group: dict[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in group.items() if one["status"] == "active"}


def people(day: Path) -> tuple[int, set[str]]:
    """How many pupils and staff there are, and the real names of those who are protected; read by hand."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(day.glob("*.xml")))
    own = re.findall(r"<fm:InstitutionPerson .*?<fm:Person .*?</fm:Person>", text, re.DOTALL)
    users = {found[1] for one in own if (found := re.search(r"<c:UserId>(.*?)</c:UserId>", one))}
    hidden = re.findall(
        r'<fm:Person protected="true"><c:FirstName>(.*?)</c:FirstName><c:FamilyName>(.*?)</c:FamilyName>'
        r"<c:UserId>(.*?)</c:UserId>",
        text,
    )
    return len(users), {f"{given}|{family}|{user}" for given, family, user in hidden}


def test_each_day_ends_with_exactly_what_the_source_has(days: list[dict[str, dict[str, Any]]]) -> None:
    for number, got in enumerate(days[:2]):
        truth = TRUTH["counts"][f"day{number + 1}"]
        counts = {name: len(active(group)) for name, group in got.items()}
        assert counts == {
            "orgs": truth["institution"] + 1,
            "academicSessions": 2,
            "courses": truth["institution"],
            "classes": truth["group"],
            "enrollments": truth["membership"],
            "users": people(DAYS[number])[0],
        }


def test_every_reference_leads_somewhere(days: list[dict[str, dict[str, Any]]]) -> None:
    for got in days[:2]:
        ids = {key for group in got.values() for key in group}
        assert {ref for group in got.values() for one in group.values() for ref in _references(one)} <= ids


def test_who_asks_for_changes_has_the_second_day(days: list[dict[str, dict[str, Any]]]) -> None:
    first, second, changes = days
    for name in COLLECTIONS:
        merged = active({**first[name], **changes[name]})
        assert merged == active(second[name])
    assert sum(len(group) for group in changes.values()) < sum(len(group) for group in second.values()) / 4


def test_what_went_is_told_without_its_name(days: list[dict[str, dict[str, Any]]]) -> None:
    first, _, changes = days
    went = [one for one in changes["users"].values() if one["status"] == "tobedeleted"]
    assert went
    for one in went:
        assert (one["givenName"], one["familyName"]) == ("", "")
        assert one["sourcedId"] in first["users"]


def test_no_protected_name_and_no_number_is_told(days: list[dict[str, dict[str, Any]]]) -> None:
    for number, got in enumerate(days[:2]):
        hidden = people(DAYS[number])[1]
        assert hidden
        told = {f"{one['givenName']}|{one['familyName']}|{one['username']}" for one in got["users"].values()}
        assert told.isdisjoint(hidden)
        assert not re.search(r"\b\d{10}\b", json.dumps(got))


def _references(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _references(one)
    elif isinstance(value, dict):
        if "href" in value:
            yield value["sourcedId"]
        for one in value.values():
            yield from _references(one)

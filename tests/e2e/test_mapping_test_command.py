"""`skolebro mapping test` tries a mapping on what is stored: counts that are true, and no value."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.world import DAYS, World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("trial"))
    made.drop(*DAYS[0].glob("*.xml"))
    made.sync()
    return made


def test_the_counts_are_those_of_the_state(world: World) -> None:
    told = world.run("mapping", "test", "scim/core", "--json").ended(0).json
    kinds = dict(world.rows("SELECT kind, count(*) FROM entities WHERE body IS NOT NULL GROUP BY kind"))
    assert told["sent"]["Group"] == kinds["group"]
    assert told["sent"]["User"] + sum(told["left_out"]["person"].values()) == kinds["person"]
    assert told["left_out"]["person"].keys() == {"User is not for these (kinds)"}
    assert told["filled"]["User"]["userName"] == told["sent"]["User"]
    assert 0 < told["protected"]["User"] < told["sent"]["User"]


def test_a_file_of_ones_own_is_tried_before_anybody_uses_it(world: World, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "extends: scim/core\nresources: {Group: {when: {type.value: [main]}}, User: {when: {kinds: [student]}}}\n"
    )
    told = world.run("mapping", "test", str(own), "--json").ended(0).json
    everything = world.run("mapping", "test", "scim/core", "--json").ended(0).json
    assert 0 < told["sent"]["Group"] < everything["sent"]["Group"]
    assert told["left_out"]["group"].keys() == {"Group is not for these (type.value)"}


def test_people_read_a_table_without_a_name_in_it(world: World) -> None:
    said = world.run("mapping", "test", "oneroster/core").ended(0).stdout
    assert "person stay out: user is not for these (kinds)." in said
    names = {row[0] for row in world.rows("SELECT body ->> '$.family_name' FROM entities WHERE kind = 'person'")}
    assert not [name for name in names if name and f" {name} " in said]


def test_which_municipality_must_be_known(world: World) -> None:
    said = world.run("mapping", "test", "scim/core", "--municipality", "1").ended(2).stderr
    assert "--municipality: name one of those" in said


SCHOOLS = 'extends: scim/core\ninstitutions: {"%s": {resources: {User: {fields: {emails: null}}}}}\n'


@pytest.mark.parametrize(("listed", "what"), [("all", "stored"), (["280555"], "configured")])
def test_a_school_that_nobody_has_is_told(tmp_path: Path, listed: str | list[str], what: str) -> None:
    made = World(tmp_path / "world", institutions=listed)
    made.drop(DAYS[0] / "280555.xml")
    made.sync()
    own = made.root / "own.yaml"
    own.write_text(SCHOOLS % "280556")
    said = made.run("mapping", "test", "own.yaml").ended(0).stdout
    assert (
        f"280556 (did you mean 280555?) under `institutions:` is not among the institutions that are {what}"
        in said
    )
    assert made.run("mapping", "test", "own.yaml", "--json").ended(0).json["strangers"] == ["280556"]
    own.write_text(SCHOOLS % "280555")
    assert "`institutions:`" not in made.run("mapping", "test", "own.yaml").ended(0).stdout


@pytest.mark.parametrize(("number", "code"), [("280556", 1), ("280555", 0)])
def test_check_refuses_a_school_that_is_not_among_those_that_are_listed(
    tmp_path: Path, number: str, code: int
) -> None:
    target = {"connector": "scim", "base_url": "http://127.0.0.1:1", "mapping": "own.yaml"}
    made = World(tmp_path / "world", institutions=["280555"], targets={"platform": target})
    (made.root / "own.yaml").write_text(SCHOOLS % number)
    said = made.run("check", "--offline").ended(code).stdout
    assert ("FAIL mapping of 0751/platform: 280556 (did you mean 280555?)" in said) is bool(code)

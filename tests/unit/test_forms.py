"""What has several forms has them by the same words everywhere."""

from __future__ import annotations

import pytest

from bridge.cli.forms import Form, form_of
from bridge.domain.errors import ConfigError
from tests.support.sheets import sheet
from tests.support.world import World

VERBS = ("anomalies", "report", "disclosures")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("forms"), targets={"aula": {"connector": "aula"}})


@pytest.mark.parametrize("verb", VERBS)
def test_either_way_of_asking_for_a_form_gives_the_same(world: World, verb: str) -> None:
    for form in ("csv", "json"):
        one, other = (world.run(verb, *args).ended(0).stdout for args in ((f"--{form}",), ("--format", form)))
        assert one == other
    assert world.run(verb).ended(0).stdout == world.run(verb, "--format", "text").ended(0).stdout
    assert sheet(world.run(verb, "--csv").ended(0).stdout) is not None
    assert "choose one of them" in world.run(verb, "--json", "--csv").ended(2).stderr


def test_the_text_of_the_record_of_processing_is_markdown(world: World) -> None:
    said = world.run("disclosures", "--format", "markdown").ended(0).stdout
    assert said == world.run("disclosures").ended(0).stdout and said.startswith("# Who gets")


@pytest.mark.parametrize(
    ("form", "json", "as_csv", "found"),
    [(None, False, False, Form.TEXT), ("json", True, False, Form.JSON), (None, False, True, Form.CSV)],
)
def test_one_form_is_chosen(form: str | None, json: bool, as_csv: bool, found: Form) -> None:
    assert form_of(form, json, as_csv) is found


def test_two_forms_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="--format text and --csv: choose one of them"):
        form_of("text", False, True)

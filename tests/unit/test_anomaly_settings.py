"""A municipality or one school says what it does not want to be told of; a mistake in that is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import Settings, load_settings
from bridge.domain.anomalies import AnomalyCode
from bridge.domain.errors import ConfigError
from bridge.registry import Registry
from tests.support.engine import OTHER_SCHOOL, SCHOOL


def settings(folder: Path, anomalies: str) -> Settings:
    (folder / "in").mkdir(exist_ok=True)
    path = folder / "skolebro.yaml"
    path.write_text(
        f"state_folder: state\nmunicipalities:\n  '101':\n    name: P\n    institutions: all\n"
        f"    source: {{connector: stil-folder, folder: in}}\n{anomalies}"
    )
    return load_settings(path, Registry())


def test_nothing_is_off_unless_it_is_said(tmp_path: Path) -> None:
    (town,) = settings(tmp_path, "").municipalities
    assert town.anomalies.off_at(SCHOOL) == frozenset()


def test_what_is_off_for_all_and_what_is_off_at_one_school_add_up(tmp_path: Path) -> None:
    text = (
        "    anomalies:\n      off: [teacher_in_no_group]\n"
        f'      institutions: {{"{SCHOOL}": {{off: [group_name_repeated]}}}}\n'
    )
    (town,) = settings(tmp_path, text).municipalities
    assert town.anomalies.off_at(OTHER_SCHOOL) == {AnomalyCode.TEACHER_IN_NO_GROUP}
    assert town.anomalies.off_at(SCHOOL) == {AnomalyCode.TEACHER_IN_NO_GROUP, AnomalyCode.GROUP_NAME_REPEATED}


@pytest.mark.parametrize(
    ("anomalies", "message"),
    [
        ("{off: [teacher]}", "there is no rule 'teacher'; there are pupil_in_no_class, "),
        ("{off: teacher_in_no_group}", "expected a list of rules"),
        ("{off: [{a: b}]}", "there is no rule"),
        ("{of: [teacher_in_no_group]}", "did you mean 'off'"),
        ("{institutions: {'101001': {off: [x]}}}", "there is no rule 'x'"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(tmp_path: Path, anomalies: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"municipalities\.101\.anomalies") as caught:
        settings(tmp_path, f"    anomalies: {anomalies}\n")
    assert message in str(caught.value)

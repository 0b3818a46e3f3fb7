"""Every code that a record can be set aside or noted for is told in words, with who must do what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.observe import meaning_of
from bridge.observe.quarantine_reasons import NOTED, SET_ASIDE
from connectors.stil.strict import CODES

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted((ROOT / "connectors").rglob("*.py")),
    *(ROOT / "bridge" / "engine" / f"{name}.py" for name in ("normalise", "oddities", "identity")),
]
PREFIXES = {"code": ("missing_", "unknown_"), "checked": ("unknown_",), "date": ("unreadable_",)}
"""What the reader's methods put before the word that they are given."""
WORD_AT = {"code": 3, "checked": 3, "date": 1}


def calls(file: Path) -> Iterator[tuple[str, list[ast.expr]]]:
    """Every call in a file: the last part of its name, and its positional arguments."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node.args


def texts(argument: ast.expr) -> set[str]:
    """The texts that an argument may be: one, or either branch of a condition."""
    nodes = [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def given(names: set[str], place: int) -> set[str]:
    """The texts that calls of these names are given at a place."""
    found = (
        texts(args[place]) for file in FILES for name, args in calls(file) if name in names and len(args) > place
    )
    return {text for some in found for text in some}


def test_every_reason_to_set_aside_has_words() -> None:
    raised = given({"Unusable"}, 0) | given({"Quarantined"}, 1)
    assert len(raised) >= 8
    assert raised | CODES | {"user_id_of_another_person", "user_id_of_two_people"} == SET_ASIDE.keys()


def test_every_oddity_has_words() -> None:
    noted = given({"note", "Noted"}, 1)
    for method, prefixes in PREFIXES.items():
        noted |= {prefix + word for prefix in prefixes for word in given({method}, WORD_AT[method])}
    assert len(noted) > 25
    assert noted <= NOTED.keys()
    # Those that are paired with a place before they are noted.
    assert NOTED.keys() - noted == {"group_not_declared", "main_group_of_another_type"}


@pytest.mark.parametrize("severity", ["quarantined", "noted"])
def test_words_tell_what_is_wrong_and_what_to_do_in_whole_sentences(severity: str) -> None:
    for reason in SET_ASIDE if severity == "quarantined" else NOTED:
        meaning = meaning_of(reason, severity)
        assert meaning.what and meaning.remedy
        assert not meaning.what.endswith(".") and not meaning.remedy.endswith(".")


def test_a_code_means_what_its_severity_says() -> None:
    assert meaning_of("missing_role", "quarantined") != meaning_of("missing_role", "noted")


def test_a_strange_code_is_told_as_it_is() -> None:
    assert meaning_of("some_new_code", "quarantined").what == "some_new_code"


def test_the_guide_explains_every_reason_to_set_aside_and_no_other() -> None:
    text = (ROOT / "docs" / "how-to" / "quarantine.md").read_text("utf-8")
    cells = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    assert {code for cell in cells for code in re.findall(r"`(\w+)`", cell)} == SET_ASIDE.keys()

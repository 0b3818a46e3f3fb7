"""A list in a list comes out as single values: no text that a mapping makes is how Python shows a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.domain.entities import Kind
from bridge.mapping import Ref
from bridge.mapping.explain import explain
from bridge.mapping.view import view_fields
from tests.support.anything import WHOLE_LINE
from tests.support.engine import mapping_of

_PATHS = [
    *sorted(path for path in view_fields(Kind.PERSON) if path.startswith("affiliations.")),
    "kinds",
    "given_name",
    "protected",
    "enrolments",
]
_WORDS = st.text("abcæøå ,", min_size=1, max_size=5)
_AFFILIATIONS = st.fixed_dictionaries(
    {"institution_number": _WORDS, "kind": _WORDS, "level": st.none() | _WORDS},
    optional={
        "roles": st.lists(st.fixed_dictionaries({"value": _WORDS, "source": st.none() | _WORDS}), max_size=3),
        "type": st.fixed_dictionaries({"value": _WORDS}),
    },
)
_VIEWS = st.fixed_dictionaries(
    {
        "given_name": _WORDS,
        "protected": st.booleans(),
        "kinds": st.lists(_WORDS, max_size=3),
        "enrolments": st.lists(_WORDS.map(lambda word: Ref(Kind.INSTITUTION, word)), max_size=2),
        "affiliations": st.lists(_AFFILIATIONS, max_size=3),
    }
)
_VERBS = st.sampled_from(
    [{}, {"join": "/"}, {"format": "{}"}, {"codes": {"a": "A", "true": "yes"}}, {"join": "-", "format": "{} x"}]
)
_SHAPES = st.sampled_from(
    [lambda rule: rule, lambda rule: [rule], lambda rule: [{"x": rule}], lambda rule: {"x": rule}]
)
ROLES = "affiliations.roles.value"
_PUPIL = {"affiliations": [{"roles": [{"value": "a"}]}]}


def texts(node: Any) -> Iterator[str]:
    match node:
        case str():
            yield node
        case list():
            for one in node:
                yield from texts(one)
        case dict():
            for one in node.values():
                yield from texts(one)


def render(fields: dict[str, Any], view: dict[str, Any], **more: Any) -> dict[str, Any]:
    resource = {"entity": "person", "fields": fields, **more}
    mapping = mapping_of(repr({"mapping": "t", "purpose": "p", "resources": {"U": resource}}))
    explain(mapping, Kind.PERSON, view)
    made = mapping.render(Kind.PERSON, view)
    return made[1] if made is not None else {}


@WHOLE_LINE
@given(st.sampled_from(_PATHS), _VERBS, _SHAPES, _VIEWS)
@example(ROLES, {"join": "/"}, lambda rule: rule, _PUPIL)
@example(ROLES, {"format": "{}"}, lambda rule: rule, _PUPIL)
@example("protected", {"format": "{}"}, lambda rule: rule, {"protected": True})
@example("enrolments", {"join": "/"}, lambda rule: rule, {"enrolments": [Ref(Kind.INSTITUTION, "a")]})
def test_no_text_is_how_python_shows_a_value(
    path: str, verbs: dict[str, Any], shape: Any, view: dict[str, Any]
) -> None:
    found = list(texts(render({"a": shape({"from": path, **verbs})}, view)))
    found += texts(render({"a": {"from": "given_name", "format": f"{{{path}}}"}}, {"given_name": "x", **view}))
    for text in found:
        assert not any(sign in text for sign in ("[", "]", "'", "{", "Ref(", "True", "False", "None")), text


TWO_SCHOOLS = {
    "affiliations": [
        {"institution_number": "1", "roles": [{"value": "teacher"}, {"value": "leader"}]},
        {"institution_number": "2", "roles": [{"value": "pupil"}]},
    ]
}


@pytest.mark.parametrize(
    ("node", "sent"),
    [
        ({"from": ROLES}, ["teacher", "leader", "pupil"]),
        ({"from": ROLES, "join": "/"}, "teacher/leader/pupil"),
        ({"from": ROLES, "format": "is {}"}, "is teacher, leader, pupil"),
        ({"from": ROLES, "codes": {"teacher": "T", "pupil": "P"}}, ["T", "P"]),
        ([{"from": ROLES}], ["teacher", "leader", "pupil"]),
        ([{"x": {"from": ROLES}}], [{"x": ["teacher", "leader"]}, {"x": ["pupil"]}]),
        ([{"x": {"from": ROLES, "join": "/"}}], [{"x": "teacher/leader"}, {"x": "pupil"}]),
        ([{"x": {"from": ROLES, "codes": {"pupil": "P", "leader": "L"}}}], [{"x": ["L"]}, {"x": ["P"]}]),
    ],
)
def test_each_verb_takes_a_list_in_a_list_apart(node: Any, sent: Any) -> None:
    assert render({"a": node}, TWO_SCHOOLS) == {"a": sent}


@pytest.mark.parametrize(("role", "is_sent"), [("leader", True), ("pupil", True), ("guest", False)])
def test_a_condition_looks_into_a_list_in_a_list(role: str, is_sent: bool) -> None:
    made = render({"a": {"from": ROLES}}, TWO_SCHOOLS, when={ROLES: role})
    assert bool(made) is is_sent


def test_yes_and_no_are_found_among_codes_as_they_are_written() -> None:
    fields = {"a": {"from": "protected", "codes": {"true": "hidden", "false": "open"}}}
    assert [render(fields, {"protected": told}) for told in (True, False)] == [{"a": "hidden"}, {"a": "open"}]

"""What is said of a mapping's decision is what the mapping does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.entities import Kind
from bridge.mapping import Ref, Resource, Rule, TargetMapping, narrow, presets
from bridge.mapping.explain import Condition, Explanation, Fate, FieldFate, Result, explain, named_ids, unnamed
from bridge.mapping.load import load_mapping
from bridge.mapping.rules import Choice, Node
from tests.support.anything import STEADY
from tests.support.engine import mapping_of

REFS = [Ref(Kind.PERSON, name) for name in ("p1", "p2", "p3")]


def resource(fields: str, extra: str = "") -> TargetMapping:
    """A mapping with one resource of persons; `fields` is YAML in one line, in braces."""
    return mapping_of(
        f"mapping: t\npurpose: Tests\nresources:\n  User:\n    entity: person\n{extra}    fields: {fields}\n"
    )


def told(fields: str, extra: str = "", **view: Any) -> Explanation:
    return explain(resource(fields, extra), Kind.PERSON, view)


def fate_of(rule: str, **view: Any) -> FieldFate:
    """The fate of one field beside one that is always sent."""
    taken = told(f"{{id: {{from: id}}, it: {rule}}}", id="1", **view).taken
    assert taken is not None
    return taken.fields[1]


class TestAResource:
    def test_that_takes_the_entity_says_so(self) -> None:
        assert told("{n: {from: given_name}}", given_name="Ane").resources[0].result is Result.TAKEN

    def test_that_wants_another_kind_of_person_says_what_it_allows_and_what_there_is(self) -> None:
        (fate,) = told("{n: {from: id}}", "    when: {kinds: [student, employee]}\n", kinds=["contact"]).resources
        assert fate.result is Result.WHEN
        assert fate.conditions == (Condition("kinds", ("employee", "student"), ("contact",)),)

    def test_quotes_nothing_that_may_be_personal(self) -> None:
        (fate,) = told("{n: {from: id}}", "    when: {given_name: [Ane]}\n", given_name="Bo").resources
        assert fate.conditions == (Condition("given_name", None, None),)

    def test_names_only_the_conditions_that_are_not_met(self) -> None:
        extra = "    when: {kind: student, protected: false}\n"
        (fate,) = told("{n: {from: id}}", extra, kind="student", protected=True).resources
        assert fate.conditions == (Condition("protected", ("false",), ("true",)),)

    def test_names_every_required_field_that_is_missing(self) -> None:
        fields = "{a: {from: email, required: true}, b: {c: {from: gender, required: true}}, d: {from: id}}"
        (fate,) = told(fields, id="1").resources
        assert (fate.result, [one.place for one in fate.missing]) == (Result.REQUIRED, ["a", "b.c"])
        assert fate.missing[0].sources == ("email",)

    def test_does_not_call_a_required_field_missing_that_its_own_condition_leaves_out(self) -> None:
        fields = "{id: {from: id}, a: {from: email, required: true, when: {kind: employee}}}"
        assert told(fields, id="1", kind="student").taken is not None

    def test_names_a_required_element_that_a_longer_list_beside_it_asks_for(self) -> None:
        fields = "{l: [{a: {from: kinds}, b: {from: institutions, required: true}}]}"
        (fate,) = told(fields, kinds=["x", "y"], institutions=["1"]).resources
        assert [one.place for one in fate.missing] == ["l[].b"]

    def test_after_one_that_takes_the_entity_is_not_asked(self) -> None:
        mapping = mapping_of(
            "mapping: t\npurpose: T\nresources:\n"
            "  A: {entity: person, fields: {n: {from: id}}}\n"
            "  B: {entity: person, fields: {n: {from: id}}}\n"
        )
        found = explain(mapping, Kind.PERSON, {"id": "1"}).resources
        assert [one.result for one in found] == [Result.TAKEN, Result.EARLIER]

    def test_after_one_that_refuses_it_has_its_turn(self) -> None:
        mapping = mapping_of(
            "mapping: t\npurpose: T\nresources:\n"
            "  A: {entity: person, when: {kind: x}, fields: {n: {from: id}}}\n"
            "  B: {entity: person, fields: {n: {from: id}}}\n"
        )
        found = explain(mapping, Kind.PERSON, {"id": "1"})
        assert [one.result for one in found.resources] == [Result.WHEN, Result.TAKEN]
        assert found.taken is found.resources[1]

    def test_there_is_none_for_a_kind_that_the_mapping_does_not_name(self) -> None:
        assert explain(resource("{n: {from: id}}"), Kind.GROUP, {}).resources == ()

    def test_names_what_it_does_not_name(self) -> None:
        (only,) = resource("{n: {from: given_name}, s: {from: address.street}}").resources
        left = unnamed(only)
        assert {"family_name", "civil_registration_number", "mobile_phone", "address.postal_code"} <= set(left)
        assert not {"given_name", "address", "address.street", "mobile_phone.number"} & set(left)

    def test_that_must_name_what_does_not_go_there_says_so(self) -> None:
        mapping = mapping_of(
            "mapping: t\npurpose: T\nresources:\n"
            "  M: {entity: membership, fields: {who: {from: person, required: true}, g: {from: group_id}}}\n"
        )
        view = {"person": REFS[0], "group_id": "1A"}
        (fate,) = explain(mapping, Kind.MEMBERSHIP, view, there={"p2"}).resources
        assert (fate.result, fate.missing[0].place) == (Result.REFERENCE, "who")
        assert fate.missing[0].fate is Fate.REFERENCE
        assert explain(mapping, Kind.MEMBERSHIP, view, there={"p1"}).taken is not None
        assert named_ids(mapping, Kind.MEMBERSHIP, view) == {"p1"}


class TestAField:
    def test_that_has_a_value_is_sent(self) -> None:
        assert fate_of("{from: given_name}", given_name="Ane").fate is Fate.SENT

    @pytest.mark.parametrize("nothing", [None, "", []])
    def test_without_a_value_is_empty(self, nothing: object) -> None:
        assert fate_of("{from: given_name}", given_name=nothing).fate is Fate.EMPTY

    def test_says_which_condition_leaves_it_out(self) -> None:
        found = fate_of("{from: email, when: {kind: employee}}", email="x", kind="student")
        assert (found.fate, found.conditions) == (Fate.WHEN, (Condition("kind", ("employee",), ("student",)),))

    def test_says_which_code_is_not_known(self) -> None:
        found = fate_of("{from: kind, codes: {student: E}}", kind="external")
        assert (found.fate, found.unknown) == (Fate.CODES, ("external",))

    def test_does_not_quote_an_unknown_code_that_may_be_personal(self) -> None:
        found = fate_of("{from: gender, codes: {K: F}}", gender="Ane")
        assert (found.fate, found.unknown) == (Fate.CODES, ())

    def test_is_sent_with_the_codes_that_are_known(self) -> None:
        found = fate_of("{from: kinds, codes: {student: E}}", kinds=["student", "contact"])
        assert (found.fate, found.unknown, found.is_default) == (Fate.SENT, ("contact",), False)

    def test_says_that_its_default_is_sent(self) -> None:
        assert fate_of("{from: given_name, default: x}").is_default
        assert fate_of("{from: kind, codes: {a: b}, default: x}", kind="c").is_default
        assert not fate_of("{from: given_name, default: x}", given_name="Ane").is_default

    def test_that_is_a_constant_is_not_sent_around_nothing(self) -> None:
        taken = told("{id: {from: id}, mails: [{value: {from: email}, type: {const: work}}]}", id="1").taken
        assert taken is not None
        assert {one.place: one.fate for one in taken.fields} == {
            "id": Fate.SENT,
            "mails[].value": Fate.EMPTY,
            "mails[].type": Fate.ALONE,
        }


# ---------------------------------------------------------------- it agrees with what is rendered

_PATHS = ("given_name", "email", "kind", "kinds", "institutions", "affiliations.kind", "address.street")
_TEXTS = st.sampled_from(["student", "employee", "x", ""])
_TABLES = st.dictionaries(_TEXTS, st.sampled_from(["A", "B"]), max_size=2)
_WHENS = st.dictionaries(
    st.sampled_from(["kind", "kinds", "email"]),
    st.builds(Choice, st.frozensets(_TEXTS, min_size=1, max_size=2), st.booleans()),
    max_size=1,
)
_RULES = st.one_of(
    st.builds(
        Rule,
        sources=st.sampled_from(_PATHS).map(lambda path: (path,)),
        codes=st.none() | _TABLES,
        default=st.none() | st.just("fallback"),
        required=st.sampled_from([False, False, True]),
        format=st.none() | st.just("<{}>"),
        when=st.none() | _WHENS,
    ),
    st.builds(
        Rule,
        sources=st.lists(st.sampled_from(_PATHS), min_size=1, max_size=2).map(tuple),
        join=st.just("-"),
        required=st.booleans(),
    ),
    st.builds(Rule, const=st.none() | st.just(True), when=st.none() | _WHENS),
    st.builds(Rule, sources=st.just(("members",)), required=st.booleans()),
)
_NAMES = st.sampled_from("abc")
_NODES: st.SearchStrategy[Node] = st.recursive(
    _RULES,
    lambda nodes: st.dictionaries(_NAMES, nodes, min_size=1, max_size=3) | nodes.map(lambda node: [node]),
    max_leaves=5,
)
_RESOURCES = st.builds(
    Resource,
    name=st.sampled_from(["One", "Two"]),
    kind=st.just(Kind.PERSON),
    when=_WHENS,
    fields=st.dictionaries(_NAMES, _NODES, max_size=3),
)
_VIEWS = st.fixed_dictionaries(
    {},
    optional={
        "given_name": st.none() | _TEXTS,
        "email": _TEXTS,
        "kind": _TEXTS,
        "kinds": st.lists(_TEXTS, max_size=3),
        "institutions": st.lists(_TEXTS, max_size=2),
        "affiliations": st.lists(st.fixed_dictionaries({}, optional={"kind": _TEXTS}), max_size=2),
        "address": st.none() | st.fixed_dictionaries({"street": _TEXTS}),
        "members": st.lists(st.sampled_from(REFS), max_size=3),
    },
)


def has(body: Any, node: Any, steps: list[str]) -> bool:
    """Whether a body has a leaf, found step by step and not as the code finds it."""
    if not steps:
        return True
    if steps[0] == "[]":
        return any(has(element, node[0], steps[1:]) for element in body)
    return steps[0] in body and has(body[steps[0]], node[steps[0]], steps[1:])


def optional(node: Node, wanted: set[str], at: str) -> Node:
    """The rules with nothing required at these places."""
    if isinstance(node, Rule):
        return replace(node, required=node.required and at not in wanted)
    if isinstance(node, list):
        return [optional(node[0], wanted, f"{at}[]")]
    return {name: optional(child, wanted, f"{at}.{name}") for name, child in node.items()}


def steps_to(place: str) -> list[str]:
    return [step for step in place.replace("[]", ".[]").split(".") if step]


class TestExplainAndRender:
    @STEADY
    @given(st.lists(_RESOURCES, max_size=3), _VIEWS)
    def test_agree_on_who_takes_it_and_on_every_field(
        self, resources: list[Resource], view: dict[str, Any]
    ) -> None:
        mapping = TargetMapping("t", "Tests", tuple(resources), "d")
        rendered, found = mapping.render(Kind.PERSON, view), explain(mapping, Kind.PERSON, view)
        if rendered is None:
            assert found.taken is None
            assert all(one.conditions or one.missing for one in found.resources)
            return
        resource, body = rendered
        assert found.taken is found.resources[mapping.resources.index(resource)]
        for one in found.taken.fields:
            assert (one.fate is Fate.SENT) == has(body, resource.fields, steps_to(one.place)), one

    @STEADY
    @given(_RESOURCES, _VIEWS, st.sets(st.sampled_from(["p1", "p2", "p3"])))
    def test_agree_when_some_of_what_it_names_is_not_there(
        self, resource: Resource, view: dict[str, Any], there: set[str]
    ) -> None:
        found = explain(TargetMapping("t", "Tests", (resource,), "d"), Kind.PERSON, view, there)
        body = resource.render(view)
        narrowed = narrow(body, there) if body is not None else None
        is_sent = narrowed is not None and resource.is_whole(narrowed)
        assert (found.taken is not None) == is_sent
        for one in found.taken.fields if found.taken else ():
            assert (one.fate is Fate.SENT) == has(narrowed, resource.fields, steps_to(one.place)), one

    @STEADY
    @given(_RESOURCES, _VIEWS)
    def test_agree_on_what_is_missing(self, resource: Resource, view: dict[str, Any]) -> None:
        """With all that is called missing made optional the resource takes the view; else nothing is missing."""
        (fate,) = explain(TargetMapping("t", "Tests", (resource,), "d"), Kind.PERSON, view).resources
        assert (fate.result is Result.REQUIRED) == bool(fate.missing)
        missing = {one.place for one in fate.missing}
        fields = {name: optional(node, missing, name) for name, node in resource.fields.items()}
        assert (replace(resource, fields=fields).render(view) is None) == bool(fate.conditions)

    @pytest.mark.parametrize("name", presets())
    def test_every_preset_can_be_explained_for_somebody_of_whom_nothing_is_known(self, name: str) -> None:
        for kind in load_mapping(name).kinds():
            assert explain(load_mapping(name), kind, {}).resources

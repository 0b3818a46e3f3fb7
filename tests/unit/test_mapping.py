"""A mapping is an allow-list: what it names is sent as it says, and what it does not name never leaves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.entities import Address, Kind, Phone
from bridge.domain.errors import MappingError
from bridge.engine.codec import encode_body
from bridge.mapping import Ref, TargetMapping, load_mapping, look_up, presets, references, resolve
from bridge.mapping.view import is_number
from tests.support.anything import WHOLE_LINE
from tests.support.bodies import places
from tests.support.engine import Bench, group, mapping_of, parent, pupil, teacher


def resource(fields: str, extra: str = "") -> TargetMapping:
    """A mapping with one resource of persons; `fields` is YAML in one line, in braces."""
    return mapping_of(
        f"mapping: t\npurpose: Tests\nresources:\n  User:\n    entity: person\n{extra}    fields: {fields}\n"
    )


def rendered(fields: str, extra: str = "", **view: Any) -> dict[str, Any] | None:
    made = resource(fields, extra).render(Kind.PERSON, view)
    return made[1] if made else None


def refusal(text: str) -> str:
    with pytest.raises(MappingError) as caught:
        mapping_of(text)
    return re.sub(r"^.*?\.yaml(:\d+)?: ", "", str(caught.value))


def refused(fields: str, extra: str = "") -> str:
    with pytest.raises(MappingError) as caught:
        resource(fields, extra)
    return re.sub(r"^.*?\.yaml(:\d+)?: ", "", str(caught.value))


# ---------------------------------------------------------------- verbs


class TestFrom:
    def test_takes_a_field(self) -> None:
        assert rendered("{name: {from: given_name}}", given_name="Ane") == {"name": "Ane"}

    def test_takes_false_and_zero_for_values(self) -> None:
        assert rendered("{a: {from: given_name}, b: {from: family_name}}", given_name=False, family_name=0) == {
            "a": False,
            "b": 0,
        }

    @pytest.mark.parametrize("nothing", [None, "", []])
    def test_leaves_out_what_is_not_there(self, nothing: object) -> None:
        assert rendered("{a: {from: given_name}, b: {from: family_name}}", given_name=nothing, family_name=1) == {
            "b": 1
        }

    def test_goes_down_by_dots(self) -> None:
        assert rendered("{a: {from: address.street}}", address={"street": "Vej 1"}) == {"a": "Vej 1"}

    def test_goes_down_through_a_list_and_yields_what_is_there(self) -> None:
        assert look_up({"x": [{"y": 1}, {}, {"y": 3}]}, "x.y") == [1, 3]

    def test_of_a_list_is_a_list(self) -> None:
        assert rendered("{a: {from: affiliations.kind}}", affiliations=[{"kind": "x"}, {"kind": "y"}]) == {
            "a": ["x", "y"]
        }


class TestConst:
    def test_is_sent_as_it_is(self) -> None:
        assert rendered("{active: {const: true}, name: {from: given_name}}", given_name="x") == {
            "active": True,
            "name": "x",
        }

    def test_alone_is_no_reason_to_send_the_object_around_it(self) -> None:
        assert rendered("{work: {type: {const: w}, mail: {from: email}}, id: {from: id}}", id="1") == {"id": "1"}

    def test_alone_is_no_reason_to_send_a_list_element(self) -> None:
        assert rendered("{mails: [{value: {from: email}, type: {const: work}}], id: {from: id}}", id=1) == {
            "id": 1
        }


class TestCodes:
    def test_translate(self) -> None:
        assert rendered("{t: {from: kind, codes: {student: ELEV}}}", kind="student") == {"t": "ELEV"}

    def test_leave_out_what_they_do_not_name(self) -> None:
        assert rendered("{t: {from: kind, codes: {student: ELEV}}, id: {from: id}}", kind="x", id=1) == {"id": 1}

    def test_fall_back_on_the_default(self) -> None:
        assert rendered("{t: {from: kind, codes: {student: E}, default: ANDET}}", kind="x") == {"t": "ANDET"}

    def test_translate_the_elements_of_a_list(self) -> None:
        assert rendered("{t: {from: kinds, codes: {a: 1, c: 3}}}", kinds=["a", "b", "c"]) == {"t": [1, 3]}

    def test_translate_what_yaml_reads_as_a_number(self) -> None:
        assert rendered("{t: {from: gender, codes: {1: first}}}", gender="1") == {"t": "first"}


class TestTheOtherVerbs:
    def test_default_stands_for_an_absent_value(self) -> None:
        assert rendered("{a: {from: given_name, default: ukendt}}") == {"a": "ukendt"}

    def test_format_is_put_around_a_value_and_around_nothing_else(self) -> None:
        fields = "{a: {from: given_name, format: 'uni:{}'}, b: {from: family_name, format: 'uni:{}'}}"
        assert rendered(fields, given_name="ane") == {"a": "uni:ane"}

    def test_join_makes_one_text_of_several_fields_and_passes_over_the_absent(self) -> None:
        fields = "{a: {from: [given_name, family_name, email], join: ' '}}"
        assert rendered(fields, given_name="Ane", email="Holm") == {"a": "Ane Holm"}

    def test_join_makes_one_text_of_a_list(self) -> None:
        assert rendered("{a: {from: kinds, join: '/'}}", kinds=["x", "y"]) == {"a": "x/y"}

    def test_join_of_nothing_is_nothing(self) -> None:
        assert rendered("{a: {from: [given_name, family_name], join: ' '}, id: {from: id}}", id=1) == {"id": 1}

    def test_required_keeps_the_whole_entity_out(self) -> None:
        assert rendered("{a: {from: given_name, required: true}, id: {from: id}}", id=1) is None

    def test_required_is_content_with_a_default(self) -> None:
        assert rendered("{a: {from: given_name, required: true, default: d}}") == {"a": "d"}

    def test_required_in_the_depth_keeps_the_whole_entity_out_too(self) -> None:
        assert rendered("{o: {a: {from: given_name, required: true}}, id: {from: id}}", id=1) is None

    def test_when_on_a_field_lets_it_through_for_the_named_values_only(self) -> None:
        fields = "{mail: {from: email, when: {kind: [employee]}}, id: {from: id}}"
        assert rendered(fields, email="a@x", kind="employee", id=1) == {"mail": "a@x", "id": 1}
        assert rendered(fields, email="a@x", kind="student", id=1) == {"id": 1}

    def test_when_on_a_resource_keeps_the_others_out(self) -> None:
        when = "    when: {kinds: [student, employee]}\n"
        assert rendered("{id: {from: id}}", when, kinds=["contact", "student"], id=1) == {"id": 1}
        assert rendered("{id: {from: id}}", when, kinds=["contact"], id=1) is None

    def test_when_of_several_fields_asks_for_all_of_them(self) -> None:
        when = "    when: {kind: student, gender: ['1', '2']}\n"
        assert rendered("{id: {from: id}}", when, kind="student", gender="2", id=1) == {"id": 1}
        assert rendered("{id: {from: id}}", when, kind="student", gender="9", id=1) is None


class TestLists:
    def test_repeat_their_template_for_each_value(self) -> None:
        assert rendered("{m: [{value: {from: institutions}, t: {const: c}}]}", institutions=[1, 2]) == {
            "m": [{"value": 1, "t": "c"}, {"value": 2, "t": "c"}]
        }

    def test_repeat_a_bare_rule_too(self) -> None:
        assert rendered("{m: [{from: institutions, format: 'a{}'}]}", institutions=[1, 2]) == {"m": ["a1", "a2"]}

    def test_of_nothing_are_left_out(self) -> None:
        assert rendered("{m: [{value: {from: institutions}}], id: {from: id}}", institutions=[], id=1) == {"id": 1}

    def test_of_one_single_value_have_one_element(self) -> None:
        assert rendered("{m: [{value: {from: given_name}}]}", given_name=1) == {"m": [{"value": 1}]}


class TestResources:
    TEXT = """
mapping: t
purpose: Tests
resources:
  Student: {entity: person, when: {kind: student}, fields: {id: {from: id}}}
  Class: {entity: group, fields: {id: {from: id}}}
  Other: {entity: person, fields: {id: {from: id}}}
"""

    def test_the_first_that_takes_an_entity_has_it(self) -> None:
        mapping = mapping_of(self.TEXT)
        taken = [mapping.render(Kind.PERSON, {"id": 1, "kind": kind}) for kind in ("student", "employee")]
        assert [made[0].name for made in taken if made] == ["Student", "Other"]

    def test_an_entity_of_a_kind_that_is_not_named_never_leaves(self) -> None:
        assert mapping_of(self.TEXT).render(Kind.GUARDIANSHIP, {"id": 1}) is None

    def test_their_order_is_the_order_of_creation(self) -> None:
        mapping = mapping_of(self.TEXT)
        assert [mapping.rank(name) for name in ("Student", "Class", "Other")] == [0, 1, 2]

    def test_a_changed_comment_is_another_digest(self) -> None:
        assert mapping_of(self.TEXT).digest != mapping_of(self.TEXT + "# why\n").digest

    def test_every_leaf_is_named_with_its_place(self) -> None:
        (one,) = resource(
            "{a: {from: given_name}, o: {b: {from: family_name}}, m: [{value: {from: email}}]}"
        ).resources
        assert [place for place, _ in one.leaves()] == ["a", "o.b", "m[].value"]


class TestReferences:
    ANE, BO = Ref(Kind.PERSON, "ane"), Ref(Kind.PERSON, "bo")

    def test_become_the_targets_ids(self) -> None:
        assert resolve({"members": [{"value": self.ANE}]}, {"ane": "17"}) == {"members": [{"value": "17"}]}

    def test_unknown_in_a_list_drop_their_element(self) -> None:
        body = {"members": [{"value": self.ANE, "t": "User"}, {"value": self.BO, "t": "User"}]}
        assert resolve(body, {"bo": "18"}) == {"members": [{"value": "18", "t": "User"}]}

    def test_unknown_in_an_object_drop_that_object(self) -> None:
        assert resolve({"id": 1, "owner": {"value": self.ANE, "x": 1}}, {}) == {"id": 1}

    def test_unknown_at_the_top_leave_nothing(self) -> None:
        assert resolve({"person": self.ANE, "id": 1}, {}) is None

    def test_are_found_wherever_they_are(self) -> None:
        assert list(references({"a": [{"b": self.ANE}], "c": self.BO})) == [self.ANE, self.BO]


# ---------------------------------------------------------------- loading


class TestAMistake:
    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            (
                "{a: {from: given_name, defualt: 1}}",
                "resources.User.fields.a: unknown key 'defualt'; allowed are c",
            ),
            (
                "{a: {from: givenname}}",
                "resources.User.fields.a: a person has no field 'givenname'; there are",
            ),
            ("{a: {from: id, when: {knd: x}}}", "resources.User.fields.a.when.knd: a person has no field 'knd'"),
            ("{a: {frm: x}}", "resources.User.fields.a.frm: expected a rule"),
            ("{a: x}", "resources.User.fields.a: expected a rule"),
            ("{a: {}}", "resources.User.fields.a: expected a rule"),
            (
                "{a: [{from: given_name}, {from: family_name}]}",
                "resources.User.fields.a: expected a list with exactly one element",
            ),
            ("{a: {from: given_name, const: 1}}", "resources.User.fields.a: expected either from or const"),
            ("{a: {from: [given_name, family_name]}}", "resources.User.fields.a: expected join"),
            ("{a: {from: given_name, codes: [1]}}", "resources.User.fields.a.codes: expected a table"),
            ("{a: {from: given_name, when: yes}}", "resources.User.fields.a.when: expected a table"),
            ("{o: {m: [{b: {from: given_name, y: 1}}]}}", "resources.User.fields.o.m[].b: unknown key 'y'"),
            ("[1]", "resources.User.fields: expected a table"),
        ],
    )
    def test_in_a_field_is_told_with_its_place(self, fields: str, told: str) -> None:
        assert refused(fields).startswith(told)

    @pytest.mark.parametrize(
        "fields",
        [
            "{a: {from: given_name, format: 5}}",
            "{a: {from: given_name, join: 5}}",
            "{a: {from: [1, 2], join: ' '}}",
            "{a: {from: []}}",
            "{a: {from: given_name, required: sometimes}}",
            "{a: {from: given_name, when: {kind: {a: b}}}}",
            "{a: {from: given_name, when: {kind: [[a]]}}}",
        ],
    )
    def test_of_type_is_told_when_the_file_is_loaded_and_not_when_it_is_used(self, fields: str) -> None:
        assert refused(fields).startswith("resources.User.fields.a")

    def test_in_a_resource_is_told_with_its_place(self) -> None:
        assert refused("{a: {from: given_name}}", "    wen: {a: b}\n").startswith(
            "resources.User: unknown key 'wen'"
        )

    def test_in_the_name_of_an_entity_is_told_with_what_there_is(self) -> None:
        text = "mapping: t\npurpose: p\nresources: {U: {entity: persn, fields: {a: {from: given_name}}}}"
        assert refusal(text).startswith("resources.U.entity: expected one of institution, group, person")

    def test_of_naming_what_is_never_published_is_refused(self) -> None:
        """A contribution is one institution's word on a person, with no protection applied."""
        fields = "{a: {from: person.given_name}}"
        text = f"mapping: t\npurpose: p\nresources: {{U: {{entity: contribution, fields: {fields}}}}}"
        assert refusal(text).startswith("resources.U.entity: expected one of institution, group, person")

    def test_of_saying_no_purpose_is_refused(self) -> None:
        assert refusal("mapping: t\nresources: {}").startswith("purpose: expected a text that says why")

    def test_at_the_top_is_told(self) -> None:
        assert refusal("mapping: t\npurpose: p\nresource: {}").startswith("the file: unknown key 'resource'")

    def test_in_the_yaml_is_told_with_its_line(self) -> None:
        with pytest.raises(MappingError, match=r"\.yaml:2: this is not readable as YAML"):
            mapping_of("mapping: t\npurpose: [")

    def test_in_the_name_of_a_preset_is_told_with_what_there_is(self) -> None:
        with pytest.raises(MappingError, match="scim/core"):
            load_mapping("scim/cor")

    def test_in_the_path_of_a_file_is_told_with_the_path(self, tmp_path: Path) -> None:
        with pytest.raises(MappingError, match=r"none\.yaml: the mapping file cannot be read"):
            load_mapping("none.yaml", tmp_path)


class TestACprNumber:
    @pytest.mark.parametrize(
        "rule",
        [
            "from: civil_registration_number",
            "from: [given_name, civil_registration_number], join: ' '",
            "from: civil_registration_number, legal_basis: ''",
            "from: civil_registration_number, legal_basis: '  '",
        ],
    )
    def test_without_a_legal_basis_is_refused(self, rule: str) -> None:
        assert "a legal_basis, because this is a CPR number" in refused(f"{{cpr: {{{rule}}}}}")

    @pytest.mark.parametrize("path", ["civil_registration_number.", "affiliations.civil_registration_number"])
    def test_by_a_way_around_is_refused(self, path: str) -> None:
        assert refused(f"{{cpr: {{from: {path}}}}}").startswith("resources.User.fields.cpr: ")

    def test_with_a_legal_basis_is_sent(self) -> None:
        rule = "{cpr: {from: civil_registration_number, legal_basis: folkeskoleloven § 55}}"
        assert rendered(rule, civil_registration_number="0101901234") == {"cpr": "0101901234"}

    def test_is_in_no_preset(self) -> None:
        sources = [
            s for name in presets() for r in load_mapping(name).resources for _, x in r.leaves() for s in x.sources
        ]
        assert sources
        assert not [source for source in sources if is_number(source)]


# ---------------------------------------------------------------- properties


_VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3) | st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_PATHS = st.sampled_from(["given_name", "address.street", "affiliations.kind", "kinds", "mobile_phone.number"])
_RULES = st.one_of(
    st.builds(lambda path, **more: {"from": path, **more}, _PATHS),
    st.builds(lambda path, default: {"from": path, "default": default}, _PATHS, st.sampled_from(["d", 1])),
    st.builds(lambda one, two: {"from": [one, two], "join": "-"}, _PATHS, _PATHS),
    st.builds(lambda path: {"from": path, "codes": {"1": "x"}, "format": "<{}>"}, _PATHS),
    st.just({"const": 1}),
)
_NODES = st.recursive(
    _RULES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=1) | st.dictionaries(st.sampled_from("xyz"), inner, min_size=1)
    ),
    max_leaves=6,
)


@WHOLE_LINE
@given(
    st.dictionaries(st.sampled_from("pqr"), _NODES, min_size=1),
    st.dictionaries(_PATHS.map(lambda path: path.partition(".")[0]), _VALUES),
)
def test_a_body_has_no_key_that_the_mapping_does_not_name(fields: dict[str, Any], view: dict[str, Any]) -> None:
    mapping = mapping_of(
        repr({"mapping": "t", "purpose": "p", "resources": {"U": {"entity": "person", "fields": fields}}})
    )
    made = mapping.render(Kind.PERSON, view)
    assert made is not None
    allowed = [place for place, _ in mapping.resources[0].leaves()]
    for place in places(made[1]):
        # below a leaf is the value that it names, whole
        assert any(place == one or place.startswith((f"{one}.", f"{one}[]")) for one in allowed)


SECRETS = {
    "given_name": "HEMMELIGFORNAVN",
    "family_name": "HEMMELIGTEFTERNAVN",
    "email": "hemmelig@x.example",
    "photo_id": "hemmeligfoto",
}
_ALIASES = st.none() | st.sampled_from(["", "Alias", "Æ"])


@WHOLE_LINE
@given(
    st.sampled_from(presets()),
    st.sampled_from([pupil, teacher, parent]),
    _ALIASES,
    _ALIASES,
    st.booleans(),
)
def test_nothing_of_a_protected_person_is_in_any_body_of_a_preset(
    preset: str, made: Any, given_alias: str | None, family_alias: str | None, is_told_elsewhere: bool
) -> None:
    bench = Bench(mapping=load_mapping(preset))
    hidden = {
        **SECRETS,
        "address": Address("Hemmelig Vej 1", "2100"),
        "home_phone": Phone("70707070"),
        "work_phone": Phone("70707071"),
        "mobile_phone": Phone("70707072"),
        "protected": not is_told_elsewhere,
        "alias_given_name": given_alias,
        "alias_family_name": family_alias,
    }
    record = made("ane", **hidden)
    elsewhere = [pupil("barn", contacts=[parent("ane", protected=True)])] if is_told_elsewhere else []
    own = [pupil("barn2", contacts=[record])] if made is parent else [record]
    bench.take(group("1A"), *own, *elsewhere)
    assert bench.entities(Kind.PERSON)["ane",].protected  # type: ignore[union-attr]
    sent = b"".join(encode_body(c.document or {}) for c in bench.drain()).lower()
    for secret in ("hemmelig", "7070707", "2100"):
        assert secret.encode() not in sent

"""What a platform may do to a document without making a difference, and what makes one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.sameness import differing_fields


class TestSameness:
    @pytest.mark.parametrize(
        ("sent", "found"),
        [
            ({"name": "Bj\u00f8rn \u00c5se"}, {"name": "Bj\u00f8rn A\u030ase"}),
            ({"members": [{"value": "1"}, {"value": "2"}]}, {"members": [{"value": "2"}, {"value": "1"}]}),
            ({"members": []}, {}),
            ({"members": []}, {"members": None}),
            ({"email": ""}, {"email": None}),
            ({"name": {"given": "Ane"}}, {"name": {"given": "Ane", "formatted": "Ane Holm"}}),
            ({"members": [{"value": "1"}]}, {"members": [{"value": "1", "$ref": "x", "type": "User"}]}),
            ({"name": {"given": ""}}, {}),
            ({"active": True}, {"active": True, "meta": {"version": "2"}}),
            (
                {"mails": [{"value": "a"}, {"value": "b", "type": "work"}]},
                {"mails": [{"value": "b", "type": "work"}, {"value": "a", "type": "other"}]},
            ),
        ],
    )
    def test_what_makes_no_difference_is_none(self, sent: dict[str, Any], found: dict[str, Any]) -> None:
        assert differing_fields(sent, found) == ()

    @pytest.mark.parametrize(
        ("sent", "found"),
        [
            ({"name": "Ane "}, {"name": "Ane"}),
            ({"name": "Ane"}, {"name": "ANE"}),
            ({"name": "Ane"}, {}),
            ({"active": False}, {}),
            ({"name": {"given": "Ane"}}, {"name": {"given": "Bo"}}),
            ({"name": {"given": "Ane"}}, {"name": "Ane"}),
            ({"name": [{"value": "1"}]}, {"name": "1"}),
            ({"name": [{"value": "1"}]}, {"name": [{"value": "1"}, {"value": "2"}]}),
            ({"name": [{"value": "1"}, {"value": "1"}]}, {"name": [{"value": "1"}, {"value": "2"}]}),
            ({"name": [], "active": True}, {"name": [{"value": "1"}], "active": True}),
        ],
    )
    def test_what_makes_one_names_the_field(self, sent: dict[str, Any], found: dict[str, Any]) -> None:
        assert differing_fields(sent, found) == (next(iter(sent)),)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.text(max_size=4),
            lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from("abc"), inside),
            max_leaves=8,
        )
    )
    def test_everything_is_the_same_as_itself(self, value: Any) -> None:
        assert differing_fields({"field": value}, {"field": copy.deepcopy(value), "more": 1}) == ()

"""Anything that a school may say, for properties."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from bridge.domain.records import PersonRecord, Record
from tests.support.engine import external, group, parent, pupil, teacher
from tests.support.stores import KIND

STEADY = settings(deadline=None, max_examples=100 if KIND == "memory" else 15)
"""Never judged by how busy the machine is. What there is to find is found in memory, where an example
costs least; the other stores show that they do the same."""
WHOLE_LINE = settings(STEADY, max_examples=40 if KIND == "memory" else 8)
"""For properties whose every example goes from records to a target."""


_USERS = st.sampled_from([f"user{number}" for number in range(6)])
_GROUPS = st.sampled_from(["1A", "1B", "2A", "SFO"])
_NAMES = st.sampled_from(["Ane", "Bo", "Carl", "Dorte"])
_MAYBE = st.none() | st.sampled_from(["x@skole.example", "y@skole.example"])


@st.composite
def _people(draw: st.DrawFn) -> PersonRecord:
    user, made = draw(_USERS), draw(st.sampled_from(["pupil", "teacher", "external"]))
    groups = draw(st.lists(_GROUPS, max_size=3))
    fields: dict[str, Any] = {"given_name": draw(_NAMES), "email": draw(_MAYBE), "protected": draw(st.booleans())}
    source = draw(st.sampled_from(["KMD", "TEA"]))
    if made == "pupil":
        contacts = [parent(one, custody=draw(st.booleans())) for one in draw(st.lists(_USERS, max_size=2))]
        return pupil(user, draw(_GROUPS), groups, contacts=contacts, source=source, **fields)
    return (teacher if made == "teacher" else external)(user, groups, source=source, **fields)


def schools() -> st.SearchStrategy[list[Record]]:
    """The records of one snapshot: declared groups, then people who may be told of more than once."""
    declared = st.lists(st.builds(group, _GROUPS, st.sampled_from(["a", "b"])), max_size=3)
    return st.builds(lambda some, people: [*some, *people], declared, st.lists(_people(), max_size=6))

"""Identifiers are the UUIDv5 that any other implementation would make."""

from __future__ import annotations

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.ids import canonical_id, join_key, name_uuid, split_key

_NAMESPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
_KEYS = st.lists(st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"])), min_size=1).map(
    tuple
)


@given(st.text())
def test_a_name_uuid_is_that_of_the_standard_library(name: str) -> None:
    encodable = name.encode("utf-8", "ignore").decode()
    assert name_uuid(_NAMESPACE, encodable) == str(uuid5(_NAMESPACE, encodable))


def test_a_canonical_id_never_changes() -> None:
    assert canonical_id("0751", "person", ("u0000123",)) == canonical_id("0751", "person", ("u0000123",))
    assert UUID(canonical_id("0751", "person", ("u0000123",))).version == 5
    assert canonical_id("0751", "person", ("u0000123",)) != canonical_id("0752", "person", ("u0000123",))


@given(_KEYS)
def test_a_joined_key_is_read_back_as_it_was(key: tuple[str, ...]) -> None:
    assert split_key(join_key(key)) == key

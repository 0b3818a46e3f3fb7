"""A record that is set aside is known from the run that found it first, wherever it stands by now."""

from __future__ import annotations

from dataclasses import replace

from bridge.engine.aside import put_aside, since_first
from bridge.ports import QuarantineRow
from tests.support.engine import OTHER_SCHOOL, SCHOOL, TOWN
from tests.support.stores import new_store


def row(
    path: str, run: str, *, reason: str = "missing_role", user: str | None = "ane", **more: str
) -> QuarantineRow:
    made = QuarantineRow(TOWN, SCHOOL, path, reason, user, None, "quarantined", run)
    return replace(made, **more)  # type: ignore[arg-type]


def runs(before: list[QuarantineRow], after: list[QuarantineRow]) -> list[str]:
    return [one.run for one in since_first(before, after)]


def test_a_person_is_set_aside_since_the_first_run_though_the_record_moves() -> None:
    assert runs([row("Person[3]", "first")], [row("Person[8]", "second")]) == ["first"]


def test_another_reason_or_another_person_is_new() -> None:
    before = [row("Person[3]", "first")]
    assert runs(before, [row("Person[3]", "second", reason="missing_name")]) == ["second"]
    assert runs(before, [row("Person[3]", "second", user="bo")]) == ["second"]


def test_a_record_without_user_id_is_known_by_its_local_id() -> None:
    before = [row("Person[3]", "first", user=None, local_person_id="L-1")]
    assert runs(before, [row("Person[8]", "second", user=None, local_person_id="L-1")]) == ["first"]
    assert runs(before, [row("Person[3]", "second", user=None, local_person_id="L-2")]) == ["second"]


def test_a_record_without_any_id_is_known_by_its_place() -> None:
    before = [row("Person[3]", "first", user=None)]
    assert runs(before, [row("Person[3]", "second", user=None)]) == ["first"]
    assert runs(before, [row("Person[4]", "second", user=None)]) == ["second"]


def test_what_was_noted_only_is_set_aside_since_now() -> None:
    assert runs([row("Person[3]", "first", severity="noted")], [row("Person[3]", "second")]) == ["second"]


def test_who_was_good_in_between_is_set_aside_since_now() -> None:
    store = new_store()
    with store.write() as uow:
        put_aside(uow, TOWN, OTHER_SCHOOL, [replace(row("Person[1]", "zero"), institution=OTHER_SCHOOL)])
        for name, found in (("first", True), ("second", True), ("third", False), ("fourth", True)):
            put_aside(uow, TOWN, SCHOOL, [row("Person[3]", name)] if found else [])
            known = [one.run for one in uow.quarantine_of(TOWN, SCHOOL)]
            assert known == {"first": ["first"], "second": ["first"], "third": [], "fourth": ["fourth"]}[name]
        assert [one.run for one in uow.quarantine_of(TOWN, OTHER_SCHOOL)] == ["zero"]

"""What of a protected person may be seen: the alias, and nothing that leads to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.entities import VALUE_FIELDS, Address, Kind, Person, Phone
from bridge.domain.privacy import WITHHELD_NAME, Protection, visible
from bridge.engine.refresh import refresh
from bridge.engine.views import Scope, views
from tests.support.anything import STEADY
from tests.support.engine import OTHER_SCHOOL, SCHOOL, TOWN, Bench, header, human, parent, pupil

WITHHELD = ("address", "home_phone", "work_phone", "mobile_phone", "email", "photo_id")
FULL = human(
    "ane",
    given_name="Hemmelig",
    family_name="Hemmeligsen",
    civil_registration_number="0101901234",
    email="hemmelig@x.example",
    birth_date="2019-01-01",
    gender="K",
    photo_id="foto-hemmelig",
    address=Address("Hemmelig Vej 1", "2100"),
    home_phone=Phone("70101010"),
    work_phone=Phone("70101011"),
    mobile_phone=Phone("70101012"),
)


@pytest.mark.parametrize("protected", [False, True])
@pytest.mark.parametrize("phone", [None, "home_phone", "work_phone", "mobile_phone"])
def test_what_may_be_seen_otherwise_is_named_as_hidden(phone: str | None, *, protected: bool) -> None:
    person = replace(FULL, protected=protected, **{phone: Phone("7", protected=True)} if phone else {})  # type: ignore[arg-type]  # a phone's name
    seen = visible(person)
    changed = {name for name in VALUE_FIELDS[Kind.PERSON] if getattr(seen, name) != getattr(person, name)}
    assert changed <= Protection.of([person]).fields
    assert bool(changed) == bool(Protection.of([person]).fields)


class TestAProtectedPerson:
    def test_is_seen_by_their_alias(self) -> None:
        seen = visible(replace(FULL, protected=True, alias_given_name="Anne", alias_family_name="Alias"))
        assert (seen.given_name, seen.family_name) == ("Anne", "Alias")

    @pytest.mark.parametrize("alias", [None, ""])
    def test_without_an_alias_is_seen_by_no_name(self, alias: str | None) -> None:
        seen = visible(replace(FULL, protected=True, alias_given_name=alias, alias_family_name=alias))
        assert (seen.given_name, seen.family_name) == WITHHELD_NAME

    def test_with_half_an_alias_is_seen_by_that_half_alone(self) -> None:
        seen = visible(replace(FULL, protected=True, alias_family_name="Alias"))
        assert (seen.given_name, seen.family_name) == ("", "Alias")

    @pytest.mark.parametrize("name", WITHHELD)
    def test_has_nothing_that_leads_to_them(self, name: str) -> None:
        assert getattr(visible(replace(FULL, protected=True)), name) is None

    def test_is_still_known_to_be_protected(self) -> None:
        assert visible(replace(FULL, protected=True)).protected

    def test_keeps_what_says_nothing_of_name_or_place(self) -> None:
        seen = visible(replace(FULL, protected=True))
        assert (seen.user_id, seen.birth_date, seen.gender) == ("ane", "2019-01-01", "K")


class TestAPersonWithoutProtection:
    def test_is_seen_as_they_are(self) -> None:
        assert visible(FULL) == FULL

    @pytest.mark.parametrize("name", ["home_phone", "work_phone", "mobile_phone"])
    def test_has_no_phone_that_is_itself_protected(self, name: str) -> None:
        protected: dict[str, Any] = {name: Phone("70101010", protected=True)}
        withheld: dict[str, Any] = {name: None}
        assert visible(replace(FULL, **protected)) == replace(FULL, **withheld)


_WORDS = st.none() | st.sampled_from(["Hemmelig", "hemmelig@x", "", "Æ"])
_PHONES = st.none() | st.builds(Phone, st.just("hemmelig"), st.booleans())


@STEADY
@given(
    st.fixed_dictionaries(
        {
            "email": _WORDS,
            "photo_id": _WORDS,
            "address": st.none() | st.builds(Address, _WORDS),
            "home_phone": _PHONES,
            "work_phone": _PHONES,
            "mobile_phone": _PHONES,
            "alias_given_name": st.none() | st.sampled_from(["", "Alias"]),
            "alias_family_name": st.none() | st.sampled_from(["", "Alias"]),
        }
    )
)
def test_nothing_withheld_is_left_in_any_field_of_a_protected_person(fields: dict[str, Any]) -> None:
    person = human("ane", **{"given_name": "Hemmelig", "family_name": "Hemmelig", "protected": True, **fields})
    seen = visible(person)
    assert "hemmelig" not in str(seen).lower()
    assert seen.given_name or seen.family_name, "a target that must have a name gets one"
    assert visible(seen) == seen


# ---------------------------------------------------------------- the only way to a target


class TestAView:
    def view(self, bench: Bench, user: str = "ane", institutions: frozenset[str] | None = None) -> dict[str, Any]:
        with bench.store.read() as reader:
            made = views(reader, Scope(TOWN, institutions), Kind.PERSON, [(user,)])
        return made.get((user,), {})

    def test_of_a_protected_person_holds_the_alias_and_no_address(self) -> None:
        bench = Bench()
        bench.take(pupil("ane", protected=True, alias_given_name="Alias", address=Address("Hemmelig Vej")))
        view = self.view(bench)
        assert (view["given_name"], view["family_name"], view["address"]) == ("Alias", "", None)
        assert "Holm" not in str(view) and "Hemmelig" not in str(view)

    def test_hides_who_is_protected_by_another_institution_even_one_out_of_scope(self) -> None:
        bench = Bench()
        bench.take(pupil("ane"))
        bench.take(
            pupil("bo", contacts=[parent("ane", protected=True)]), head=header(OTHER_SCHOOL), expected=OTHER_SCHOOL
        )
        assert "Holm" not in str(self.view(bench, institutions=frozenset({SCHOOL})))

    def test_of_a_person_known_to_other_institutions_only_is_none(self) -> None:
        bench = Bench()
        bench.take(pupil("ane"))
        assert self.view(bench, institutions=frozenset({OTHER_SCHOOL})) == {}

    def test_shows_roles_in_scope_only(self) -> None:
        bench = Bench()
        bench.take(pupil("ane"))
        bench.take(pupil("bo", contacts=[parent("ane")]), head=header(OTHER_SCHOOL), expected=OTHER_SCHOOL)
        assert self.view(bench)["kinds"] == ["student", "contact"]
        assert self.view(bench, institutions=frozenset({OTHER_SCHOOL}))["kinds"] == ["contact"]
        assert self.view(bench, institutions=frozenset({OTHER_SCHOOL}))["affiliations"] == []

    def test_holds_every_field_of_a_person_under_the_name_of_the_model(self) -> None:
        bench = Bench()
        bench.take(pupil("ane"))
        assert set(VALUE_FIELDS[Kind.PERSON]) <= self.view(bench).keys()


def test_a_store_that_is_read_tells_the_real_name_to_nobody_but_the_state() -> None:
    """The state itself keeps the real name: a protection that is lifted must find it again."""
    bench = Bench()
    bench.take(pupil("ane", protected=True))
    refresh(bench.store, bench.rendering, bench.policy, bench.book, bench.clock.now)
    stored = bench.entities(Kind.PERSON)["ane",]
    assert isinstance(stored, Person) and stored.family_name == "Holm"
    bench.drain()
    assert "Holm" not in str(bench.target.documents)

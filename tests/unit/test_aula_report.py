"""What Aula will see of documents, each finding with the neighbour that is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from bridge.connector import ConfigError, Document, Reported, Reports
from bridge.mapping import load_mapping
from connectors.aula.report import CODES, findings
from connectors.aula.target import ObserveTarget

SCHOOL, OTHER = "101001", "101002"


@dataclass
class Town:
    """Documents as `aula/observe` renders them."""

    made: list[Document] = field(default_factory=list)

    def add(self, resource: str, **body: Any) -> Town:
        self.made.append(Document(resource, body))
        return self

    def person(self, user: str, kind: str | None = "student", at: str = SCHOOL, **more: Any) -> Town:
        """Somebody whom one institution knows, with a number unless it is said otherwise."""
        told = {"protected": False, "has_civil_registration_number": True, **more}
        self.add("person", user_id=user, institutions=[at], **told)
        return self.affiliation(user, kind, at) if kind else self

    def affiliation(self, user: str, kind: str, at: str = SCHOOL) -> Town:
        return self.add("affiliation", institution_number=at, user_id=user, kind=kind)

    def tie(self, child: str, contact: str, relation: str | None = "mother", at: str = SCHOOL) -> Town:
        told = {} if relation is None else {"relation": relation}
        return self.add(
            "guardianship", institution_number=at, child_user_id=child, contact_user_id=contact, **told
        )

    def family(self, child: str, number: int, at: str = SCHOOL, first: int = 0) -> Town:
        """A pupil's contact persons, so many of them."""
        for one in range(first, first + number):
            self.person(f"{child}-{one}", None, at).tie(child, f"{child}-{one}", at=at)
        return self

    def told(self, *codes: str) -> list[tuple[str, str, str | None]]:
        return [(one.institution, one.code, one.subject) for one in self.all() if one.code in codes]

    def all(self) -> list[Reported]:
        return list(ObserveTarget().report(self.made))


@pytest.fixture
def town() -> Town:
    return Town()


def test_people_are_counted_by_what_they_are_at_each_institution(town: Town) -> None:
    town.person("anna").person("bo", "employee").affiliation("bo", "external", OTHER)
    town.person("eva", None).tie("anna", "eva").person("ove", None)
    counts = Counter((one.institution, one.code) for one in town.all())
    assert counts == {
        (SCHOOL, "student"): 1,
        (SCHOOL, "employee"): 1,
        (SCHOOL, "contact"): 1,
        (SCHOOL, "no_role"): 1,
        (OTHER, "external"): 1,
    }


def test_a_contact_person_of_two_children_is_one_contact_person(town: Town) -> None:
    town.person("anna").person("bo").person("eva", None).tie("anna", "eva").tie("bo", "eva")
    assert town.told("contact") == [(SCHOOL, "contact", None)]


def test_who_is_only_counted_is_not_named(town: Town) -> None:
    town.person("anna").family("anna", 1)
    assert {one.subject for one in town.all()} == {None}


def test_somebody_protected_is_told_with_or_without_alias(town: Town) -> None:
    town.person("anna", protected=True, has_alias_given_name=True).person("bo", protected=True)
    town.person("cleo", protected=True, has_alias_family_name=True)
    town.person("dan", has_alias_given_name=True).family("anna", 1)
    assert town.told("protected", "alias_in_use", "protected_without_alias") == [
        (SCHOOL, "protected", "anna"),
        (SCHOOL, "alias_in_use", "anna"),
        (SCHOOL, "protected", "bo"),
        (SCHOOL, "protected_without_alias", "bo"),
        (SCHOOL, "protected", "cleo"),
        (SCHOOL, "alias_in_use", "cleo"),
    ]


class TestIdentity:
    NONE: ClassVar[dict[str, Any]] = {"has_civil_registration_number": False}

    def told(self, town: Town) -> list[tuple[str, str, str | None]]:
        return town.told(*(code for code in CODES if "identity" in code))

    def test_whoever_has_no_number_is_told_as_what_they_are(self, town: Town) -> None:
        town.person("anna").person("bo", **self.NONE).person("cleo", "employee", **self.NONE)
        assert self.told(town) == [
            (SCHOOL, "student_without_identity", "bo"),
            (SCHOOL, "employee_without_identity", "cleo"),
        ]

    def test_everybody_with_a_number_is_no_finding(self, town: Town) -> None:
        town.person("anna").person("bo", "employee")
        assert self.told(town) == []

    def test_where_nobody_has_a_number_none_was_asked_for(self, town: Town) -> None:
        town.person("anna", **self.NONE).person("bo", **self.NONE).person("cleo", at=OTHER)
        assert self.told(town) == [(SCHOOL, "identity_not_told", None)]

    def test_the_number_of_somebody_protected_may_have_been_withheld(self, town: Town) -> None:
        town.person("anna").person("bo", protected=True, **self.NONE)
        assert self.told(town) == [(SCHOOL, "protected_without_identity", "bo")]


class TestContacts:
    CODES = ("without_contacts", "too_many_contacts", "contacts_not_told")

    def test_ten_are_allowed_and_eleven_are_too_many(self, town: Town) -> None:
        town.person("anna").family("anna", 10).person("bo").family("bo", 11)
        assert town.told(*self.CODES) == [(SCHOOL, "too_many_contacts", "bo")]

    def test_they_count_together_wherever_the_child_goes_to_school(self, town: Town) -> None:
        town.person("anna").affiliation("anna", "student", OTHER)
        town.family("anna", 6).family("anna", 6, OTHER, first=5)
        assert town.told(*self.CODES) == [(at, "too_many_contacts", "anna") for at in (SCHOOL, OTHER)]

    def test_the_same_person_at_two_schools_counts_once(self, town: Town) -> None:
        town.person("anna").affiliation("anna", "student", OTHER).family("anna", 10).family("anna", 10, OTHER)
        assert town.told(*self.CODES) == []

    def test_a_pupil_without_any_is_told_and_an_employee_is_not(self, town: Town) -> None:
        town.person("anna").family("anna", 1).person("bo").person("cleo", "employee")
        assert town.told(*self.CODES) == [(SCHOOL, "without_contacts", "bo")]

    def test_where_no_pupil_has_any_none_was_asked_for(self, town: Town) -> None:
        town.person("anna").person("bo").person("cleo", "employee", OTHER)
        assert town.told(*self.CODES) == [(SCHOOL, "contacts_not_told", None)]

    @pytest.mark.parametrize(
        ("relation", "is_told"),
        [("mother", False), ("father", False), ("other", False), ("official", True), (None, True)],
    )
    def test_a_relation_that_aula_does_not_know(self, town: Town, relation: str | None, is_told: bool) -> None:
        town.person("anna").person("eva", None).tie("anna", "eva", relation)
        assert town.told("other_relation") == ([(SCHOOL, "other_relation", "anna")] if is_told else [])


def test_a_group_is_empty_when_nobody_is_in_that_one_at_that_school(town: Town) -> None:
    for number in (SCHOOL, OTHER):
        town.add("group", institution_number=number, group_id="1A")
    town.person("anna").add("membership", institution_number=SCHOOL, group_id="1A", user_id="anna")
    assert town.told("group_without_members") == [(OTHER, "group_without_members", f"{OTHER}/1A")]


def test_an_institution_of_which_nobody_is_known(town: Town) -> None:
    town.add("institution", institution_number=OTHER).add("institution", institution_number=SCHOOL).person("anna")
    assert town.told("institution_without_people") == [(OTHER, "institution_without_people", None)]


def test_the_order_in_which_documents_come_makes_no_difference(town: Town) -> None:
    town.person("anna", protected=True).family("anna", 11).person("bo", has_civil_registration_number=False)
    there = Counter(town.all())
    town.made.reverse()
    assert Counter(town.all()) == there


def test_every_code_is_explained(town: Town) -> None:
    town.person("anna", protected=True, has_civil_registration_number=False).person("bo").family("bo", 11)
    assert {one.code for one in town.all()} <= CODES.keys()
    assert isinstance(ObserveTarget(), Reports)


@pytest.mark.parametrize(
    "resource", ["institution", "group", "person", "affiliation", "guardianship", "membership"]
)
def test_a_mapping_that_leaves_out_what_is_needed_is_refused_by_name(resource: str) -> None:
    with pytest.raises(ConfigError, match=f"of a {resource}; use the mapping aula/observe"):
        list(findings([Document(resource, {})]))


def test_a_resource_of_a_municipality_of_its_own_is_passed_over() -> None:
    assert list(findings([Document("room", {"name": "A.1.02"})])) == []


def test_the_preset_reads_no_name_and_no_number() -> None:
    reads = {path for one in load_mapping("aula/observe").resources for path in _reads(one)}
    assert reads.isdisjoint({"given_name", "family_name", "civil_registration_number", "birth_date", "email"})
    assert "has_civil_registration_number" in reads
    agreed = {path for one in load_mapping("aula/agreement").resources for path in _reads(one)}
    assert "has_civil_registration_number" not in agreed


def _reads(resource: Any) -> Iterator[str]:
    return (path for _, rule in resource.leaves() for path in rule.reads)

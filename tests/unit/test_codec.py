"""Entities as plain values: what a mapping can name must be there in a shape that it can follow."""

from __future__ import annotations

from bridge.domain.entities import Affiliation, Code, Membership, Role
from bridge.engine.codec import public_fields
from bridge.mapping import look_up

TEACHER, LEADER = Code("teacher", "Lærer"), Code("leader", "Leder")


def test_a_mapping_finds_the_roles_of_an_affiliation() -> None:
    """`roles.value` was nothing, silently: no role ever reached Aula."""
    fields = public_fields(Affiliation("101001", "ane", Role.EMPLOYEE, roles=(TEACHER, LEADER)))
    assert look_up(fields, "roles.value") == ["teacher", "leader"]


def test_a_mapping_finds_the_kinds_of_a_membership() -> None:
    fields = public_fields(Membership("101001", "1A", "ane", (Role.STUDENT, Role.EMPLOYEE)))
    assert look_up(fields, "kinds") == ["student", "employee"]

"""Whatever the source says, no preset sends a field that it does not name, a CPR number, or anything protected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.domain.entities import Address, Phone
from bridge.domain.records import PersonRecord, Record
from bridge.engine.codec import encode_body
from bridge.engine.guard import GuardPolicy
from bridge.mapping import TargetMapping, load_mapping, presets
from tests.support.anything import schools
from tests.support.bodies import places
from tests.support.engine import Bench, mapping_of

CPR = "0101104321"
SECRET = "HEMMELIG"
EVERYTHING_AT_ONCE = GuardPolicy(max_deleted_percent=100.0)
WITH_CPR = """
mapping: t
purpose: Tests
resources:
  User:
    entity: person
    fields:
      id: {from: user_id, purpose: log-in}
      cpr: {from: civil_registration_number, purpose: enrolment, legal_basis: databeskyttelsesloven § 11}
"""


def marked(records: Sequence[Record]) -> list[Record]:
    """Everybody has a CPR number, and of who is protected every word is unmistakable."""
    return [_marked(one) if isinstance(one, PersonRecord) else one for one in records]


def _marked(record: PersonRecord) -> PersonRecord:
    person = replace(record.person, civil_registration_number=CPR, email=f"{SECRET}@skole.example")
    if person.protected:
        person = replace(
            person,
            given_name=f"{SECRET}fornavn",
            family_name=f"{SECRET}efternavn",
            photo_id=f"{SECRET}foto",
            address=Address(f"{SECRET} Vej 1", "2100"),
            home_phone=Phone("70707070"),
            mobile_phone=Phone("70707071"),
        )
    else:
        person = replace(person, email="aaben@skole.example", mobile_phone=Phone("70707072", protected=True))
    return replace(record, person=person)


def allowed(mapping: TargetMapping, resource: str) -> set[str]:
    return {place for one in mapping.resources if one.name == resource for place, _ in one.leaves()}


@pytest.mark.parametrize("name", presets())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(days=st.lists(schools(), min_size=1, max_size=3))
def test_a_preset_sends_what_it_names_and_nothing_else(name: str, days: list[list[Record]]) -> None:
    mapping = load_mapping(name)
    bench = Bench(mapping=mapping, policy=EVERYTHING_AT_ONCE)
    for records in days:
        bench.take(*marked(records))
        for command in bench.drain():
            known = allowed(mapping, command.resource)
            for place in places(command.document or {}):  # below a leaf is the value that it names, whole
                assert any(place == one or place.startswith((f"{one}.", f"{one}[]")) for one in known), place
            sent = encode_body({"now": command.document or {}, "before": command.previous or {}}).decode()
            assert CPR not in sent
            assert SECRET not in sent
            assert "7070707" not in sent


def test_a_number_is_sent_where_the_mapping_names_it_with_a_legal_basis() -> None:
    from tests.support.engine import pupil

    bench = Bench(mapping=mapping_of(WITH_CPR))
    bench.take(*marked([pupil("ane")]))
    assert [command.document for command in bench.drain()] == [{"id": "ane", "cpr": CPR}]

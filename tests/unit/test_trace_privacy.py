"""Whoever looks somebody up is written down, and no answer holds a personal value."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from bridge.domain.entities import Address, Phone
from bridge.domain.outcomes import Deferred, Delivered, Rejected
from bridge.engine.trace import note_look_up, other_spelling, people_by_number
from tests.support.engine import MORNING, TOWN, Bench, header, parent, pupil, teacher
from tests.support.trace import ANE, EVERYTHING, asked, filled, person_of


class TestLookingSomebodyUp:
    def test_by_number_however_it_is_written(self) -> None:
        bench = filled(civil_registration_number="111111-1118")
        with bench.store.read() as reader:
            assert people_by_number(reader, TOWN, "1111111118") == ["ane"]
            assert people_by_number(reader, TOWN, "111111-1118") == ["ane"]
            assert people_by_number(reader, TOWN, "2222222228") == []
            assert people_by_number(reader, TOWN, "") == []

    def test_another_spelling_is_found(self) -> None:
        bench = filled()
        with bench.store.read() as reader:
            assert other_spelling(reader, TOWN, "ANE") == "ane"
            assert other_spelling(reader, TOWN, " ane") == "ane"
            assert other_spelling(reader, TOWN, "ane") is None
            assert other_spelling(reader, TOWN, "carl") is None

    def test_is_written_down_with_a_reference_and_no_name(self) -> None:
        bench = filled()
        note_look_up(bench.store, bench.book, TOWN, "ane")
        note_look_up(bench.store, bench.book, TOWN, None)
        found, lost = bench.audit()[-2:]
        assert (found["kind"], found["actor"], found["subject"]) == (
            "trace.read",
            "tests",
            bench.book.reference(ANE),
        )
        assert (lost["kind"], lost["found"]) == ("trace.read", 0)
        assert "ane" not in repr(found)


PERSONAL: dict[str, Any] = {
    "given_name": "Kanarina",
    "family_name": "Fuglekvidder",
    "alias_given_name": "Skjalina",
    "alias_family_name": "Daeknavn",
    "civil_registration_number": "3112994987",
    "email": "kanarie@postkasse.example",
    "birth_date": "1999-12-31",
    "photo_id": "foto-kanarie",
    "address": Address("Kanariestraede 117", "9999", "Fjerkraeby"),
    "home_phone": Phone("71829304"),
    "work_phone": Phone("60718293", protected=True),
}


CANARIES = (
    "kanar",
    "fuglekvidder",
    "skjalina",
    "daeknavn",
    "3112994987",
    "1999-12-31",
    "fjerkrae",
    "71829304",
    "60718293",
)


class TestNothingPersonal:
    @pytest.mark.parametrize("protected", [False, True])
    def test_stands_in_an_answer(self, protected: bool) -> None:
        bench = Bench(mapping=EVERYTHING if protected else None)
        personal = {**PERSONAL, "protected": protected}
        bench.take(pupil("ane", contacts=[parent("dorte", **personal)], **personal), teacher("bo", **personal))
        bench.target.about[ANE] = Rejected("Kanarina Fuglekvidder is refused", "Kanarina")
        bench.drain()
        bench.take(
            pupil("ane", **{**personal, "given_name": "Kanarine"}), head=header(at=MORNING + timedelta(days=1))
        )
        bench.drain()
        told = "".join(repr(msgspec.to_builtins(asked(bench, user))) for user in ("ane", "bo", "dorte"))
        assert [canary for canary in CANARIES if canary in told.casefold()] == []

    @pytest.mark.parametrize(
        ("remote_id", "shown"),
        [
            ("8b7f0d1e-93a4-4c7b-9f3e-000000000001", True),
            ("ane", True),
            (ANE, True),
            ("u-4711", True),
            ("Kanarina-1", False),
            ("3112994987", False),
            ("x311299-4987", False),
            ("kanarie@postkasse.example", False),
            ("user 1", False),
        ],
    )
    def test_stands_in_a_remote_id_that_is_shown(self, remote_id: str, shown: bool) -> None:
        bench = filled(**PERSONAL)
        bench.target.about[ANE] = Delivered(remote_id)
        bench.drain()
        assert (person_of(bench).remote_id == remote_id) == shown

    def test_the_remote_id_of_somebody_who_is_gone_is_shown_only_if_it_can_be_nobodys(self) -> None:
        bench = filled(**PERSONAL)
        bench.target.about[ANE] = Delivered("u-4711")
        bench.drain()
        bench.target.about[ANE] = Deferred("busy")
        bench.take(teacher("bo"), head=header(at=MORNING + timedelta(days=1)))
        bench.drain()
        assert str(person_of(bench).remote_id).startswith("(not shown")

"""What hides somebody may be refused: then the file loses what it must not show, and leaves all the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.connector import Command, Connector, ContractBroken, Delivered, Rejected, Unchanged
from bridge.engine.guard import GuardPolicy
from bridge.mapping import load_mapping
from bridge.ports import Delivery
from bridge.testing.memory_shelf import MemoryShelf
from connectors import ims_enterprise, oneroster, sds
from tests.support import itslearning as ims
from tests.support.engine import TARGET, TOWN, Bench, header, human, person_id, pupil
from tests.support.engine import group as class_of
from tests.support.files import FileDesk, tables, unzip
from tests.support.oneroster import OTHER, Clock, user_id
from tests.unit import test_sds

BAD = "Rose\x00"
REFUSED = Rejected("not_in_xml", "given")
HIDDEN = ims.person("anna", given=BAD, family=None)
"""A mask as it is told: without the mail, and without what was confirmed before."""


def ims_desk(*told: Command, **settings: Any) -> FileDesk:
    made = FileDesk(ims_enterprise.connector, settings)
    made.tell(*(told or ims.TOLD))
    assert made.next_day() is not None
    return made


def last(made: FileDesk) -> str:
    return made.drop.puts[-1][1].decode()


def many(count: int) -> list[Command]:
    names = [f"u{number}" for number in range(count)]
    people = [ims.person(name, family="Rigtig") for name in names]
    return [ims.school(), ims.group("1A"), *people, *(ims.member(name, "1A") for name in names)]


# ---------------------------------------------------------------- what stays


def test_who_cannot_be_told_without_it_is_taken_out_of_the_file_which_leaves() -> None:
    made = ims_desk()
    assert made.tell(HIDDEN) == [REFUSED]
    told = made.next_day()
    assert told is not None, "one of two persons, and it does not stop the file"
    assert told.counts == {"persons": 1, "groups": 4, "memberships": 2}
    assert user_id("anna") not in last(made)
    assert "Anna" not in last(made) and "anna" not in last(made)
    assert not [one for one in made.target.read_back(["person"]) if one.id == user_id("anna")]


def test_what_old_and_new_have_alike_stays_and_nothing_else() -> None:
    made = FileDesk(sds.connector)
    made.tell(*test_sds.TOLD, test_sds.user("anna", email="anna@skole.example", phone="12345678"))
    made.next_day()
    masked = test_sds.user("anna", givenName="Ro\nse", familyName="Have")
    assert made.tell(masked) == [Rejected("line_break", "givenName")]
    made.next_day()
    (anna,) = [row for row in tables(made.drop.files)["users"] if row["sourcedId"] == user_id("anna")]
    assert {name: value for name, value in anna.items() if value} == {
        "sourcedId": user_id("anna"),
        "username": "anna",
    }


def test_an_empty_file_is_no_price_either() -> None:
    made = ims_desk(ims.school(), ims.person("anna"), ims.at_school("anna"))
    made.tell(HIDDEN)
    assert made.next_day() is not None
    assert "<person>" not in last(made)


@pytest.mark.parametrize("told", [ims.group("1A", name="\x00"), ims.school(name="\x00")])
def test_a_school_or_group_that_is_refused_stays_with_all_who_are_in_it(told: Command) -> None:
    made = ims_desk()
    before = last(made)
    assert made.tell(told) == [Rejected("not_in_xml", "name")]
    assert made.next_day() is None
    assert last(made) == before


def test_who_is_told_again_is_back_and_who_goes_leaves_no_trace() -> None:
    made = ims_desk()
    made.tell(HIDDEN)
    made.next_day()
    made.tell(ims.person("anna", given="Rose", family="Have"))
    made.next_day()
    assert "Rose Have" in last(made)
    made.tell(HIDDEN)
    assert made.tell(ims.gone(HIDDEN)) == [Delivered(user_id("anna"))]
    assert made.shelf.get("person", user_id("anna")) is None


def test_who_is_taken_out_is_not_put_to_sleep_but_gone() -> None:
    made = ims_desk()
    made.tell(HIDDEN)
    assert made.tell(replace(ims.person("anna"), may_create=False)) == [Unchanged(is_gone=True)]


def test_who_was_taken_out_unhidden_keeps_nothing_that_is_hidden_later() -> None:
    made = ims_desk()
    made.tell(ims.person("anna", institutionrole=" "))
    made.tell(HIDDEN)
    kept = made.shelf.get("person", user_id("anna"))
    assert kept is not None
    assert {*kept.document} <= {"sourcedId", "userid", "institutionrole"}


def test_a_refusal_of_somebody_new_keeps_nothing() -> None:
    made = ims_desk()
    version = made.shelf.version()
    assert made.tell(ims.person("dorte", given=BAD)) == [Rejected("not_in_xml", "given")]
    assert made.shelf.version() == version


def csv_desk(**settings: Any) -> FileDesk:
    made = FileDesk(oneroster.csv_connector, {"formulas": "refuse", **settings})
    user = test_sds.user("anna", enabledUser=True, email="anna@skole.example")
    made.tell(test_sds.school(), test_sds.school(OTHER), user, test_sds.user("bo"))
    assert made.next_day() is not None
    return made


def test_oneroster_files_lose_it_too() -> None:
    made = csv_desk()
    assert made.tell(test_sds.user("anna", givenName="=Rose", familyName="Have")) == [
        Rejected("formula", "givenName")
    ]
    assert made.next_day() is not None
    content = unzip(made.drop.puts[-1][1])["users.csv"].decode()
    assert user_id("anna") in content
    assert "Anna" not in content and "anna@" not in content


def test_whoever_fetches_from_oneroster_gets_none_of_it() -> None:
    shelf = MemoryShelf(Clock())
    made = FileDesk(oneroster.csv_connector, shelf=shelf)
    made.tell(test_sds.school(), test_sds.user("anna", email="anna@skole.example"))
    foreign = test_sds.user("anna", test_sds.role("caretaker"), givenName="Rose", familyName="Have")
    assert made.tell(foreign) == [Rejected("unknown_role", "roles")]
    kept = shelf.get("user", user_id("anna"))
    assert kept is not None
    assert {*kept.document} == {"sourcedId", "username"}


# ---------------------------------------------------------------- the guard


def test_those_who_are_taken_out_count_in_the_loss_and_the_others_still_stop_the_file() -> None:
    made = ims_desk(*many(20))
    made.tell(*(ims.gone(ims.person(f"u{number}")) for number in range(3)))
    made.tell(ims.person("u8", given=BAD, family=None))
    with pytest.raises(ContractBroken, match=r"4 of 20 persons, 4 of 20 memberships.*accept_loss: 1-8 "):
        made.next_day()


def test_many_who_are_taken_out_stop_the_file_as_any_loss_does() -> None:
    made = ims_desk(*many(20))
    made.tell(*(ims.person(f"u{number}", given=BAD, family=None) for number in range(6)))
    with pytest.raises(ContractBroken, match=r"6 of 20 persons.*accept_loss: 1-12 "):
        made.next_day()
    made.restart(accept_loss="1-12")
    assert made.next_day() is not None


def test_who_was_taken_out_of_an_earlier_file_does_not_count_again() -> None:
    made = ims_desk(*many(20))
    for day in range(3):
        made.tell(*(ims.person(f"u{4 * day + number}", given=BAD, family=None) for number in range(4)))
        assert made.next_day() is not None


# ---------------------------------------------------------------- through the engine


class Town:
    """The engine with itslearning's preset and a target that leaves its file."""

    def __init__(self, connector: Connector = ims_enterprise.connector) -> None:
        self.desk = FileDesk(connector, municipality=TOWN)
        policy = GuardPolicy(max_deleted_percent=100.0, deletion_grace=timedelta(0))
        self.bench = Bench(mapping=load_mapping(connector.default_mapping or ""), policy=policy)
        self.bench.target = self.desk.target
        self.says(human("ane"))

    def says(self, ane: Any) -> str:
        """What is in the file a day after the school said this of her."""
        fields = {name: getattr(ane, name) for name in ("given_name", "family_name", "email", "protected")}
        aliases = {name: getattr(ane, name) for name in ("alias_given_name", "alias_family_name")}
        self.bench.clock.forward(days=1)
        records = (class_of("1A"), pupil("ane", **fields, **aliases), pupil("bo"))
        assert self.bench.take(*records, head=header(at=self.bench.clock.at))[0] == "recorded"
        while self.bench.deliver():
            pass
        self.desk.next_day()
        return last(self.desk)

    def row(self) -> Delivery:
        with self.bench.store.read() as reader:
            found = reader.delivery(TARGET, person_id("ane"))
        assert found is not None
        return found


def protected(given: str, family: str | None = None) -> Any:
    alias = {"alias_given_name": given, "alias_family_name": family}
    return human("ane", family_name="Rigtig", email="ane@x.example", protected=True, **alias)


def test_a_protected_pupil_with_a_given_alias_alone_goes_by_that() -> None:
    town = Town()
    assert "Rigtig" in town.says(human("ane", family_name="Rigtig", email="ane@x.example"))
    told = town.says(protected("Rose"))
    assert "<fn>Rose</fn>" in told
    assert person_id("ane") in told
    assert "Rigtig" not in told and "ane@" not in told and "Ane" not in told


def test_a_mask_that_is_refused_is_told_as_that_and_hides_until_it_can_be_told() -> None:
    town = Town()
    open_again = human("ane", family_name="Rigtig", email="ane@x.example")
    town.says(open_again)
    told = town.says(protected(BAD))
    assert person_id("ane") not in told and "Rigtig" not in told
    assert (town.row().state, town.row().reason) == ("rejected", "not_in_xml:given")
    assert "Rigtig" in town.says(open_again), "what was confirmed before is news again"
    town.says(protected(BAD))
    assert "<fn>Rose</fn>" in town.says(protected("Rose"))


def test_who_leaves_after_a_refused_mask_is_gone_for_good() -> None:
    town = Town()
    town.says(protected(BAD))
    town.bench.clock.forward(days=1)
    town.bench.take(class_of("1A"), pupil("bo"), head=header(at=town.bench.clock.at))
    while town.bench.deliver():
        pass
    assert town.desk.shelf.get("person", person_id("ane")) is None
    assert not town.row().is_due

"""Row 62 of the fault matrix: who is protected now is sent masked and first, whatever was waiting."""

from __future__ import annotations

from xml.etree.ElementTree import SubElement

import pytest

from bridge.connector import Command
from bridge.domain.entities import Kind, Person
from bridge.domain.outcomes import Deferred
from bridge.domain.privacy import WITHHELD_NAME
from tests.matrix.desk import Calm, Desk, school
from tests.support.engine import person_id
from tests.support.exports import OWN, Export

ALIAS = ("Rose", "Have")
PUPIL = school().user_id(school().pupils[0])
PERSON = person_id(PUPIL)
SECRETS = ("Hemmelig-fornavn", "Hemmelig-efternavn", "hemmelig@skole.example")


def export(hours: int, *, protected: bool = False, alias: tuple[str, str] | None = ALIAS) -> Export:
    """The school at an hour: what its first pupil is called there, and whether that is protected."""
    made = school().later(hours=hours)
    person = made.person(made.pupils[0])
    person.set("protected", "true" if protected else "false")
    for name, text in zip(("FirstName", "FamilyName", "EmailAddress"), SECRETS, strict=True):
        made.set(person, name, text)
    if alias is not None:
        for name, text in zip(("AliasFirstName", "AliasFamilyName"), alias, strict=True):
            SubElement(person, f"{{{OWN}}}{name}").text = text
    return made


def unmasked(text: str) -> set[str]:
    return {secret for secret in SECRETS if secret in text}


@pytest.fixture
def open_desk() -> Desk:
    """The pupil is not protected yet, and the target knows the name."""
    desk = Desk()
    assert desk.bring(export(0)) == ("recorded", None)
    desk.drain()
    assert unmasked(desk.sent()) == set(SECRETS)
    return desk


def test_row_62_a_protection_that_appears_corrects_the_target(open_desk: Desk) -> None:
    assert open_desk.bring(export(1, protected=True)) == ("recorded", None)
    (command,) = [each for each in open_desk.drain() if each.id == PERSON]
    document = dict(command.document or {})
    assert (document["givenName"], document["familyName"]) == ALIAS
    assert "email" not in document
    assert unmasked(open_desk.sent([command])) == set()
    assert unmasked(repr(open_desk.target.documents)) == set()


def everybody_renamed(hours: int, *, protected: bool) -> Export:
    """An hour at which there is something to send of every pupil."""
    made = export(hours, protected=protected)
    for record in made.pupils[1:]:
        made.set(made.person(record), "FamilyName", f"Nygift-{hours}")
    return made


def test_row_62_and_does_so_before_anything_else_that_waits(open_desk: Desk) -> None:
    assert open_desk.bring(everybody_renamed(1, protected=False)) == ("recorded", None)
    assert open_desk.bring(everybody_renamed(2, protected=True)) == ("recorded", None)
    commands = open_desk.drain()
    assert len(commands) > 1
    assert commands[0].id == PERSON


def test_row_62_a_name_that_still_waits_to_be_sent_is_never_sent() -> None:
    desk = Desk()
    assert desk.bring(export(0)) == ("recorded", None)
    assert desk.bring(export(1, protected=True)) == ("recorded", None)
    assert [command.id for command in desk.drain()].count(PERSON) == 1
    assert unmasked(desk.sent()) == set()
    assert ALIAS[1] in desk.sent()


def test_row_62_a_change_that_still_waits_is_never_sent(desk: Desk) -> None:
    assert desk.bring(export(1, alias=None)) == ("recorded", None)
    assert desk.bring(export(2, protected=True, alias=None)) == ("recorded", None)
    desk.drain()
    assert unmasked(desk.sent()) == set()


def test_row_62_a_second_try_of_what_was_sent_open_is_masked() -> None:
    desk = Desk()
    assert desk.bring(export(0)) == ("recorded", None)
    desk.target.about[PERSON] = Deferred("busy")
    desk.drain()
    desk.target.about.clear()
    assert desk.bring(export(1, protected=True)) == ("recorded", None)
    desk.clock.forward(days=1)
    commands = desk.drain()
    assert PERSON in {command.id for command in commands}
    assert unmasked(desk.sent(commands)) == set()
    assert unmasked(repr(desk.target.documents)) == set()


@pytest.mark.parametrize("alias", [ALIAS, None], ids=["alias", "no alias"])
def test_row_62_whoever_comes_protected_is_never_sent_open(alias: tuple[str, str] | None) -> None:
    desk = Desk()
    assert desk.bring(export(0, protected=True, alias=alias)) == ("recorded", None)
    desk.drain()
    assert unmasked(desk.sent()) == set()
    document = desk.target.documents[PERSON]
    assert (document["givenName"], document["familyName"]) == (alias or WITHHELD_NAME)


def test_row_62_a_new_alias_replaces_the_old_one(open_desk: Desk) -> None:
    open_desk.bring(export(1, protected=True))
    open_desk.drain()
    assert open_desk.bring(export(2, protected=True, alias=("Lise", "Mark"))) == ("recorded", None)
    (command,) = [each for each in open_desk.drain() if each.id == PERSON]
    assert "Lise" in open_desk.sent([command]) and unmasked(open_desk.sent([command])) == set()


def test_row_62_a_protection_that_ends_gives_the_name_back_to_the_same_account(open_desk: Desk) -> None:
    known = [command.remote_id for command in open_desk.target.commands if command.id == PERSON]
    open_desk.bring(export(1, protected=True))
    open_desk.drain()
    assert open_desk.bring(export(2)) == ("recorded", None)
    commands: list[Command] = [each for each in open_desk.drain() if each.id == PERSON]
    assert known == [None] and [command.remote_id is None for command in commands] == [False]
    assert unmasked(open_desk.sent(commands)) == set(SECRETS)


def test_row_62_many_protections_that_end_at_once_wait_for_a_person() -> None:
    def hour(hours: int, *, protected: bool) -> Export:
        made = school(8).later(hours=hours)
        for record in made.pupils:
            made.person(record).set("protected", "true" if protected else "false")
        return made

    desk = Desk()
    assert desk.bring(hour(0, protected=True)) == ("recorded", None)
    desk.drain()
    calm = Calm(desk)
    assert desk.bring(hour(1, protected=False)) == ("held", "unprotected")
    assert calm.holds()
    people = [each for each in desk.entities(Kind.PERSON).values() if isinstance(each, Person)]
    assert sum(person.protected for person in people) >= 8


def test_row_62_an_unusable_record_that_states_a_protection_protects(open_desk: Desk) -> None:
    broken = export(1, protected=True)
    student = broken.pupils[0].find(f"{{{OWN}}}Student")
    assert student is not None
    gone = student.find("{*}MainGroupId")
    assert gone is not None
    student.remove(gone)
    assert open_desk.bring(broken) == ("recorded", None)
    assert open_desk.reasons() == ["missing_main_group"]
    commands = open_desk.drain()
    assert PERSON in {command.id for command in commands}
    assert unmasked(open_desk.sent(commands)) == set()

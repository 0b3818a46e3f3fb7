"""Row 62 of the fault matrix: who is protected now is sent masked and first, whatever was waiting."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

import pytest

from bridge.connector import Command
from bridge.domain.entities import Kind, Person
from bridge.domain.outcomes import Deferred
from bridge.domain.privacy import WITHHELD_NAME
from connectors.stil.strict import UnknownCodes
from tests.matrix.desk import Calm, Desk, school
from tests.support.engine import PLATFORM, mapping_of, person_id
from tests.support.exports import COMMON, OWN, Export

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


# ---------------------------------------------------------------- records that are set aside


EVERYBODY = mapping_of(
    PLATFORM.replace("[student, employee]", "[student, employee, external, contact]").replace(
        "email: {from: email}", "email: {from: email}\n      mobile: {from: mobile_phone.number}"
    )
)


def contact_of(record: Element) -> Element:
    """The person of the first contact of a pupil's record."""
    person = record.find(f"{{{OWN}}}Student/{{{OWN}}}ContactPerson/{{{OWN}}}Person")
    assert person is not None
    return person


def told_of(desk: Desk, person: Element) -> dict[str, object]:
    desk.drain()
    return dict(desk.target.documents[person_id(person.findtext(f"{{{COMMON}}}UserId") or "")])


@pytest.mark.parametrize("unknown_codes", ["note", "quarantine"])
def test_row_62_a_contacts_protection_is_believed_though_the_childs_record_is_set_aside(
    unknown_codes: UnknownCodes,
) -> None:
    desk, before = Desk(mapping=EVERYBODY, unknown_codes=unknown_codes), school()
    contact_of(before.pupils[0]).set("protected", "false")
    assert desk.bring(before) == ("recorded", None)
    assert told_of(desk, contact_of(before.pupils[0]))["familyName"] != WITHHELD_NAME[1]
    after = before.copy().later(hours=1)
    contact_of(after.pupils[0]).set("protected", "true")
    student = after.pupils[0].find(f"{{{OWN}}}Student")
    assert student is not None
    for part in list(student):
        if unknown_codes == "note" and part.tag.endswith("MainGroupId"):
            student.remove(part)
        elif unknown_codes == "quarantine" and part.tag.endswith("Role"):
            part.text = "Nyt ord"
    assert desk.bring(after) == ("recorded", None)
    assert len(desk.reasons()) == 1
    assert told_of(desk, contact_of(after.pupils[0]))["familyName"] == WITHHELD_NAME[1]


@pytest.mark.parametrize("flag", ["true", "ja", None])
def test_row_62_a_protected_number_of_a_record_that_is_set_aside_is_hidden(flag: str | None) -> None:
    """Where the flag is missing or cannot be read, the careful answer is yes."""
    desk, before = Desk(mapping=EVERYBODY), school()
    phone = before.person(before.pupils[0]).find(f"{{{COMMON}}}MobilePhoneNumber")
    assert phone is not None
    phone.set("protected", "false")
    assert desk.bring(before) == ("recorded", None)
    assert told_of(desk, before.person(before.pupils[0]))["mobile"] == phone.text
    phone.attrib.pop("protected")
    if flag is not None:
        phone.set("protected", flag)
    family_name = before.person(before.pupils[0]).find(f"{{{COMMON}}}FamilyName")
    assert family_name is not None
    before.person(before.pupils[0]).remove(family_name)
    assert desk.bring(before.later(hours=1)) == ("recorded", None)
    assert desk.reasons() == ["missing_name"]
    assert "mobile" not in told_of(desk, before.person(before.pupils[0]))

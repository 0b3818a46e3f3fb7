"""Rows 48, 49, 54 and 55 of the fault matrix: which snapshot counts, whose it is, and what it may say."""

from __future__ import annotations

import re

import pytest

from bridge.domain.entities import Affiliation, Kind
from tests.matrix.desk import NUMBER, OTHER, Calm, Desk, school, settled
from tests.support.exports import COMMON, OWN, Export

# ---------------------------------------------------------------- 48


def test_row_48_the_same_bytes_twice_change_nothing_and_leave_one_trace(desk: Desk, calm: Calm) -> None:
    for seen in (1, 2):
        assert desk.bring(school()) == ("unchanged", None)
        assert len(desk.diary.runs) == 1 + seen
    assert desk.last_run().changes == 0
    assert calm.holds()


def test_row_48_the_same_content_exported_anew_changes_nothing_either(desk: Desk, calm: Calm) -> None:
    assert desk.bring(school().exported_later(hours=1)) == ("unchanged", None)
    assert calm.holds()


def test_row_48_twice_at_the_same_time_is_once(desk: Desk) -> None:
    new = school().later(hours=1).renamed("Ny skole").bytes()
    desk.documents.offered.clear()
    for _ in range(2):
        desk.documents.offer_document(new, NUMBER)
    assert desk.fetch() == [("recorded", None), ("unchanged", None)]


# ---------------------------------------------------------------- 49


@pytest.mark.parametrize(
    "older",
    [
        school().renamed("Ny skole").later(hours=-1),
        school().renamed("Ny skole").exported_later(seconds=-1),
        school().renamed("Ny skole").later(hours=-1).exported_later(hours=2),
        school().emptied().later(days=-30),
    ],
    ids=["all of it", "the export", "a source", "and empty"],
)
def test_row_49_an_older_snapshot_is_recorded_as_such_and_used_never(
    desk: Desk, calm: Calm, older: Export
) -> None:
    assert desk.bring(older) == ("held", "older")
    run = desk.last_run()
    assert (run.result, run.reason, run.changes) == ("held", "older", 0)
    assert calm.holds()
    assert desk.bring(school().later(hours=1).renamed("Ny skole")) == ("recorded", None)


def test_row_49_two_snapshots_in_the_wrong_order_end_as_the_newer_says(desk: Desk) -> None:
    newer, older = (school().later(hours=hours).renamed(f"Skole {hours}").bytes() for hours in (2, 1))
    assert [desk.bring(newer), desk.bring(older)] == [("recorded", None), ("held", "older")]
    assert "Skole 2" in desk.text() and "Skole 1" not in desk.text()


def test_row_49_of_the_same_time_but_of_another_content_stops_that_institution(desk: Desk, calm: Calm) -> None:
    other = school().renamed("Ny skole")
    assert desk.bring(other) == ("held", "same_time")
    (hold,) = desk.holds("open")
    assert (hold.institution, hold.reasons) == (NUMBER, ("same_time",))
    assert calm.holds()


def test_row_49_a_newer_export_ends_that(desk: Desk) -> None:
    desk.bring(school().renamed("Ny skole"))
    assert desk.bring(school().later(hours=1).renamed("Ny skole")) == ("recorded", None)
    assert desk.holds("open") == []


def test_row_49_or_a_person_decides(desk: Desk) -> None:
    desk.bring(school().renamed("Ny skole"))
    (hold,) = desk.holds("open")
    desk.decide(hold.id, approve=True)
    assert desk.apply_approved() == 1
    assert "Ny skole" in desk.text()


def test_row_49_other_institutions_go_on_meanwhile(desk: Desk) -> None:
    desk.bring(school().renamed("Ny skole"))
    assert desk.bring(school(number=OTHER), OTHER) == ("recorded", None)
    assert len(desk.holds("open")) == 1


# ---------------------------------------------------------------- 54


def everybody(export: Export) -> set[str]:
    return {export.user_id(record) for record in export.records}


def test_row_54_wrong_institution_is_refused_whole(desk: Desk, calm: Calm) -> None:
    assert desk.bring(school(number=OTHER).later(hours=1), NUMBER) == ("held", "wrong_institution")
    assert calm.holds()
    (hold,) = desk.holds("open")
    assert hold.institution == NUMBER
    assert not everybody(school(number=OTHER)) & {key[0] for key in desk.entities(Kind.PERSON)}


def test_row_54_of_another_municipality_is_refused_whole() -> None:
    desk = Desk(institutions=frozenset({NUMBER}))
    assert desk.bring(school()) == ("recorded", None)
    desk.drain()
    calm = Calm(desk)
    assert desk.bring(school(number=OTHER), expected=None) == ("held", "wrong_institution")
    assert calm.holds()


def test_row_54_of_two_institutions_at_once_is_refused_whole(desk: Desk, calm: Calm) -> None:
    one, other = school().later(hours=1), school(number=OTHER)
    mixed = one.copy()
    mixed.root.append(other.institution)
    renumbered = re.sub(
        rb"(<c:InstitutionName>)", b"<c:InstitutionNumber>101001</c:InstitutionNumber>\\1", one.bytes(), count=1
    )
    for document in (mixed.bytes(), renumbered):
        assert desk.bring(document) == ("refused", "several_institutions")
    assert calm.holds()


# ---------------------------------------------------------------- 55


def changed(old: bytes, new: bytes, count: int = 1) -> bytes:
    """The next export with a piece of it replaced."""
    document = school().later(hours=1).bytes()
    assert old in document
    return document.replace(old, new, count)


def test_row_55_an_unknown_element_is_reported_and_goes_nowhere(desk: Desk, calm: Calm) -> None:
    novelty = b"<c:Novelty>canary-of-row-55</c:Novelty></c:Person>"
    document = changed(b"</fm:Person>", novelty.replace(b"c:Person", b"fm:Person"), -1)
    assert desk.bring(document) == ("recorded", None)
    assert (desk.reasons(), desk.reasons("noted")) == ([], ["unknown_element"])
    assert calm.holds()
    assert "canary-of-row-55" not in desk.text() + repr(desk.quarantine())


def test_row_55_an_unknown_code_is_reported_where_it_stands_and_grants_nothing(desk: Desk) -> None:
    """stil.md §3.13 asks for this, where the matrix sets the record aside; so it is a setting."""
    document = changed(b"<c:Role>Elev</c:Role>", b"<c:Role>Nyt ord</c:Role>")
    assert desk.bring(document) == ("recorded", None)
    (noted,) = [row for row in desk.quarantine() if row.severity == "noted"]
    assert (noted.reason, noted.path) == ("unknown_role", "Institution/InstitutionPerson[1]/Student")
    told = [each for each in desk.entities(Kind.AFFILIATION).values() if isinstance(each, Affiliation)]
    assert [code.value for each in told for code in each.roles if code.source == "Nyt ord"] == ["other"]
    assert [command for command in desk.drain() if command.document is None] == []


def test_row_55_an_unknown_code_sets_its_record_aside_where_the_municipality_wants_it_so() -> None:
    desk = settled(unknown_codes="quarantine")
    calm = Calm(desk)
    document = changed(b"<c:Role>Elev</c:Role>", b"<c:Role>Nyt ord</c:Role>")
    assert desk.bring(document) == ("recorded", None)
    (row,) = desk.quarantine()
    assert (row.reason, row.severity, row.user_id) == (
        "unknown_role",
        "quarantined",
        school().user_id(school().pupils[0]),
    )
    assert calm.holds()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("FamilyName", "missing_name"), ("UserId", "missing_user_id"), ("MainGroupId", "missing_main_group")],
)
def test_row_55_a_record_that_lacks_what_it_must_have_is_set_aside_alone(
    desk: Desk, calm: Calm, name: str, reason: str
) -> None:
    export = school().later(hours=1)
    first = export.pupils[0]
    parent = export.person(first) if name != "MainGroupId" else first.find(f"{{{OWN}}}Student")
    assert parent is not None
    missing = parent.find(f"{{{COMMON}}}{name}")
    assert missing is not None
    parent.remove(missing)
    assert desk.bring(export) == ("recorded", None)
    assert desk.reasons() == [reason]
    assert calm.holds()


def test_row_55_a_new_version_of_the_schema_stops_whole(desk: Desk, calm: Calm) -> None:
    for old, new in ((b"wsieksport/7", b"wsieksport/8"), (b"wsieksport/7/common", b"wsieksport/7/uncommon")):
        assert desk.bring(changed(old, new, -1)) == ("refused", "unknown_namespace")
    assert calm.holds()

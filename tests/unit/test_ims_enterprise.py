"""itslearning's file is all there is, any XML parser reads it, and one that would delete many does not leave."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from lxml import etree

from bridge.connector import Command, ContractBroken, Rejected
from bridge.testing.conformance_target import ReadsBackConformance, Samples, ShelfReceiver, TargetConformance
from connectors.ims_enterprise import ImsEnterpriseTarget, connector
from tests.support.files import FileDesk, killed_at
from tests.support.itslearning import TOLD, at_school, gone, group, member, person, school
from tests.support.oneroster import OTHER, TOWN, class_id, org_id, user_id

NAME = f"ims-enterprise-{TOWN}.xml"


def desk(*told: Command, **settings: Any) -> FileDesk:
    made = FileDesk(connector, settings)
    made.tell(*(told or TOLD))
    return made


def tree(made: FileDesk) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    return etree.fromstring(made.drop.files[NAME], parser)


def ids(root: Any, path: str) -> list[str]:
    return [str(one) for one in root.xpath(f"{path}/sourcedid/id/text()")]


# ---------------------------------------------------------------- the document


def test_persons_groups_and_memberships_are_there_with_all_that_itslearning_wants() -> None:
    made = desk()
    counts = made.next_day()
    root = tree(made)
    assert counts is not None
    assert counts.counts == {"persons": 2, "groups": 4, "memberships": 4}
    assert [one.tag for one in root] == ["properties", *["person"] * 2, *["group"] * 4, *["membership"] * 2]
    assert root.findtext("properties/datasource") == TOWN
    assert root.findtext("properties/datetime") == "2026-11-21T08:00:00Z"
    (anna,) = root.xpath(f"person[sourcedid/id='{user_id('anna')}']")
    assert [one.tag for one in anna] == ["sourcedid", "userid", "name", "email", "institutionrole"]
    assert (anna.findtext("userid"), anna.findtext("email")) == ("anna", "anna@skole.example")
    assert (anna.findtext("name/fn"), anna.findtext("name/n/given"), anna.findtext("name/n/family")) == (
        "Anna Holm",
        "Anna",
        "Holm",
    )
    assert dict(anna.find("institutionrole").attrib) == {"primaryrole": "Yes", "institutionroletype": "Student"}
    assert {one.text for one in root.iter("source")} == {TOWN}


def test_groups_are_a_tree_below_their_schools() -> None:
    made = desk()
    made.next_day()
    root = tree(made)
    told = {
        one.findtext("sourcedid/id"): (
            one.findtext("description/short"),
            one.findtext("grouptype/scheme"),
            one.findtext("grouptype/typevalue"),
            one.find("grouptype/typevalue").get("level"),
            one.findtext("relationship[@relation='1']/sourcedid/id"),
        )
        for one in root.iter("group")
    }
    scheme = "ItslearningOrganisationTypes"
    assert told == {
        org_id(): ("Skolen 101001", scheme, "School", "1", None),
        org_id(OTHER): ("Skolen 101002", scheme, "School", "1", None),
        class_id("1A"): ("Klasse 1A", scheme, "Course", "2", org_id()),
        class_id("1B", OTHER): ("Klasse 1B", scheme, "CourseGroup", "2", org_id(OTHER)),
    }
    places = {identifier: at for at, identifier in enumerate(ids(root, "group"))}
    assert all(places[parent] < places[key] for key, (*_, parent) in told.items() if parent)


def test_members_have_their_role_types_once_each_person() -> None:
    made = desk()
    made.next_day()
    told = {
        (one.findtext("sourcedid/id"), who.findtext("sourcedid/id"), who.findtext("idtype")): [
            (role.get("roletype"), role.findtext("status")) for role in who.iter("role")
        ]
        for one in tree(made).iter("membership")
        for who in one.iter("member")
    }
    assert told == {
        (org_id(), user_id("anna"), "1"): [("01", "1")],
        (org_id(), user_id("bo"), "1"): [("02", "1"), ("07", "1")],
        (class_id("1A"), user_id("anna"), "1"): [("01", "1")],
        (class_id("1A"), user_id("bo"), "1"): [("02", "1")],
    }


def test_what_refers_to_nothing_is_left_out() -> None:
    made = desk(*TOLD, group("9Z", "999999"), member("anna", "9Z", number="999999"), member("dorte", "1A"))
    counts = made.next_day()
    assert counts is not None
    assert counts.counts == {"persons": 2, "groups": 4, "memberships": 4}


def test_the_ids_are_those_that_itslearning_knows() -> None:
    made = desk(school(sourcedId="s1"), group("1A"), person("anna", sourcedId="anna"), member("anna", "1A"))
    made.next_day()
    root = tree(made)
    assert ids(root, "person") == ids(root, "membership/member") == ["anna"]
    assert ids(root, "group/relationship") == ["s1"]


def test_two_groups_with_one_id_never_leave() -> None:
    made = desk(*TOLD, group("1C", sourcedId="1C"), group("1C", OTHER, sourcedId="1C"))
    with pytest.raises(ContractBroken, match="two of the groups have the same sourcedId"):
        made.next_day()
    assert made.drop.puts == []


def test_recstatus_and_source_are_as_set() -> None:
    made = desk(recstatus="2", source="skolebro")
    made.next_day()
    root = tree(made)
    assert {one.get("recstatus") for one in (*root.iter("person"), *root.iter("group"))} == {"2"}
    assert {one.text for one in root.iter("source")} == {"skolebro"}


def test_text_comes_back_as_it_was() -> None:
    hostile = "Bo </family>]]>&amp; \"'\t\n\r\u2028\U0001f600 <!--"
    made = desk(school(), person("bo", family=hostile, institutionrole='A\t"&<\r\nB'))
    made.next_day()
    root = tree(made)
    assert root.findtext("person/name/n/family") == hostile
    assert root.find("person/institutionrole").get("institutionroletype") == 'A\t"&<\r\nB'


@pytest.mark.parametrize("there", ["given", "family"])
def test_an_alias_of_one_word_stands_in_both_parts_and_alone_in_the_full_name(there: str) -> None:
    made = desk(school(), person("anna", **{"given": None, "family": None, there: "Rose"}))
    made.next_day()
    name = tree(made).find("person/name")
    assert (name.findtext("fn"), name.findtext("n/given"), name.findtext("n/family")) == ("Rose", "Rose", "Rose")


# ---------------------------------------------------------------- when it leaves


def test_nothing_new_is_not_handed_over_again_though_the_time_is_another() -> None:
    one, two = desk(), desk(*reversed(TOLD))
    one.next_day()
    two.next_day()
    assert one.drop.puts == two.drop.puts
    one.restart()
    assert one.next_day() is None
    assert two.next_day() is None


def test_no_file_before_there_is_anybody() -> None:
    made = desk(school(), group("1A"))
    assert made.next_day() is None
    assert made.drop.puts == []


@pytest.mark.parametrize("line", ["handed_over_ids", "handed_over"])
def test_killed_before_it_is_noted_the_same_file_leaves_again(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = desk()
    with monkeypatch.context() as patch:
        patch.setattr(type(made.shelf), "set_note", killed_at(line, type(made.shelf).set_note))
        with pytest.raises(KeyboardInterrupt):
            made.next_day()
    made.restart()
    assert made.target.hand_over() is not None
    assert made.drop.puts[0] == made.drop.puts[1]


# ---------------------------------------------------------------- what would be deleted


def many(count: int) -> list[Command]:
    names = [f"u{number}" for number in range(count)]
    return [school(), group("1A"), *map(person, names), *(member(name, "1A") for name in names)]


def test_a_file_that_lacks_up_to_the_limit_leaves() -> None:
    made = desk(*many(20))
    made.next_day()
    made.tell(gone(person("u1")), gone(member("u1", "1A")), gone(person("u2")), gone(member("u2", "1A")))
    assert made.next_day() is not None


def test_a_file_that_lacks_more_does_not_leave_until_that_very_loss_is_accepted() -> None:
    made = desk(*many(20))
    made.next_day()
    before = dict(made.drop.files)
    lost = [f"u{number}" for number in range(3)]
    made.tell(*(gone(person(name)) for name in lost))  # and with them three memberships
    with pytest.raises(ContractBroken, match=r"3 of 20 persons, 3 of 20 memberships.*accept_loss: 1-6 "):
        made.next_day()
    assert made.drop.files == before
    made.restart(accept_loss="1-6")
    made.tell(gone(person("u3")))  # more than was accepted
    with pytest.raises(ContractBroken, match="accept_loss: 1-8 "):
        made.next_day()
    made.restart(accept_loss="1-8")
    assert made.next_day() is not None
    made.tell(*(gone(person(f"u{number}")) for number in range(4, 8)))  # it was good for one file
    with pytest.raises(ContractBroken, match="accept_loss: 2-8 "):
        made.next_day()


def test_as_many_new_ones_hide_no_loss() -> None:
    made = desk(*many(20))
    made.next_day()
    made.tell(*(gone(person(f"u{n}")) for n in range(20)), *(person(f"v{n}") for n in range(20)))
    made.tell(*(member(f"v{n}", "1A") for n in range(20)))
    with pytest.raises(ContractBroken, match="20 of 20 persons"):
        made.next_day()


def test_another_id_for_everybody_is_a_loss_of_everybody() -> None:
    made = desk(*many(20))
    made.next_day()
    made.tell(*(person(f"u{n}", sourcedId=f"u{n}") for n in range(20)))  # as after another mapping
    with pytest.raises(ContractBroken, match="20 of 20 persons, 20 of 20 memberships"):
        made.next_day()


def test_another_source_is_a_loss_of_everything() -> None:
    made = desk(*many(20))
    made.next_day()
    made.restart(source="other")
    with pytest.raises(ContractBroken, match="20 of 20 persons, 2 of 2 groups, 20 of 20 memberships"):
        made.next_day()


def test_a_loss_over_days_that_nothing_left_is_counted_whole() -> None:
    made = desk(*many(20), every="7d")
    made.next_day()
    for number in range(5):
        made.clock.at += timedelta(days=1)
        made.tell(gone(person(f"u{number}")))
        assert made.target.hand_over() is None
    made.clock.at += timedelta(days=5)
    with pytest.raises(ContractBroken, match="5 of 20 persons"):
        made.target.hand_over()


def test_who_comes_back_before_the_file_is_no_loss() -> None:
    made = desk(*many(20))
    made.next_day()
    made.tell(*(gone(person(f"u{number}")) for number in range(10)))
    made.tell(*(person(f"u{number}") for number in range(10)), person("new"))
    assert made.next_day() is not None


def test_an_empty_file_never_leaves_whatever_is_accepted() -> None:
    made = desk(*many(3), max_lost_percent=100, accept_loss="1-99")
    made.next_day()
    made.tell(*(gone(person(f"u{number}")) for number in range(3)))
    with pytest.raises(ContractBroken, match="no persons and no memberships any more"):
        made.next_day()
    assert len(made.drop.puts) == 1


def test_nobody_is_named_in_the_text_of_a_stop() -> None:
    made = desk(*many(3))
    made.next_day()
    made.tell(gone(person("u1")))
    with pytest.raises(ContractBroken) as caught:
        made.next_day()
    assert "u1" not in str(caught.value)
    assert user_id("u1") not in str(caught.value)


# ---------------------------------------------------------------- what can be in no file


@pytest.mark.parametrize(
    ("told", "refusal"),
    [
        (person("bo", given=None, family=None), Rejected("required_missing", "given")),
        *((person("bo", **{name: " "}), Rejected("required_missing", name)) for name in ("given", "family")),
        (person("bo", institutionrole=" "), Rejected("required_missing", "institutionrole")),
        (person("bo", sourcedId=""), Rejected("required_missing", "sourcedId")),
        (person("bo", family="B\x00"), Rejected("not_in_xml", "family")),
        (person("bo", family="B\ufffe"), Rejected("not_in_xml", "family")),
        (person("bo", family="B\ud800"), Rejected("not_in_xml", "family")),
        (group("1A", name=None), Rejected("required_missing", "name")),
        (group("1A", parent=None), Rejected("required_missing", "parent")),
        (group("1A", type="Klasse"), Rejected("unknown_type", "type")),
        (group("1A", sourcedId="x" * 65), Rejected("too_long", "sourcedId")),
        (member("anna", "1A", "09"), Rejected("unknown_role", "role")),
        (at_school("anna", "student"), Rejected("unknown_role", "role")),
        (replace(person("bo"), resource="user"), Rejected("resource_not_configured", "user")),
    ],
)
def test_what_itslearning_cannot_take_is_refused_and_the_next_is_taken(told: Command, refusal: Rejected) -> None:
    first, second = desk().tell(told, person("erik"))
    assert first == refusal
    assert not isinstance(second, Rejected)


class TestContract(TargetConformance, ReadsBackConformance):
    @pytest.fixture
    def receiver(self) -> ShelfReceiver:
        return ShelfReceiver()

    @pytest.fixture
    def target(self, receiver: ShelfReceiver) -> ImsEnterpriseTarget:
        made = FileDesk(connector, shelf=receiver).target
        assert isinstance(made, ImsEnterpriseTarget)
        return made

    @pytest.fixture
    def samples(self) -> Samples:
        return Samples.of("person", "person", {"user_id": "astr1234"}, {"user_id": "cars1234"}, _person)


def _person(identifier: str, name: str) -> dict[str, Any]:
    return {"sourcedId": identifier, "given": name, "family": "Holm", "institutionrole": "Student"}

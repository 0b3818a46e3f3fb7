"""A municipality, or one school, changes a mapping by a few lines; what it does not name stays as it was."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bridge.domain.entities import Kind
from bridge.domain.errors import MappingError
from bridge.mapping import TargetMapping, load_mapping, presets, require_purposes

BASE = """mapping: base
purpose: Tests
resources:
  User:
    entity: person
    when: {kinds: [student, employee]}
    fields:
      userName: {from: user_id, required: true, purpose: log-in}
      name:
        givenName: {from: given_name, purpose: shown}
        familyName: {from: family_name, purpose: shown}
      emails:
        - value: {from: email, purpose: notifications}
          type: {const: work}
      grade: {from: affiliations.level, codes: {"1": "01", "2": "02"}, purpose: material}
  Group:
    entity: group
    fields:
      displayName: {from: name, required: true}
"""
PUPIL = {
    "user_id": "anna0001",
    "given_name": "Anna",
    "family_name": "Ås",
    "email": "a@b.dk",
    "kinds": ["student"],
    "affiliations": [
        {"institution_number": "101001", "level": "1"},
        {"institution_number": "101002", "level": "2"},
    ],
    "institutions": ["101001", "101002"],
}
CLASS = {"institution_number": "101001", "institution_name": "Engskolen", "name": "1A", "type": {"value": "main"}}


class Files:
    """Mapping files in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.write("base.yaml", BASE)

    def write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text, encoding="utf-8")

    def load(self, name: str = "own.yaml") -> TargetMapping:
        return load_mapping(name, self._folder)

    def own(self, text: str) -> TargetMapping:
        self.write("own.yaml", f"extends: base.yaml\n{text}")
        return self.load()

    def refusal(self, text: str) -> str:
        with pytest.raises(MappingError) as caught:
            self.own(text)
        return str(caught.value).replace(f"{self._folder}/", "")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def body(mapping: TargetMapping, kind: Kind = Kind.PERSON, **view: Any) -> dict[str, Any] | None:
    made = mapping.render(kind, (PUPIL if kind is Kind.PERSON else CLASS) | view)
    return made[1] if made else None


# ---------------------------------------------------------------- extending


def test_what_is_not_named_stays_as_it_was(files: Files) -> None:
    assert body(files.own("mapping: own\n")) == body(files.load("base.yaml"))
    assert files.load().name == "own"


def test_null_removes_a_field_an_object_or_a_resource(files: Files) -> None:
    own = files.own("resources:\n  User: {fields: {name: {givenName: null}, emails: null}}\n  Group: null\n")
    assert body(own) == {"userName": "anna0001", "name": {"familyName": "Ås"}, "grade": ["01", "02"]}
    assert own.kinds() == {Kind.PERSON}


def test_a_rule_without_from_changes_the_verbs_that_it_names(files: Files) -> None:
    own = files.own(
        'resources: {User: {fields: {userName: {format: "{}@by.dk"}, grade: {codes: {"2": "2nd"}}}}}\n'
    )
    assert body(own) == (body(files.load("base.yaml")) or {}) | {
        "userName": "anna0001@by.dk",
        "grade": ["01", "2nd"],
    }
    rule = dict(own.resources[0].leaves())["userName"]
    assert (rule.required, rule.purpose) == (True, "log-in")


def test_a_rule_with_from_is_a_whole_new_rule_with_no_purpose_of_the_old_one(files: Files) -> None:
    own = files.own("resources: {User: {fields: {userName: {from: email}}}}\n")
    rule = dict(own.resources[0].leaves())["userName"]
    assert (rule.sources, rule.required, rule.purpose) == (("email",), False, None)


def test_the_element_of_a_list_is_changed_like_a_table(files: Files) -> None:
    own = files.own("resources: {User: {fields: {emails: [{type: {const: school}}]}}}\n")
    assert (body(own) or {})["emails"] == [{"value": "a@b.dk", "type": "school"}]


def test_a_new_field_and_a_new_resource_come_last(files: Files) -> None:
    own = files.own(
        "resources:\n  User: {fields: {active: {const: true}}}\n"
        "  School: {entity: institution, fields: {name: {from: name}}}\n"
    )
    assert list(body(own) or {})[-1] == "active"
    assert [one.name for one in own.resources] == ["User", "Group", "School"]


def test_a_preset_can_be_extended_by_a_file_and_that_by_another(files: Files) -> None:
    files.write("town.yaml", "extends: scim/core\nmapping: town\nresources: {User: {fields: {emails: null}}}\n")
    files.write("own.yaml", "extends: town.yaml\nresources: {User: {fields: {userType: null}}}\n")
    places = [place for place, _ in files.load().resources[0].leaves()]
    assert "userName" in places
    assert not [place for place in places if place.startswith(("emails", "userType"))]


def test_any_change_in_the_chain_is_another_digest(files: Files) -> None:
    first = files.own("mapping: own\n").digest
    files.write("base.yaml", BASE.replace("log-in", "sign-in"))
    second = files.load().digest
    assert len({first, second, files.own("mapping: own2\n").digest}) == 3


def test_a_path_is_below_the_file_that_names_it(files: Files, tmp_path: Path) -> None:
    (tmp_path / "schools").mkdir()
    files.write("schools/own.yaml", "extends: ../base.yaml\n")
    assert files.load("schools/own.yaml").resources == files.load("base.yaml").resources


def test_files_that_extend_each_other_are_refused(files: Files) -> None:
    files.write("base.yaml", "extends: own.yaml\n")
    assert "extends itself" in files.refusal("mapping: own\n")


def test_what_is_wrong_below_is_told_with_both_places(files: Files) -> None:
    files.write("base.yaml", "purpose: x\npurpose: y\n")
    assert files.refusal("mapping: own\n") == ("own.yaml:1: extends: base.yaml:2: purpose: this key stands twice")


@pytest.mark.parametrize("name", ["scim/kore", "[1]", "''"])
def test_what_cannot_be_extended_is_told(files: Files, name: str) -> None:
    files.write("own.yaml", f"mapping: own\nextends: {name}\n")
    with pytest.raises(MappingError, match=r"own\.yaml:2: extends: "):
        files.load()


# ---------------------------------------------------------------- a null that removes nothing


def _of_school(fields: str) -> str:
    return f"institutions:\n  101001:\n    resources:\n      User:\n        fields: {fields}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            _of_school("{emial: null}"),
            "own.yaml:6: institutions.101001.resources.User.fields.emial: null takes away what is there, but "
            "there is no 'emial' to take away; did you mean 'emails'? there are userName, name, emails, grade",
        ),
        (
            "resources:\n  User:\n    fields:\n      emial: null\n",
            "own.yaml:5: resources.User.fields.emial: null takes away what is there, but there is no 'emial' to "
            "take away; did you mean 'emails'?",
        ),
        (_of_school("{name: {givenname: null}}"), "own.yaml:6: institutions.101001.resources.User.fields.name."),
        (
            _of_school("{emails: [{valeu: null}]}"),
            "own.yaml:6: institutions.101001.resources.User.fields.emails[].",
        ),
        (_of_school("{nmae: {givenName: null}}"), "own.yaml:6: institutions.101001.resources.User.fields.nmae."),
        ("resources: {Usr: {fields: {emails: null}}}\n", "own.yaml:2: resources.Usr.fields.emails: "),
        ("resources: {Goup: null}\n", "own.yaml:2: resources.Goup: "),
        ("resources: {User: {fields: {new: {value: null, type: {const: x}}}}}\n", "own.yaml:2: resources.User."),
        ("resources: {User: {fields: {grade: {cods: null}}}}\n", "own.yaml:2: resources.User.fields.grade.cods: "),
        ("institutions: {101001: null}\n", "own.yaml:2: institutions.101001: null takes away"),
        ("institutions: {101001: {resources: {Usr: null}}}\n", "own.yaml:2: institutions.101001.resources.Usr: "),
    ],
)
def test_a_null_that_removes_nothing_is_a_misspelt_name(files: Files, text: str, told: str) -> None:
    assert files.refusal(text).startswith(told)


def test_a_null_of_a_school_is_looked_at_in_a_file_that_extends_nothing_too(files: Files) -> None:
    files.write("own.yaml", BASE + _of_school("{emial: null}"))
    with pytest.raises(MappingError, match=r"own\.yaml:24: .*fields\.emial: .* did you mean 'emails'"):
        files.load()


def test_what_is_taken_away_of_a_school_below_may_go_everywhere_above(files: Files) -> None:
    files.write("town.yaml", f"extends: base.yaml\n{_of_school('{emails: null}')}")
    files.write("own.yaml", "extends: town.yaml\nresources: {User: {fields: {emails: null}}}\n")
    assert "emails" not in (body(files.load()) or {})


def test_what_only_a_school_has_can_be_taken_away_from_it_again(files: Files) -> None:
    files.write("town.yaml", f"extends: base.yaml\n{_of_school('{nick: {from: alias_given_name, purpose: x}}')}")
    files.write("own.yaml", f"extends: town.yaml\n{_of_school('{nick: null}')}")
    assert "nick" not in (body(files.load(), alias_given_name="Nick") or {})


def test_null_as_a_value_removes_nothing_and_stays(files: Files) -> None:
    own = files.own(
        "resources: {User: {when: {kinds: {not: null}},"
        " fields: {x: {const: null}, y: {from: email, default: null}}}}\n"
    )
    assert (body(own) or {})["y"] == "a@b.dk"


# ---------------------------------------------------------------- lines


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "resources:\n  User:\n    fields:\n      x: {from: nick}\n",
            "own.yaml:5: resources.User.fields.x: a person has",
        ),
        (
            "resources:\n  User:\n    fields:\n      x: {form: name}\n",
            "own.yaml:5: resources.User.fields.x.form: exp",
        ),
        ("resources:\n  User:\n    feilds: {}\n", "own.yaml:4: resources.User: unknown key 'feilds'; allowed are"),
        (
            "resources:\n  User:\n    when:\n      kinds: {nit: x}\n",
            "own.yaml:5: resources.User.when.kinds: unknown key",
        ),
        (
            "institutions:\n  101001:\n    resources:\n      Usr: {}\n",
            "own.yaml:5: institutions.101001.resources.Usr: ",
        ),
        (
            "resources:\n  User:\n    fields:\n      x:\n        - value: {from: civil_registration_number}\n",
            "own.yaml:6: resources.User.fields.x[].value: expected a legal_basis",
        ),
    ],
)
def test_a_mistake_is_told_with_file_line_and_field(files: Files, text: str, told: str) -> None:
    assert files.refusal(text).startswith(told)


def test_a_mistake_that_shows_below_is_told_with_the_line_of_the_file_below(files: Files) -> None:
    files.write("base.yaml", BASE.replace("from: name, required: true", "from: nome, required: true"))
    assert files.refusal("mapping: own\n").startswith(
        "base.yaml:19: resources.Group.fields.displayName: a group has"
    )


# ---------------------------------------------------------------- one school


SCHOOL = """institutions:
  101001:
    resources:
      User: {fields: {emails: null}}
      Group: {when: {type.value: {not: team}}, fields: {displayName: {format: "{institution_name} {}"}}}
"""


def test_a_school_has_its_own_rules_and_the_others_keep_theirs(files: Files) -> None:
    own = files.own(SCHOOL)
    assert body(own, Kind.GROUP) == {"displayName": "Engskolen 1A"}
    assert body(own, Kind.GROUP, type={"value": "team"}) is None
    assert body(own, Kind.GROUP, institution_number="101002") == {"displayName": "1A"}


def test_somebody_at_two_schools_follows_the_one_that_speaks_for_them(files: Files) -> None:
    own = files.own(SCHOOL)
    assert "emails" not in (body(own) or {})
    assert "emails" in (body(own, affiliations=PUPIL["affiliations"][::-1]) or {})
    assert "emails" not in (body(own, affiliations=[]) or {}), "then the first that tells of them"


def test_a_school_may_send_less_but_no_other_resource_and_no_other_entity(files: Files) -> None:
    own = files.own("institutions: {101001: {resources: {Group: null}}}\n")
    assert body(own, Kind.GROUP) is None
    assert body(own, Kind.GROUP, institution_number="101002") == {"displayName": "1A"}
    refused = files.refusal("institutions: {101001: {resources: {Group: {entity: institution}}}}\n")
    assert "expected the entity that it is elsewhere" in refused


def test_what_extends_another_adds_to_what_it_says_of_a_school(files: Files) -> None:
    files.write("town.yaml", f"extends: base.yaml\n{SCHOOL}")
    files.write(
        "own.yaml", "extends: town.yaml\ninstitutions: {101001: {resources: {User: {fields: {grade: null}}}}}\n"
    )
    assert body(files.load()) == {"userName": "anna0001", "name": {"givenName": "Anna", "familyName": "Ås"}}
    files.write("own.yaml", "extends: town.yaml\ninstitutions: {101001: null}\n")
    assert body(files.load()) == body(files.load("base.yaml"))


def test_rules_of_a_school_are_checked_like_all_others(files: Files) -> None:
    own = files.own(
        "institutions:\n  101001:\n    resources: {User: {fields: {nick: {from: alias_given_name}}}}\n"
    )
    with pytest.raises(MappingError, match=r"own\.yaml:4: resources\.User\.fields\.nick: expected a purpose"):
        require_purposes(own)


# ---------------------------------------------------------------- filters and templates


@pytest.mark.parametrize(
    ("when", "level", "is_sent"),
    [
        ("{not: [2, 3]}", "1", True),
        ("{not: [2, 3]}", "2", False),
        ("{not: [2, 3]}", None, True),
        ("{not: 2}", "2", False),
        ("[2, 3]", "2", True),
        ("[2, 3]", "1", False),
        ("[2, 3]", None, False),
    ],
)
def test_filters_take_values_or_all_but_these(files: Files, when: str, level: str | None, is_sent: bool) -> None:
    own = files.own(f"resources: {{Group: {{when: {{level: {when}}}}}}}\n")
    assert (body(own, Kind.GROUP, level=level) is not None) is is_sent


def test_whoever_has_one_of_the_excluded_is_excluded(files: Files) -> None:
    own = files.own("resources: {User: {when: {institutions: {not: '101002'}}}}\n")
    assert body(own) is None
    assert body(own, institutions=["101001"]) is not None


def test_a_template_names_fields_and_what_is_absent_leaves_nothing(files: Files) -> None:
    own = files.own('resources: {Group: {fields: {displayName: {format: "{institution_name} {} {level}"}}}}\n')
    assert body(own, Kind.GROUP, level="1") == {"displayName": "Engskolen 1A 1"}
    assert body(own, Kind.GROUP, institution_name=None) == {"displayName": "1A"}


def test_a_template_is_no_way_around_the_checks(files: Files) -> None:
    refused = files.refusal('resources: {User: {fields: {userName: {format: "{civil_registration_number}"}}}}\n')
    assert "expected a legal_basis" in refused
    assert "no field 'nick'" in files.refusal('resources: {User: {fields: {userName: {format: "{nick}"}}}}\n')
    own = files.own('resources: {Group: {fields: {x: {from: name, format: "{members}"}}}}\n')
    with pytest.raises(MappingError, match=r"own\.yaml:2: resources\.Group\.fields\.x: expected a purpose"):
        require_purposes(own)


# ---------------------------------------------------------------- presets


@pytest.mark.parametrize("name", presets())
def test_every_preset_says_why_it_sends_what(name: str) -> None:
    require_purposes(load_mapping(name))


def test_what_is_told_of_an_institution_or_a_groups_own_name_needs_no_purpose(files: Files) -> None:
    require_purposes(files.load("base.yaml"))


# ---------------------------------------------------------------- the how-to

_HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "mappings.md"
_EXAMPLES = re.findall(r"```yaml\n(.*?)```", _HOW_TO.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("text", _EXAMPLES, ids=lambda text: re.findall("mapping: (.*)", text)[0])
def test_the_examples_of_the_how_to_are_mappings(files: Files, text: str) -> None:
    files.write("own.yaml", text)
    require_purposes(files.load())


def test_the_first_example_does_what_it_says(files: Files) -> None:
    files.write("own.yaml", _EXAMPLES[0])
    assert (body(files.load(), Kind.GROUP, id="x", name="3A") or {})["displayName"] == "Engskolen 3A"
    assert body(files.load(), Kind.GROUP, id="x", type={"value": "team"}) is None


def test_a_condition_tells_as_much_as_a_value(files: Files) -> None:
    own = files.own("resources: {User: {fields: {isGirl: {const: true, when: {gender: '2'}}}}}\n")
    with pytest.raises(MappingError, match=r"own\.yaml:2: resources\.User\.fields\.isGirl: expected a purpose"):
        require_purposes(own)
    refused = files.refusal(
        "resources: {User: {fields: {x: {const: true, when: {civil_registration_number: '0101101234'}}}}}\n"
    )
    assert "expected a legal_basis" in refused

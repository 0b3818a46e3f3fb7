"""Whoever or whatever a mapping keeps back, the rule that did it is named."""

from __future__ import annotations

from dataclasses import replace

from bridge.domain.entities import Address, Phone
from tests.support.engine import OTHER_SCHOOL, SCHOOL, TARGET, mapping_of, parent
from tests.support.trace import asked, filled, person_of, target_of, user_mapping


class TestTheRuleThatKeepsAPersonOut:
    def test_is_the_scope(self) -> None:
        found = target_of(filled(scope={OTHER_SCHOOL}))
        assert found.sentence == (
            f"The person is not at {TARGET}: out of scope: it gets {OTHER_SCHOOL} only, and none of these tells "
            "of it."
        )
        assert found.facts == (f"it gets the institutions {OTHER_SCHOOL} only",)

    def test_is_a_kind_that_the_mapping_does_not_send(self) -> None:
        mapping = "mapping: m\npurpose: T\nresources:\n  G: {entity: group, fields: {n: {from: name}}}\n"
        assert person_of(filled(mapping=mapping)).sentence.endswith(
            "the mapping m sends nothing of the kind person."
        )

    def test_is_a_condition(self) -> None:
        bench = filled(contacts=[parent("dorte")])
        assert person_of(bench, "dorte").sentence == (
            f"The person is not at {TARGET}: resource User takes only kinds: employee, student (there is contact)."
        )

    def test_is_a_condition_on_what_may_be_personal(self) -> None:
        bench = filled(mapping=user_mapping("{n: {from: user_id}}", "{email: [hemmelig@x.example]}"))
        told = person_of(bench).sentence
        assert told.endswith("what its rule for email allows (its values may be personal and are not shown).")

    def test_is_a_required_field_that_there_is_not(self) -> None:
        bench = filled(mapping=user_mapping("{mail: {from: email, required: true}}"))
        assert person_of(bench).sentence.endswith("resource User requires mail (from email), which there is not.")

    def test_is_a_required_field_that_protection_withholds(self) -> None:
        bench = filled(
            mapping=user_mapping("{mail: {from: email, required: true}}"), protected=True, email="a@x.example"
        )
        told = person_of(bench).sentence
        assert told.endswith("requires mail (from email), which there is not, and protection withholds it.")

    def test_is_a_required_code_that_is_not_known(self) -> None:
        bench = filled(mapping=user_mapping("{t: {from: kind, required: true, codes: {employee: E}}}"))
        told = person_of(bench).sentence
        assert told.endswith("resource User requires t (from kind), whose codes do not know student.")

    def test_is_every_resource_in_turn(self) -> None:
        mapping = (
            "mapping: m\npurpose: T\nresources:\n"
            "  A: {entity: person, when: {kind: employee}, fields: {n: {from: user_id}}}\n"
            "  B: {entity: person, fields: {n: {from: email, required: true}}}\n"
        )
        told = person_of(filled(mapping=mapping)).sentence
        assert "resource A takes only kind: employee (there is student); resource B requires n" in told

    def test_is_no_rule_where_a_changed_mapping_is_not_applied_yet(self) -> None:
        bench = filled(mapping=user_mapping("{n: {from: user_id}}", "{kind: employee}"))
        bench.rendering = replace(bench.rendering, mapping=mapping_of())
        found = target_of(bench)
        assert "by the rules of now it should go there, and it has not been planned yet" in found.sentence
        assert any("is not applied yet" in fact for fact in found.facts)

    def test_is_told_of_somebody_whom_a_changed_mapping_will_take_away(self) -> None:
        bench = filled()
        bench.drain()
        bench.rendering = replace(
            bench.rendering, mapping=mapping_of(user_mapping("{n: {from: user_id}}", "{kind: employee}"))
        )
        told = person_of(bench).sentence
        assert told.startswith(f"The person is at {TARGET} as User, confirmed")
        assert told.endswith(
            "By the rules of now it would not go: resource User takes only kind: employee (there is student)."
        )


class TestTheFieldsOfAPerson:
    def test_that_go_and_that_stay(self) -> None:
        fields = person_of(filled(civil_registration_number="1111111118")).fields
        assert fields is not None
        assert fields.sent == ("userName", "givenName", "familyName")
        assert fields.not_sent == ("email: empty: no institution tells it",)
        assert {"civil_registration_number", "address", "mobile_phone", "birth_date"} <= set(fields.unnamed)
        assert "given_name" not in fields.unnamed

    def test_that_protection_withholds_or_replaces(self) -> None:
        bench = filled(
            mapping=user_mapping(
                "{n: {from: user_id}, g: {from: given_name}, m: {from: email}, "
                "s: {from: address.street}, p: {from: mobile_phone.number}}"
            ),
            protected=True,
            email="a@x.example",
            address=Address(street="Vej 1"),
            mobile_phone=Phone("12345678"),
            alias_given_name="Alma",
        )
        fields = person_of(bench).fields
        assert fields is not None
        assert fields.sent == ("n", "g")
        assert fields.withheld == ("address", "email", "given_name", "mobile_phone")
        assert fields.not_sent == (
            "g: protection puts what may be seen in the place of given_name",
            "m: withheld, because it is protected",
            "s: withheld, because it is protected",
            "p: withheld, because it is protected",
        )
        assert asked(bench).now.protection == (
            f"Name and address are protected: {SCHOOL} says so, and that holds everywhere."
        )

    def test_a_single_number_that_is_protected(self) -> None:
        bench = filled(
            mapping=user_mapping("{n: {from: user_id}, p: {from: mobile_phone.number}}"),
            mobile_phone=Phone("12345678", protected=True),
        )
        fields = person_of(bench).fields
        assert fields is not None
        assert fields.not_sent == ("p: withheld, because it is protected",)
        assert asked(bench).now.protection == f"Protected are single numbers only: mobile_phone by {SCHOOL}."

    def test_that_a_condition_or_a_table_leaves_out(self) -> None:
        bench = filled(
            mapping=user_mapping(
                "{n: {from: user_id}, a: {from: given_name, when: {kind: employee}}, "
                "b: {from: kind, codes: {x: y}}, c: {from: email, default: none}, d: {k: {const: 1}}}"
            )
        )
        fields = person_of(bench).fields
        assert fields is not None
        assert fields.not_sent == (
            "a: sent only for kind: employee (there is student)",
            "b: its codes do not know student",
            "c: the mapping's default is sent, because there is no value that it knows",
            "d.k: a constant, not sent because nothing beside it is",
        )

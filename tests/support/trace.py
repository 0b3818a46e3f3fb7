"""What tests ask of a trace, and the school that they ask about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bridge.engine.trace import Trace, trace
from bridge.engine.trace_target import AtTarget, Whereabouts
from bridge.engine.views import Scope
from tests.support.engine import TOWN, Bench, mapping_of, person_id, pupil, teacher

ANE = person_id("ane")


EVERYTHING = mapping_of("""
mapping: test/everything
purpose: Tests
resources:
  person:
    entity: person
    fields: {user_id: {from: user_id, required: true}, name: {from: given_name}}
  affiliation:
    entity: affiliation
    fields: {user_id: {from: user_id, required: true}, who: {from: person, required: true}}
  membership:
    entity: membership
    fields: {group: {from: group_id, required: true}, who: {from: person, required: true}}
""")


def asked(bench: Bench, user: str = "ane", **options: Any) -> Trace:
    with bench.store.read() as reader:
        return trace(reader, bench.book, TOWN, user, [bench.rendering], bench.clock.now(), **options)


def target_of(bench: Bench, user: str = "ane") -> AtTarget:
    (found,) = asked(bench, user).targets
    return found


def person_of(bench: Bench, user: str = "ane") -> Whereabouts:
    return target_of(bench, user).person


def texts(bench: Bench, user: str = "ane", **options: Any) -> list[str]:
    return [one.text for one in asked(bench, user, **options).timeline]


def filled(*, mapping: str | None = None, scope: set[str] | None = None, **fields: Any) -> Bench:
    """A school with Ane in it, of which nothing has been sent."""
    bench = Bench(mapping=mapping_of(mapping) if mapping else None)
    if scope is not None:
        bench.rendering = replace(bench.rendering, scope=Scope(TOWN, frozenset(scope)))
    bench.take(pupil("ane", **fields), teacher("bo"))
    return bench


def user_mapping(fields: str, when: str = "{}") -> str:
    return (
        f"mapping: test/one\npurpose: Tests\nresources:\n"
        f"  User: {{entity: person, when: {when}, fields: {fields}}}\n"
    )

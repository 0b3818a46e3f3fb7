"""Whatever schemathesis thinks of, every answer of the vendor feed is one that its OpenAPI names."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from bridge.engine.vendor_feed_cursor import AtFeed, AtLog, AtSnapshot
from tests.support.engine import TARGET, TOWN, Bench, group, parent, pupil, teacher
from tests.support.vendor_site import TOKEN, Site
from tests.support.vendors import vendor_feed

CURSORS = {
    "/events": [AtFeed({TOWN: 0}), AtFeed({TOWN: 3}), AtFeed({"9": 1})],
    "/snapshot": [AtSnapshot(AtFeed({TOWN: 5}), {TOWN: number}) for number in (0, 2, 5)],
    "/deliveries": [AtLog(), AtLog(2), AtLog(2**53)],
}
TIMES = ["2026-08-11T06:00:00Z", "2026-08-11T08:00:00.123456+02:00", "2031-01-01T00:00:00-01:00"]


@pytest.fixture(scope="session")
def contract() -> Any:
    bench = Bench()
    bench.vendor = "books"
    bench.take(group("1A"), pupil("anna", contacts=[parent("mor", protected=True)]), teacher("bo", ["1A"]))
    bench.drain()
    site = Site({TOKEN: vendor_feed(bench)}, renderings={TOKEN: [bench.rendering]})
    schema = schemathesis.openapi.from_dict(site.api.openapi())
    schema.app = site.mounted
    return schema


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("path", CURSORS)
def test_every_answer_is_one_that_is_named(contract: Any, path: str, mode: Any) -> None:
    operation = contract[path]["GET"]

    @settings(max_examples=30, derandomize=True, deadline=None, database=None, suppress_health_check=HealthCheck)
    @given(
        operation.as_strategy(generation_mode=mode),
        st.none() | st.sampled_from(CURSORS[path]),
        st.sampled_from(TIMES),
    )
    def each(case: Any, at: Any, time: str) -> None:
        if mode is GenerationMode.POSITIVE:
            case.query.pop("wait", None)  # nobody waits for what never comes
            if case.query.pop("since", None) is not None and at is None:
                case.query.pop("after", None)
                case.query["since"] = time
            if at is not None:
                case.query["after"] = at.text()
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})

    each()


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_to_who_asks_for_a_replay_is_one_that_is_named(contract: Any, mode: Any) -> None:
    operation, seen = contract["/replay"]["POST"], set()

    @settings(max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=HealthCheck)
    @given(
        operation.as_strategy(generation_mode=mode), st.sampled_from([TARGET, "102/other"]), st.sampled_from(TIMES)
    )
    def each(case: Any, target: str, time: str) -> None:
        if mode is GenerationMode.POSITIVE:
            case.body["target"] = target
            case.body |= {name: time for name in ("since", "until") if name in case.body}
            case.body |= {"after": AtLog(1).text()} if "after" in case.body else {}
        answer = case.call(headers={"Authorization": f"Bearer {TOKEN}"})
        seen.add(answer.status_code)
        # The second one is told to wait, though there is nothing wrong with what it asks for.
        case.validate_response(
            answer, excluded_checks=[positive_data_acceptance] if answer.status_code == 429 else []
        )

    each()
    assert seen >= ({202, 404, 429} if mode is GenerationMode.POSITIVE else {400})


def test_the_contract_names_every_operation(contract: Any) -> None:
    assert {result.ok().path for result in contract.get_all_operations()} == {*CURSORS, "/replay"}

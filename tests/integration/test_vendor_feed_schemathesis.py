"""Whatever schemathesis thinks of, every answer of the vendor feed is one that its OpenAPI names."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from bridge.engine.vendor_feed_cursor import AtFeed, AtSnapshot
from tests.support.engine import TOWN, Bench, group, parent, pupil, teacher
from tests.support.vendor_site import TOKEN, Site
from tests.support.vendors import vendor_feed

CURSORS = {
    "/events": [AtFeed({TOWN: 0}), AtFeed({TOWN: 3}), AtFeed({"9": 1})],
    "/snapshot": [AtSnapshot(AtFeed({TOWN: 5}), {TOWN: number}) for number in (0, 2, 5)],
}


@pytest.fixture(scope="session")
def contract() -> Any:
    bench = Bench()
    bench.take(group("1A"), pupil("anna", contacts=[parent("mor", protected=True)]), teacher("bo", ["1A"]))
    site = Site({TOKEN: vendor_feed(bench)})
    schema = schemathesis.openapi.from_dict(site.api.openapi())
    schema.app = site.mounted
    return schema


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("path", CURSORS)
def test_every_answer_is_one_that_is_named(contract: Any, path: str, mode: Any) -> None:
    operation = contract[path]["GET"]

    @settings(max_examples=30, derandomize=True, deadline=None, database=None, suppress_health_check=HealthCheck)
    @given(operation.as_strategy(generation_mode=mode), st.none() | st.sampled_from(CURSORS[path]))
    def each(case: Any, at: Any) -> None:
        if mode is GenerationMode.POSITIVE:
            case.query.pop("wait", None)  # nobody waits for what never comes
            if at is not None:
                case.query["after"] = at.text()
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})

    each()


def test_the_contract_names_every_operation(contract: Any) -> None:
    assert {result.ok().path for result in contract.get_all_operations()} == set(CURSORS)

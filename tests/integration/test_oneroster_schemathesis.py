"""Whatever schemathesis thinks of, every answer of the OneRoster provider is one that its OpenAPI names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from connectors.oneroster.collections import COLLECTIONS
from tests.support.oneroster import (
    OTHER,
    SECRET,
    TEACHER,
    V1,
    V2,
    Provider,
    basic,
    class_id,
    enrollment_id,
    gone,
    group,
    make_provider,
    member,
    org_id,
    role,
    school,
    user,
    user_id,
)

TOLD = [
    school(),
    school(OTHER),
    group("1A", grades=["01"], beginDate="2026-08-01", lastDate="2027-07-31"),
    user("anna", demographics={"birthDate": "2019-04-01", "sex": "female"}),
    user("bo", TEACHER, role("aide", "principal", number=OTHER)),
    user("carl"),
    member("anna", "1A"),
    member("bo", "1A", role="teacher"),
    gone(user("carl")),
]


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    folder: Path = tmp_path_factory.mktemp("oneroster")
    return make_provider(folder, told=TOLD)


@pytest.fixture(scope="session")
def contract(provider: Provider) -> Any:
    app = provider.target.api(lambda: True)
    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.app = app
    return schema


LISTS = [f"{base}/{one.path}" for base in (V1, V2) for one in COLLECTIONS]
MEMBERS = [f"{base}/{one.path}/{{sourcedId}}" for base in (V1, V2) for one in COLLECTIONS if one.has_members]


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("path", [*LISTS, *MEMBERS, "/token"])
def test_every_answer_is_one_that_is_named(contract: Any, provider: Provider, path: str, mode: Any) -> None:
    is_token = path == "/token"
    operation = contract[path]["POST" if is_token else "GET"]
    proof = basic("platform", SECRET) if is_token else f"Bearer {provider.token}"

    @settings(max_examples=8, derandomize=True, deadline=None, database=None, suppress_health_check=HealthCheck)
    @given(operation.as_strategy(generation_mode=mode), st.booleans())
    def each(case: Any, is_known: bool) -> None:
        if is_known and mode is GenerationMode.POSITIVE:
            case.path_parameters.update(_known(provider, path))
        case.call_and_validate(headers={"Authorization": proof})

    each()


def _known(provider: Provider, path: str) -> dict[str, str]:
    """Ids that are there, for the parameters of a path."""
    first = path.removeprefix(V1).removeprefix(V2).split("/")[1]
    ids = provider.ids(first) if first in ("terms", "courses", "academicSessions") else []
    found = {
        "orgs": org_id(),
        "schools": org_id(),
        "classes": class_id("1A"),
        "enrollments": enrollment_id("anna", "1A"),
        "teachers": user_id("bo"),
    }
    known = {"sourcedId": ids[0] if ids else found.get(first, user_id("anna"))}
    known |= {"schoolSourcedId": org_id(), "classSourcedId": class_id("1A")}
    return {name: value for name, value in known.items() if f"{{{name}}}" in path}


def test_the_contract_names_every_operation(contract: Any) -> None:
    named = {result.ok().path for result in contract.get_all_operations()}
    assert named == {*LISTS, *MEMBERS, "/token"}

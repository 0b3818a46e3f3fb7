"""The OneRoster target keeps what it is told, and of what is gone no more than where it was."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.connector import Command, ConfigError, Delivered, Rejected, TargetUnavailable, Unchanged
from bridge.domain.errors import StoreUnavailable
from bridge.testing.conformance_target import ReadsBackConformance, Samples, ShelfReceiver, TargetConformance
from bridge.testing.memory_shelf import MemoryShelf
from connectors.oneroster import OneRosterTarget
from connectors.oneroster.config import ClientConfig, OneRosterConfig
from tests.support.oneroster import (
    TEACHER,
    Clock,
    Provider,
    agent,
    class_id,
    config,
    gone,
    group,
    make_provider,
    make_target,
    member,
    org_id,
    role,
    school,
    services,
    user,
    user_id,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver() -> ShelfReceiver:
    return ShelfReceiver()


@pytest.fixture
def target(tmp_path: Path, clock: Clock, receiver: ShelfReceiver) -> OneRosterTarget:
    return make_target(tmp_path, clock, receiver)


class TestUsers(TargetConformance, ReadsBackConformance):
    @pytest.fixture
    def samples(self) -> Samples:
        return Samples.of("user", "person", {"user_id": "astr1234"}, {"user_id": "cars1234"}, _user)

    def stays(self, document: Mapping[str, Any]) -> Collection[str]:
        return {"101001", "student"}  # at which school, and as what


class TestClasses(TargetConformance, ReadsBackConformance):
    @pytest.fixture
    def samples(self) -> Samples:
        keys = [{"institution_number": "101001", "group_id": name} for name in ("1A", "1B")]
        return Samples.of("class", "group", *keys, _class)

    def stays(self, document: Mapping[str, Any]) -> Collection[str]:
        return {org_id(), "homeroom", "main"}


def _user(identifier: str, name: str) -> dict[str, Any]:
    return {
        "sourcedId": identifier,
        "username": f"{name.lower()}@skole.example",
        "enabledUser": True,
        "givenName": name,
        "familyName": "Ærø",
        "email": f"{name.lower()}@skole.example",
        "grades": ["07"],
        "roles": [{"school": "101001", "kind": "student", "roles": ["student"]}],
    }


def _class(identifier: str, name: str) -> dict[str, Any]:
    return {
        "sourcedId": identifier,
        "title": name,
        "classCode": f"code {name}",
        "classType": "homeroom",
        "groupType": "main",
        "grades": ["07"],
        "beginDate": "2026-08-01",
        "school": org_id(),
    }


# ---------------------------------------------------------------- what is kept


def mark_of(receiver: ShelfReceiver, told: Command) -> Mapping[str, Any]:
    kept = receiver.get(told.resource, told.id)
    assert kept is not None
    assert kept.is_gone
    return kept.document


def test_of_what_is_gone_only_keys_and_references_stay(target: OneRosterTarget, receiver: ShelfReceiver) -> None:
    told = [school(), group("1A"), user("anna", TEACHER), member("anna", "1A"), agent("anna", "mor")]
    target.apply(told)
    target.apply([gone(one) for one in reversed(told)])
    keys = [{"sourcedId": one.id} for one in told]
    assert [mark_of(receiver, one) for one in told] == [
        keys[0] | {"identifier": "101001"},
        keys[1] | {"classType": "homeroom", "groupType": "main", "school": org_id()},
        keys[2] | {"username": "anna", "identifier": "anna", "roles": [TEACHER]},
        keys[3] | {"user": user_id("anna"), "class": class_id("1A"), "school": org_id(), "role": ["student"]},
        keys[4] | {"child": user_id("anna"), "contact": user_id("mor"), "school": org_id(), "relation": "parent"},
    ]


def test_a_user_name_that_is_no_key_is_forgotten(target: OneRosterTarget, receiver: ShelfReceiver) -> None:
    named = user("anna", username="anna.holm@skole.example", identifier="0101011234")
    target.apply([named])
    target.apply([gone(named)])
    assert {"username", "identifier"}.isdisjoint(mark_of(receiver, named))


def test_a_batch_is_kept_in_one_step(target: OneRosterTarget, receiver: ShelfReceiver) -> None:
    target.apply([school(), group("1A"), user("anna")])
    times = {row.changed_at for name in ("org", "class", "user") for row in receiver.all(name)}
    assert len(times) == 1


def test_a_resource_that_oneroster_does_not_have_is_refused(target: OneRosterTarget) -> None:
    (outcome,) = target.apply([replace(user("anna"), resource="User")])
    assert outcome == Rejected("resource_not_configured", "User")


@pytest.mark.parametrize(
    ("told", "field"),
    [
        (user("anna", role("aide", "headmaster")), "roles"),
        (member("anna", "1A", role="aide"), "role"),
        (agent("anna", "mor", "mother"), "relation"),
    ],
)
def test_a_role_that_oneroster_does_not_have_is_refused(
    target: OneRosterTarget, receiver: ShelfReceiver, told: Any, field: str
) -> None:
    refused, taken = target.apply([told, user("bo")])
    assert refused == Rejected("unknown_role", field)
    assert isinstance(taken, Delivered)
    assert receiver.count() == 1


def test_who_sleeps_stays_with_the_account_disabled(target: OneRosterTarget, receiver: ShelfReceiver) -> None:
    target.apply([user("anna")])
    asleep = replace(user("anna", enabledUser=False), may_create=False)
    assert target.apply([asleep]) == [Delivered(user_id("anna"))]
    kept = receiver.get("user", user_id("anna"))
    assert kept is not None
    assert kept.document["enabledUser"] is False


def test_a_repeat_of_what_is_kept_changes_no_time(
    target: OneRosterTarget, receiver: ShelfReceiver, clock: Clock
) -> None:
    target.apply([user("anna")])
    before = receiver.get("user", user_id("anna"))
    target.apply([replace(user("anna"), in_doubt=True)])
    assert receiver.get("user", user_id("anna")) == before


def test_what_was_gone_comes_back_under_its_id(target: OneRosterTarget, receiver: ShelfReceiver) -> None:
    for told in (user("anna"), gone(user("anna")), user("anna")):
        target.apply([told])
    kept = receiver.get("user", user_id("anna"))
    assert kept is not None
    assert not kept.is_gone
    assert kept.document["givenName"] == "Anna"


def test_a_deletion_of_what_was_never_kept_leaves_no_mark(
    target: OneRosterTarget, receiver: ShelfReceiver
) -> None:
    assert target.apply([gone(user("anna"))]) == [Unchanged(user_id("anna"))]
    assert receiver.get("user", user_id("anna")) is None


def test_marks_are_forgotten_after_their_time(tmp_path: Path) -> None:
    provider = make_provider(tmp_path, told=[user("anna"), user("bo")], tombstones="30d")
    provider.tell(gone(user("anna")))
    provider.clock.at += timedelta(days=32)
    provider.tell(user("bo", givenName="Bodil"))
    # The shelf in memory takes its times from the same clock.
    assert provider.shelf.get("user", user_id("anna")) is None
    assert provider.shelf.get("user", user_id("bo")) is not None


class _AwayShelf(MemoryShelf):
    def put(self, entries: Any) -> int:
        raise StoreUnavailable("the disk is full")

    def all(self, collection: str, *, after: int = 0) -> Any:
        raise StoreUnavailable("the disk is full")


class TestAwayStore:
    def test_is_told_as_a_target_that_is_away(self, tmp_path: Path, clock: Clock) -> None:
        target = make_target(tmp_path, clock, _AwayShelf(clock))
        with pytest.raises(TargetUnavailable):
            target.apply([user("anna")])
        with pytest.raises(TargetUnavailable):
            list(target.read_back(["user"]))

    def test_is_no_empty_roster_to_who_fetches(self, tmp_path: Path, clock: Clock) -> None:
        shelf = _AwayShelf(clock)
        provider = Provider(make_target(tmp_path, clock, shelf), clock, shelf)
        answer = provider.ask("users")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "60"


# ---------------------------------------------------------------- configuration


def test_a_short_secret_is_refused(tmp_path: Path, clock: Clock) -> None:
    made = config(tmp_path)
    (tmp_path / "secret").write_text("short")
    with pytest.raises(ConfigError, match="openssl rand"):
        OneRosterTarget(made, services(clock, MemoryShelf(clock)))


@pytest.mark.parametrize(
    "settings",
    [
        {"public_url": "http://bro.example/oneroster"},
        {"public_url": "bro.example"},
        {"school_year_starts": "02-29"},
        {"school_year_starts": "8. august"},
        {"tombstones": "1h"},
        {"page_size": 200, "max_page_size": 100},
        {"clients": ()},
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(tmp_path, **settings)


def test_two_clients_of_one_name_are_refused(tmp_path: Path) -> None:
    client = ClientConfig(client_id="platform", secret_file=tmp_path / "secret")
    with pytest.raises(ValidationError, match="same client_id"):
        OneRosterConfig(public_url="https://bro.example", clients=(client, client))

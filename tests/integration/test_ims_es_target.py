"""IMS Enterprise Services against a stand-in of ours: each record has its outcome, whatever the others have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from pydantic import ValidationError

from bridge.adapters.http import HttpEdge
from bridge.connector import (
    Command,
    ContractBroken,
    Deferred,
    Delivered,
    Outcome,
    Rejected,
    Services,
    TargetUnauthorised,
    TargetUnavailable,
    Unchanged,
)
from bridge.testing.conformance_target import FailingReceiver, HttpTargetConformance, ProxiedReceiver, Samples
from bridge.testing.faulty_proxy import FaultyProxy
from bridge.testing.ims_receiver import ImsReceiver
from connectors.ims_enterprise import ImsEsConfig, ImsEsTarget, es_connector
from tests.support.itslearning import TOLD, gone, group, member, person, school
from tests.support.naughty import NAUGHTY
from tests.support.oneroster import class_id, org_id, user_id

USER, PASSWORD = "skolebro", "p&ss<w>ord"


@pytest.fixture
def ims() -> Iterator[ImsReceiver]:
    with ImsReceiver(USER, PASSWORD) as receiver:
        yield receiver


@pytest.fixture
def proxy(ims: ImsReceiver) -> Iterator[FaultyProxy]:
    with FaultyProxy(ims.url) as proxy:
        yield proxy


@pytest.fixture
def target(proxy: FaultyProxy, tmp_path: Path) -> Iterator[ImsEsTarget]:
    yield from make_target(proxy.url, tmp_path)


def make_target(url: str, folder: Path, password: str = PASSWORD) -> Iterator[ImsEsTarget]:
    file = folder / "password"
    file.write_text(password)
    edges: list[HttpEdge] = []

    def http(base_url: str, **options: Any) -> HttpEdge:
        edges.append(HttpEdge(base_url, sleep=lambda seconds: None, **options))
        return edges[-1]

    given = Services("9999", None, http, lambda path: path.read_text(), lambda: datetime.now(UTC), Path.read_bytes)
    assert es_connector.target is not None
    made = es_connector.target(ImsEsConfig(base_url=url, user=USER, password_file=file), given)
    assert isinstance(made, ImsEsTarget)
    yield made
    edges[0].close()


def apply(target: ImsEsTarget, *commands: Command) -> list[Outcome]:
    return list(target.apply(commands))


# ---------------------------------------------------------------- the contract of a target


class Calls(ProxiedReceiver):
    """What the stand-in understood of each body, as JSON: an envelope is no object."""

    def __init__(self, proxy: FaultyProxy, ims: ImsReceiver) -> None:
        super().__init__(proxy, ims.count)
        self._ims = ims

    def bodies(self) -> Sequence[bytes]:
        return [json.dumps({"ids": call.ids, "told": call.documents}).encode() for call in self._ims.calls]


class _Conformance(HttpTargetConformance):
    @pytest.fixture
    def receiver(self, proxy: FaultyProxy, ims: ImsReceiver) -> Calls:
        return Calls(proxy, ims)

    def sent_object(self, body: bytes) -> Mapping[str, Any]:
        (told,) = json.loads(body)["told"]
        assert isinstance(told, dict)
        return told

    def test_a_refused_entity_does_not_stop_the_next(
        self, target: Any, samples: Samples, receiver: FailingReceiver
    ) -> None:
        receiver.fail(400, times=2)  # the plural call, and the first record alone
        refused, taken = target.apply([samples.create, samples.other])
        assert refused == Rejected("refused_400")
        assert isinstance(taken, Delivered)
        assert receiver.count() == 1

    def test_a_stumble_over_one_entity_is_tried_again_later(
        self, target: Any, samples: Samples, receiver: FailingReceiver
    ) -> None:
        receiver.fail(500, times=2)
        stumbled, taken = target.apply([samples.create, samples.other])
        assert stumbled == Deferred("server_error_500")
        assert isinstance(taken, Delivered)


class TestPersons(_Conformance):
    @pytest.fixture
    def samples(self) -> Samples:
        return Samples.of("person", "person", {"user_id": "astr1234"}, {"user_id": "cars1234"}, _person)


class TestSchools(_Conformance):
    @pytest.fixture
    def samples(self) -> Samples:
        keys = ({"institution_number": "101001"}, {"institution_number": "101002"})
        return Samples.of("school", "institution", *keys, _school)


def _person(identifier: str, name: str) -> dict[str, Any]:
    told = {"sourcedId": identifier, "userid": name.lower(), "given": name, "family": "Ærø"}
    return {**told, "institutionrole": "Student", "email": f"{name}@skole.example"}


def _school(identifier: str, name: str) -> dict[str, Any]:
    return {"sourcedId": identifier, "name": name, "type": "School"}


# ---------------------------------------------------------------- plural calls


def test_records_of_one_service_go_in_one_call_and_in_order(target: ImsEsTarget, ims: ImsReceiver) -> None:
    outcomes = apply(target, *TOLD)
    assert outcomes == [Delivered(one.id) for one in TOLD]
    assert [(call.operation, len(call.ids)) for call in ims.calls] == [
        ("replaceGroups", 4),
        ("replacePersons", 2),
        ("replaceMemberships", 5),
    ]
    assert ims.held["Groups"][class_id("1A")]["parent"] == org_id()
    assert ims.held["Memberships"].keys() == {one.id for one in TOLD[-5:]}


def test_each_record_has_its_own_status(target: ImsEsTarget, ims: ImsReceiver) -> None:
    ims.refused = {
        user_id("b"): "invaliddata",
        user_id("c"): "targetisbusy",
        user_id("d"): "Anna Holm is no pupil",
    }
    outcomes = apply(target, *map(person, "abcde"))
    assert outcomes == [
        Delivered(user_id("a")),
        Rejected("refused_invaliddata"),
        Deferred("status_later"),
        Rejected("refused_by_platform"),
        Delivered(user_id("e")),
    ]


def test_what_cannot_be_told_stays_here_and_the_others_keep_their_places(
    target: ImsEsTarget, ims: ImsReceiver
) -> None:
    ims.refused = {user_id("c"): "incompletedata"}
    told = [
        person("a"),
        person("b", given=None, family=None),
        person("c"),
        replace(person("d"), resource="user"),
        person("e"),
    ]
    assert apply(target, *told) == [
        Delivered(user_id("a")),
        Rejected("required_missing", "given"),
        Rejected("refused_incompletedata"),
        Rejected("resource_not_configured", "user"),
        Delivered(user_id("e")),
    ]


def test_an_alias_of_one_word_takes_the_place_of_both_names(target: ImsEsTarget, ims: ImsReceiver) -> None:
    apply(target, person("anna"))
    apply(target, person("anna", given="Rose", family=None))
    held = ims.held["Persons"][user_id("anna")]
    assert (held["given"], held["family"]) == ("Rose", "Rose")


def test_deletions_go_together_too_and_what_is_not_there_is_as_good(target: ImsEsTarget, ims: ImsReceiver) -> None:
    apply(target, school(), group("1A"), person("a"), member("a", "1A"))
    told = [gone(member("a", "1A")), gone(person("a")), gone(person("b"))]
    assert apply(target, *told) == [Delivered(), Delivered(), Unchanged()]
    assert [call.operation for call in ims.calls[-2:]] == ["deleteMemberships", "deletePersons"]


def test_who_was_delivered_keeps_the_id(target: ImsEsTarget, ims: ImsReceiver) -> None:
    told = replace(person("a", sourcedId="new"), remote_id="old")
    assert apply(target, told) == [Delivered("old")]
    assert ims.held["Persons"].keys() == {"old"}
    assert apply(target, replace(gone(person("a")), remote_id="old")) == [Delivered()]


def test_a_call_has_the_same_identifier_when_it_is_made_again(target: ImsEsTarget, ims: ImsReceiver) -> None:
    apply(target, person("a"))
    apply(target, person("a"))
    apply(target, person("b"))
    one, two, three = (call.message for call in ims.calls)
    assert one == two != three


def test_fewer_statuses_than_records_confirm_nothing(target: ImsEsTarget, ims: ImsReceiver) -> None:
    ims.drops = True
    with pytest.raises(ContractBroken, match="1 statuses came for 2 records"):
        apply(target, person("a"), person("b"))


def test_a_wrong_password_is_the_operators(ims: ImsReceiver, tmp_path: Path) -> None:
    for target in make_target(ims.url, tmp_path, "wrong"):
        with pytest.raises(TargetUnauthorised):
            apply(target, person("a"))
        with pytest.raises(TargetUnauthorised):
            target.probe()


_DECLARED = (
    '<!DOCTYPE s:Envelope [<!ENTITY a "b">]><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">'
    "<statusInfo><codeMajor>success</codeMajor></statusInfo>&a;</s:Envelope>"
)


@pytest.mark.parametrize(
    "body", [b"<html>log in</html>", b"", _DECLARED.encode(), _DECLARED.encode("utf-16")], ids=range(4)
)
def test_what_is_no_soap_confirms_nothing(body: bytes, tmp_path: Path) -> None:
    class Page(ImsReceiver):
        def answer(self, request: Any) -> Any:
            return replace(super().answer(request), body=body)

    with Page(USER, PASSWORD) as ims:
        for target in make_target(ims.url, tmp_path):
            with pytest.raises(TargetUnavailable):
                apply(target, person("a"))


def test_the_envelope_has_the_credential_and_nothing_of_ours_beside(
    target: ImsEsTarget, proxy: FaultyProxy
) -> None:
    apply(target, person("anna"))
    (request,) = proxy.requests
    assert request.headers["content-type"] == "text/xml; charset=utf-8"
    assert request.headers["soapaction"] == '"http://www.imsglobal.org/soap/pms/replacePersons"'
    leaves = {one.text for one in etree.fromstring(request.body).iter() if one.text}
    known = {USER, PASSWORD, "First", "Last", "true", user_id("anna"), "anna", "Anna", "Holm", "Student"}
    (message,) = leaves - known
    assert len(message) == 32


@pytest.mark.parametrize("text", NAUGHTY, ids=lambda text: ascii(text)[:30])
def test_whatever_somebody_is_called_comes_back_or_is_refused(
    text: str, target: ImsEsTarget, ims: ImsReceiver
) -> None:
    told = [
        person("anna", given=text, family=text, userid=text, email=text),
        person("bo", sourcedId=text),
        school(name=text),
    ]
    for command, outcome in zip(told, apply(target, *told), strict=True):
        if isinstance(outcome, Rejected):
            assert outcome.reason in ("not_in_xml", "required_missing", "too_long")
        else:
            assert isinstance(outcome, Delivered)
            held = {**ims.held["Persons"], **ims.held["Groups"]}[outcome.remote_id or ""]
            assert held == command.document


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "http://its.example/x"},
        {"base_url": "its.example"},
        {"person_path": "x"},
        {"user": ""},
        {"timeout": 0},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        ImsEsConfig(**{"base_url": "https://its.example", "user": "x", "password_file": tmp_path, **settings})

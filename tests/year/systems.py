"""What stands around the bridge for a year, in its own process: a source, a SCIM server, an Aula and a clock."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from bridge.adapters.clock import SystemClock
from bridge.connector import AgreementMissing, HttpResponse, Record, Snapshot, SourceFailure
from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.loopback import Request
from bridge.testing.stil_export import Knobs, write_export
from bridge.testing.stil_municipality import Municipality
from bridge.testing.stil_records import Institution
from connectors.stil.folder import FolderSource

SECRET = "whsec_" + base64.b64encode(b"a secret of the simulated year..").decode()
SCIM_URL, AULA_URL = "http://platform.invalid", "http://aula.invalid"
_ZONE = ZoneInfo("Europe/Copenhagen")


class HandClock(SystemClock):
    """Stands still until it is moved; its ids are the same in every run."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self._ids = count(1)

    def now(self) -> datetime:
        return self.at

    def random(self) -> float:
        return 0.5

    def new_id(self) -> str:
        return f"id-{next(self._ids):012d}"


# ---------------------------------------------------------------- the source


class TownSource:
    """Gives what the municipality exports today, read by the parser of `connectors.stil`.

    `agreed` are the institutions under agreement, `knobs` what is wrong with tonight's exports. `shown` is what
    each institution was last seen to say, `told` what each document said. With every document the clock moves on.
    """

    concurrency = 1

    def __init__(self, town: Municipality, clock: HandClock) -> None:
        self.town, self.clock = town, clock
        self.agreed = set(town.institutions())
        self.knobs: dict[str, Knobs] = {}
        self.shown: dict[str, Institution] = {}
        self.told: dict[str, Institution] = {}
        self._written: dict[str, tuple[datetime, Knobs, Snapshot]] = {}
        self._reader = FolderSource(Path(), timedelta(0), _ZONE, clock.now)

    def agreements(self) -> frozenset[str]:
        return frozenset(self.agreed)

    def fetch(self, institution: str) -> Snapshot:
        if institution not in self.agreed:
            raise AgreementMissing("no data agreement")
        knobs = self.knobs.get(institution, Knobs())
        at, how, snapshot = self._written.get(institution, (None, None, None))
        if snapshot is None or (at, how) != (self.town.export_time, knobs):
            snapshot = self._write(institution, knobs)
            self._written[institution] = (self.town.export_time, knobs, snapshot)
        return snapshot

    def _write(self, institution: str, knobs: Knobs) -> Snapshot:
        today = self.town.institution(institution)
        snapshot = self._reader.document(write_export(today, knobs), f"institution {institution}")
        if not knobs.empty:
            self.told[snapshot.digest] = self.shown[institution] = today
        return replace(snapshot, expected_institution=institution)

    def snapshots(self) -> Iterator[Snapshot | SourceFailure]:
        return (self.fetch(number) for number in sorted(self.agreed))

    def parse(self, snapshot: Snapshot) -> Iterator[Record]:
        return self._reader.parse(snapshot)

    def taken(self, snapshot: Snapshot) -> None:
        self.clock.at += timedelta(seconds=3)


# ---------------------------------------------------------------- targets


@dataclass(frozen=True, slots=True)
class Step:
    """What one request did at a target: to whom (a canonical id), on which day."""

    day: int
    operation: str
    kind: str
    id: str


@dataclass(slots=True)
class Wire:
    """What every request of a target passes by. `look` is shown the whole text of each; `day` is asked of each."""

    day: Callable[[], int]
    look: Callable[[str], None]
    steps: list[Step] = field(default_factory=list)

    def note(self, operation: str, kind: str, identity: str) -> None:
        self.steps.append(Step(self.day(), operation, kind, identity))


class Platform(Protocol):
    """A SCIM server behind a wire: it is asked as `bridge.connector.Http` is, and shows what it holds."""

    wire: Wire

    @property
    def resources(self) -> Mapping[str, Mapping[str, dict[str, Any]]]: ...


class ScimInProcess:
    """A service provider as RFC 7644 has it, as far as anybody asks: no name twice, no member who is nobody."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.resources: dict[str, dict[str, dict[str, Any]]] = {"Users": {}, "Groups": {}}
        self._ids = count(1)
        self._versions = count(1)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        repeatable: bool | None = None,
    ) -> HttpResponse:
        self.wire.look(f"{path} {dict(params or {})} {(body or b'').decode()}")
        _, endpoint, *rest = path.split("/")
        if endpoint == "ServiceProviderConfig":
            return _json(200, {})
        if endpoint not in self.resources:  # it does not tell of its types and schemas
            return HttpResponse(404, {}, b"")
        there = self.resources[endpoint]
        match method, rest:
            case "GET", []:
                return self._list(there, params or {})
            case "POST", []:
                return self._create(endpoint, there, json.loads(body or b""))
            case _, [remote_id] if remote_id not in there:
                return HttpResponse(404, {}, b"")
            case "GET", [remote_id]:
                return _json(200, there[remote_id])
            case "PUT", [remote_id]:
                return self._replace(endpoint, there, remote_id, headers or {}, json.loads(body or b""))
            case "DELETE", [remote_id]:
                return self._delete(endpoint, there, remote_id)
            case _:
                return HttpResponse(405, {}, b"")

    def _list(self, there: dict[str, dict[str, Any]], params: Mapping[str, str]) -> HttpResponse:
        name, _, value = params.get("filter", "").partition(" eq ")
        wanted = json.loads(value) if name else None
        found = [one for one in there.values() if one.get(name) == wanted]
        start = int(params.get("startIndex", "1")) - 1
        page = found[start : start + int(params.get("count", "100"))]
        return _json(200, {"totalResults": len(found), "Resources": page})

    def _create(self, endpoint: str, there: dict[str, dict[str, Any]], told: dict[str, Any]) -> HttpResponse:
        if self._is_wrong(endpoint, there, told, None):
            return _json(409, {"scimType": "uniqueness"})
        self.wire.note("create", endpoint, told["externalId"])
        remote_id = f"{endpoint[0]}{next(self._ids)}"
        return _json(201, self._store(there, remote_id, told))

    def _replace(
        self,
        endpoint: str,
        there: dict[str, dict[str, Any]],
        remote_id: str,
        headers: Mapping[str, str],
        told: dict[str, Any],
    ) -> HttpResponse:
        if headers.get("If-Match", there[remote_id]["meta"]["version"]) != there[remote_id]["meta"]["version"]:
            return HttpResponse(412, {}, b"")
        if self._is_wrong(endpoint, there, told, remote_id):
            return _json(409, {"scimType": "uniqueness"})
        self.wire.note("update" if told.get("active", True) else "sleep", endpoint, told["externalId"])
        return _json(200, self._store(there, remote_id, told))

    def _delete(self, endpoint: str, there: dict[str, dict[str, Any]], remote_id: str) -> HttpResponse:
        self.wire.note("delete", endpoint, there.pop(remote_id)["externalId"])
        for group in self.resources["Groups"].values() if endpoint == "Users" else ():
            group["members"] = [one for one in group.get("members", []) if one["value"] != remote_id]
        return HttpResponse(204, {}, b"")

    def _store(self, there: dict[str, dict[str, Any]], remote_id: str, told: dict[str, Any]) -> dict[str, Any]:
        meta = {"version": f'W/"{next(self._versions)}"'}
        there[remote_id] = {**told, "id": remote_id, "meta": meta}
        return there[remote_id]

    def _is_wrong(
        self, endpoint: str, there: dict[str, dict[str, Any]], told: dict[str, Any], remote_id: str | None
    ) -> bool:
        """Whether it has another's user name, or a member who is nobody."""
        if endpoint == "Groups":
            return any(one["value"] not in self.resources["Users"] for one in told.get("members", []))
        same = (one["id"] for one in there.values() if one["userName"] == told["userName"])
        return any(one != remote_id for one in same)


class AulaInProcess:
    """The stand-in for Aula without its sockets: signatures are checked, versions never go back."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.receiver = AulaReceiver(SECRET, keep=100)
        self.versions: dict[str, int] = {}

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        repeatable: bool | None = None,
    ) -> HttpResponse:
        text = (body or b"").decode()
        self.wire.look(text)
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        answer = self.receiver.answer(Request(method, path, lower, body or b""))
        if answer.status == 200:
            self._note(json.loads(text))
        return HttpResponse(answer.status, {}, answer.body)

    def _note(self, event: dict[str, Any]) -> None:
        kind, identity = event["subject"].split("/")
        operation = {"created": "create", "updated": "update", "deleted": "delete"}[event["type"].split(".")[2]]
        before = self.versions.get(event["subject"], 0)
        assert event["entityversion"] > before, f"{event['subject']} fell from {before}"
        self.versions[event["subject"]] = event["entityversion"]
        self.wire.note(operation, kind, identity)


def _json(status: int, content: Any) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/scim+json"}, json.dumps(content).encode())


def real_now() -> datetime:
    """Signatures are made, and checked, at the time of the machine."""
    return datetime.now(UTC)

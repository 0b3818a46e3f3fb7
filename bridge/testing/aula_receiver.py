"""A stand-in for Aula in agreement mode, since no public Aula provisioning interface exists: it believes
only what is signed, and never goes back to an older version."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

from standardwebhooks import Webhook, WebhookVerificationError

from bridge.testing.loopback import LoopbackServer, Request, Response

CONTENT_TYPE = "application/cloudevents+json"
REQUIRED = ("id", "source", "specversion", "type")
ENTITIES = ("institution", "group", "person", "affiliation", "membership", "guardianship")
Verdict = Literal["applied", "duplicate", "stale", "noted"]


class _Unacceptable(Exception):
    """An event that breaks the agreement, with the sentence that says how."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What an entity event asks for; without an object the entity is gone."""

    subject: str
    version: int
    object: dict[str, Any] | None


class AulaReceiver(LoopbackServer):
    """Takes CloudEvents at `POST /events`, signed by Standard Webhooks with `secret`.

    Answers 200 to what it accepts, repeats included; 400 to an event that breaks the agreement, 401 to a
    signature that does not hold, 415 to anything but structured CloudEvents JSON. `GET /state` counts the
    entities it holds, `GET /objects` shows them. It remembers the last `keep` events.
    """

    def __init__(self, secret: str, host: str = "127.0.0.1", port: int = 0, *, keep: int = 100_000) -> None:
        super().__init__(host, port)
        self._webhook = Webhook(secret)
        self._lock = Lock()
        self._received: deque[dict[str, Any]] = deque(maxlen=keep)
        self._ids: dict[tuple[str, str], None] = {}
        self._keep = keep
        self._objects: dict[str, dict[str, Any]] = {}
        self._versions: dict[str, int] = {}
        self._verdicts: Counter[Verdict] = Counter()

    @property
    def events_url(self) -> str:
        """Where events are sent."""
        return f"{self.url}/events"

    @property
    def received(self) -> list[dict[str, Any]]:
        """Every accepted event in the order it came, repeats included."""
        with self._lock:
            return list(self._received)

    @property
    def objects(self) -> dict[str, dict[str, Any]]:
        """What it holds now: `data.object` by subject."""
        with self._lock:
            return dict(self._objects)

    @property
    def duplicates(self) -> int:
        """How many events came again with the source and id of one before."""
        return self._verdicts["duplicate"]

    @property
    def stale(self) -> int:
        """How many new events were dropped, because it held that version of the entity or a later one."""
        return self._verdicts["stale"]

    def answer(self, request: Request) -> Response:
        match request.method, request.path:
            case "POST", "/events":
                return self._take(request)
            case "GET", "/state":
                return _json(200, Counter(subject.partition("/")[0] for subject in self.objects))
            case "GET", "/objects":
                return _json(200, self.objects)
            case _, "/events":
                return Response(405, headers={"Allow": "POST"})
            case _, "/state" | "/objects":
                return Response(405, headers={"Allow": "GET"})
            case _:
                return Response(404)

    def _take(self, request: Request) -> Response:
        if not self._is_signed(request):
            return _json(401, {"error": "the signature does not hold"})
        if request.headers.get("content-type", "").partition(";")[0].strip() != CONTENT_TYPE:
            return _json(415, {"error": f"only {CONTENT_TYPE} is taken"})
        try:
            event = _read_event(request.body)
            change = _read_change(event)
        except _Unacceptable as error:
            return _json(400, {"error": str(error)})
        with self._lock:
            verdict = self._judge(event, change)
            self._verdicts[verdict] += 1
        return _json(200, {"verdict": verdict})

    def _is_signed(self, request: Request) -> bool:
        try:
            self._webhook.verify(request.body, dict(request.headers), json_parse=False)
        except (WebhookVerificationError, ValueError):  # a header it cannot take apart is a ValueError
            return False
        return True

    def _judge(self, event: dict[str, Any], change: _Change | None) -> Verdict:
        self._received.append(event)
        name = (event["source"], event["id"])
        if name in self._ids:
            return "duplicate"
        self._remember(name)
        if change is None:
            return "noted"
        if change.version <= self._versions.get(change.subject, 0):
            return "stale"
        # The version outlives the object, or a late update would bring back what was deleted.
        self._versions[change.subject] = change.version
        if change.object is None:
            self._objects.pop(change.subject, None)
        else:
            self._objects[change.subject] = change.object
        return "applied"

    def _remember(self, name: tuple[str, str]) -> None:
        self._ids[name] = None
        if len(self._ids) > self._keep:
            del self._ids[next(iter(self._ids))]


def _read_event(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except ValueError as error:
        raise _Unacceptable("the body is not JSON") from error
    if not isinstance(event, dict):
        raise _Unacceptable("the body is not one event")
    for name in REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            raise _Unacceptable(f"the attribute {name} is missing or is not text")
    if event["specversion"] != "1.0":
        raise _Unacceptable("only CloudEvents 1.0 is taken")
    return event


def _read_change(event: dict[str, Any]) -> _Change | None:
    """What the event asks for; None when it speaks of no entity, as control events do."""
    match event["type"].split("."):
        case ["skolebro", entity, "created" | "updated" | "deleted" as operation, "v1"] if entity in ENTITIES:
            return _Change(_subject(event, entity), _version(event), _object(event, operation))
        case _:
            return None


def _subject(event: dict[str, Any], entity: str) -> str:
    subject = event.get("subject")
    if (
        not isinstance(subject, str)
        or not subject.removeprefix(f"{entity}/")
        or not subject.startswith(f"{entity}/")
    ):
        raise _Unacceptable(f"the subject is not {entity}/<id>")
    return subject


def _version(event: dict[str, Any]) -> int:
    version = event.get("entityversion")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _Unacceptable("entityversion is not a whole number above nought")
    return version


def _object(event: dict[str, Any], operation: str) -> dict[str, Any] | None:
    if operation == "deleted":
        return None
    data = event.get("data")
    content = data.get("object") if isinstance(data, dict) else None
    if not isinstance(content, dict):
        raise _Unacceptable("data.object is missing")
    return content


def _json(status: int, content: Mapping[str, Any]) -> Response:
    return Response(status, json.dumps(content, ensure_ascii=False).encode(), {"Content-Type": "application/json"})

"""Puts a vendor's receiver through the checks by the way that events go: a whole bridge over made-up exports."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import yaml

from bridge.adapters.clock import SystemClock
from bridge.adapters.http import HttpEdge
from bridge.app.bridge import Bridge, open_bridge
from bridge.config import load_settings, read_secret
from bridge.connector import Connector, Services, Target
from bridge.domain.errors import ConfigError, TargetError, TargetUnavailable
from bridge.engine.decide import decide_hold
from bridge.testing.certify import CHECKS, Certificate, Day, HeldUnreadable, Receiver, Verdict, judge
from bridge.testing.certify.cast import Cast
from bridge.testing.certify.checks import is_taken, verdict
from bridge.testing.certify.days import DAYS, Recording, school
from bridge.testing.stil_folder import write_exports
from bridge.testing.stil_municipality import Municipality

_SOURCE, _WEBHOOK, _TARGET = "stil-folder", "webhook", "receiver"
_FREE = {"max_deleted_percent": None, "max_created_percent": None, "max_updated_percent": None}
_GUARD = {**_FREE, "max_unprotected": None, "window": "0s", "deletion_grace": "0s"}
_TRIES, _LONGEST_WAIT = 5, timedelta(seconds=30)
_FOR_A_PERSON = ("unauthorised", "contract_broken", "gone")
_TIMEOUT = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be certified. `held` is where the receiver tells what it holds; None: nobody can look."""

    url: str
    secret_file: Path
    held: str | None = None
    pupils: int = 40
    seed: int = 1
    mapping: str = "webhook/events"
    ca_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None

    def target(self) -> dict[str, Any]:
        """The receiver as the configuration of a bridge names it."""
        files = ("secret_file", "ca_file", "client_certificate_file", "client_key_file")
        named = {name: str(path.absolute()) for name in files if (path := getattr(self, name)) is not None}
        common = {"guard": {"max_deleted_percent": None}, "leavers": {"retention": "0s"}}
        return {"connector": _WEBHOOK, "url": self.url, "mapping": self.mapping, **named, **common}


def certify(
    order: Order, connectors: Mapping[str, Connector], found: Callable[[Verdict], None] = lambda _: None
) -> Certificate:
    """Put a receiver through all checks, telling each verdict as it is found; at the end all is deleted.

    Raises `ConfigError` for an order that cannot be, `TargetError` where nobody answers there, `HeldUnreadable`.
    """
    clock, town = SystemClock(), f"certify-{token_hex(4)}"
    cast = Cast(town, clock.now, clock.new_id)
    with TemporaryDirectory(prefix="skolebro-certify-") as place, _receiver(order, clock) as receiver:
        folder = Path(place)
        bridge, recording = _bridge(order, folder, town, connectors, receiver)
        verdicts: list[Verdict] = []

        def add(one: Verdict) -> None:
            verdicts.append(one)
            found(one)

        try:
            with bridge.alone():
                recording().probe()
                receiver.differences(())
                for day in _days(bridge, order, folder / "in", recording, receiver):
                    add(day)
            for check in CHECKS:
                add(judge(check, receiver, cast))
            add(_clean(receiver, cast))
        finally:
            bridge.store.close()
            if receiver.expected:  # it was interrupted: nobody who was made up stays there
                with suppress(TargetError, HeldUnreadable):
                    _clean(receiver, cast)
        return Certificate(order.seed, receiver.events, verdicts)


# ---------------------------------------------------------------- the receiver


@contextmanager
def _receiver(order: Order, clock: SystemClock) -> Iterator[Receiver]:
    certificate, key = order.client_certificate_file, order.client_key_file
    edge, path = _edge(
        order.url, ca_file=order.ca_file, client_cert=(certificate, key) if certificate and key else None
    )
    looking = _Looking(order.held, order.ca_file) if order.held else None
    try:
        secret = read_secret(order.secret_file)
        yield Receiver(edge, path, secret, clock.now, time.sleep, looking)
    finally:
        edge.close()
        if looking is not None:
            looking.edge.close()


def _edge(url: str, **options: Any) -> tuple[HttpEdge, str]:
    """The way to the host of an address, and the path there. Raises `ConfigError`."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        return HttpEdge(f"{parts.scheme}://{parts.netloc}", timeout=_TIMEOUT, **options), path
    except ConfigError as error:
        raise ConfigError(f"{url}: {error}") from None


class _Looking:
    """Asks the receiver what it holds."""

    def __init__(self, url: str, ca_file: Path | None) -> None:
        self.edge, self._path = _edge(url, ca_file=ca_file)

    def __call__(self) -> Mapping[str, tuple[int, Mapping[str, Any]]]:
        try:
            answer = self.edge.request("GET", self._path)
        except TargetUnavailable as error:
            raise HeldUnreadable(f"no complete answer ({error})") from None
        if answer.status != 200:
            raise HeldUnreadable(f"it answers {answer.status}")
        try:
            told = json.loads(answer.body)
            return {str(subject): (one["entityversion"], one["object"]) for subject, one in told.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise HeldUnreadable(
                'it is not JSON of the form {"person/<id>": {"entityversion": 1, "object": {…}}, …}'
            ) from None


def _clean(receiver: Receiver, cast: Cast) -> Verdict:
    """Delete all that the receiver should hold, in reverse."""
    left = [receiver.last[subject] for subject in reversed(receiver.expected)]
    answers = [receiver.tell(cast.deleted(one)) for one in left]
    told = "deletions of all that is left"
    advice = "Remove what a deletion names; it has keys only"
    return verdict("all gone", told, answers, is_taken, receiver, {*receiver.last}, advice)


# ---------------------------------------------------------------- days


def _bridge(
    order: Order, folder: Path, town: str, connectors: Mapping[str, Connector], receiver: Receiver
) -> tuple[Bridge, Callable[[], Recording]]:
    """A bridge of one made-up municipality, and what is between it and the receiver."""
    (folder / "in").mkdir()
    made: list[Recording] = []
    real = connectors[_WEBHOOK]

    def build(config: Any, services: Services) -> Target:
        assert real.target is not None  # noqa: S101 - webhooks are a target
        made[:] = [Recording(real.target(config, services), receiver.note)]
        return made[0]

    settings = {
        "state_folder": "state",
        "web": {"listen": None},
        "retry": {"base": "1s", "ceiling": "5s", "retry_after_cap": "30s"},
        "municipalities": {
            town: {
                "name": "Prøve Kommune",
                "institutions": "all",
                "guard": _GUARD,
                "source": {"connector": _SOURCE, "folder": "in", "settle": "0s"},
                "targets": {_TARGET: order.target()},
            }
        },
    }
    file = folder / "skolebro.yaml"
    file.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    loaded = load_settings(file, {_SOURCE: connectors[_SOURCE], _WEBHOOK: replace(real, target=build)})
    bridge = open_bridge(loaded)
    bridge.lanes()  # whether its secret and certificates can be read
    return bridge, lambda: made[0]


def _days(
    bridge: Bridge, order: Order, incoming: Path, recording: Callable[[], Recording], receiver: Receiver
) -> Iterator[Verdict]:
    municipality = school(order.seed, order.pupils)
    for day in DAYS:
        answers = _let_pass(bridge, day, municipality, incoming, recording)
        receiver.events += len(answers)
        yield verdict(
            day.name, day.sent, answers, is_taken, receiver, {*receiver.expected, *receiver.gone}, day.advice
        )


def _let_pass(
    bridge: Bridge, day: Day, municipality: Municipality, incoming: Path, recording: Callable[[], Recording]
) -> Sequence[str]:
    """Bring the receiver to the state of a day."""
    answers: list[str] = []
    for number in range(max(1, day.advance)):
        if number < day.advance:
            municipality.advance()
        write_exports(municipality, incoming)
        answers += _drain(bridge, recording)
    return answers


def _approve(bridge: Bridge) -> int:
    """Say yes to whatever waits for a person, as the new school year does; return how much that was."""
    with bridge.store.read() as reader:
        waiting = reader.holds(("open",))
    for hold in waiting:
        by, now = "certify", bridge.clock.now()
        decide_hold(bridge.store, bridge.book(), hold.id, approve=True, by=by, now=now)
    return len(waiting)


def _drain(bridge: Bridge, recording: Callable[[], Recording]) -> list[str]:
    """Send until nothing is due; who asks for patience is given it, within bounds."""
    answers: list[str] = []
    fruitless = 0
    (target,) = bridge.settings.targets
    while True:
        bridge.sync()
        answers += recording().answers
        fruitless = 0 if any(map(is_taken, recording().answers)) else fruitless + 1
        has_more = bool(_approve(bridge))
        with bridge.store.read() as reader:
            state, left = reader.target_state(target.id), reader.delivery_counts(target.id, bridge.clock.now()).due
        if fruitless > _TRIES or not (has_more or left) or state.pause_reason in _FOR_A_PERSON:
            return answers + [state.pause_reason or "put off"] * left
        if not has_more:
            time.sleep(min(_LONGEST_WAIT, recording().wait).total_seconds())

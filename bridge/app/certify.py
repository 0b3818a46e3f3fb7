"""Puts a vendor's receiver through the checks by the way that events go: a whole bridge over made-up exports."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
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
from bridge.app.certify_days import run_days
from bridge.config import load_settings, read_secret
from bridge.connector import Connector, Services, Target
from bridge.domain.errors import ConfigError, TargetUnavailable
from bridge.testing.certify import CHECKS, Certificate, FellSilent, HeldUnreadable, Receiver, Verdict, judge
from bridge.testing.certify.cast import Cast
from bridge.testing.certify.checks import verdict
from bridge.testing.certify.days import Recording, school
from bridge.testing.certify.receiver import is_taken, read_held, subject_of
from bridge.testing.certify.wire import Patience, Wire

_SOURCE, _WEBHOOK, _TARGET, _IN = "stil-folder", "webhook", "receiver", "in"
_FREE = {"max_deleted_percent": None, "max_created_percent": None, "max_updated_percent": None}
_GUARD = {**_FREE, "max_unprotected": None, "window": "0s", "deletion_grace": "0s"}
_TIMEOUT = timedelta(seconds=20)
_PLACE = re.compile(rf"\S*/skolebro\.yaml(:\d+)?: municipalities\.[\w-]+\.targets\.{_TARGET}(\.(?P<field>\w+))?")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be certified.

    `held` is where the receiver tells what it holds, to whoever shows the token of `held_token_file`, where it
    asks for one; None: nobody can look.
    """

    url: str
    secret_file: Path
    held: str | None = None
    pupils: int = 40
    seed: int = 1
    mapping: str = "webhook/events"
    ca_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    held_token_file: Path | None = None

    def target(self) -> dict[str, Any]:
        """The receiver as the configuration of a bridge names it."""
        files = ("secret_file", "ca_file", "client_certificate_file", "client_key_file")
        named = {name: str(path.absolute()) for name in files if (path := getattr(self, name)) is not None}
        common = {"guard": {"max_deleted_percent": None}, "leavers": {"retention": "0s"}}
        # A file is named from where the command is called, not from the folder of the configuration.
        own = Path(self.mapping)
        mapping = str(own.absolute()) if own.is_file() else self.mapping
        return {"connector": _WEBHOOK, "url": self.url, "mapping": mapping, **named, **common}


def certify(
    order: Order,
    connectors: Mapping[str, Connector],
    found: Callable[[Verdict], None] = lambda _: None,
    rest: Callable[[float], None] = time.sleep,
) -> Certificate:
    """Put a receiver through all checks, telling each verdict as it is found; at the end all is deleted.

    All is deleted too when this breaks off. Raises `ConfigError` for an order that cannot be, `TargetError` where
    nobody answers there, `HeldUnreadable`, and `BrokenOff` when the receiver falls silent or Ctrl-C ends it.
    """
    clock, town = SystemClock(), f"certify-{token_hex(4)}"
    with TemporaryDirectory(prefix="skolebro-certify-") as place, _receiver(order, clock, rest) as receiver:
        folder = Path(place)
        bridge, days = _bridge(order, folder, town, connectors, receiver)
        (target,) = bridge.settings.targets
        cast = Cast(town, clock.now, clock.new_id, target.mapping.kinds())
        verdicts: list[Verdict] = []

        def add(one: Verdict) -> None:
            verdicts.append(one)
            found(one)

        try:
            with bridge.alone():
                days.targets[-1].probe()
                receiver.differences(())
                for day in run_days(bridge, school(order.seed, order.pupils), folder / _IN, days.heard, receiver):
                    add(day)
            for check in CHECKS:
                add(judge(check, receiver, cast))
            add(_clean(receiver, cast))
        except BaseException as error:
            left = _give_up(days, receiver, cast, add)
            if isinstance(error, FellSilent | KeyboardInterrupt):
                raise BrokenOff(town, left, error) from error
            raise
        finally:
            bridge.store.close()
        return Certificate(order.seed, receiver.line.events, verdicts)


class BrokenOff(Exception):
    """Not all checks were made; the text says why, and who may be left at the receiver."""

    def __init__(self, town: str, left: int, reason: BaseException) -> None:
        self.is_interrupted = isinstance(reason, KeyboardInterrupt)
        why = "interrupted" if self.is_interrupted else f"the receiver fell silent ({reason}); see why"
        rest = f"{left} entities of /municipality/{town} may be left there: delete them" if left else ""
        super().__init__(f"{why}. {rest or 'All that was made up there is deleted again'}")


def _clean(receiver: Receiver, cast: Cast) -> Verdict:
    """Delete all that the receiver should hold, in reverse, and then whatever else it may hold."""
    left = [receiver.last[subject] for subject in reversed(receiver.expected)]
    answers = [receiver.tell(cast.deleted(one, receiver.highest[subject_of(one)])) for one in left]
    for subject in sorted(receiver.doubtful):  # what it took of these is not known, so no answer is wrong
        receiver.tell(cast.deleted(receiver.last[subject], receiver.highest[subject]))
    told = "deletions of all that is left"
    advice = "Remove what a deletion names; it has keys only"
    return verdict("all gone", told, answers, is_taken, receiver, {*receiver.last}, advice)


def _give_up(days: _Days, receiver: Receiver, cast: Cast, add: Callable[[Verdict], None]) -> int:
    """Delete as much as can be, until a second Ctrl-C, and return how much may be left."""
    with suppress(FellSilent, HeldUnreadable, KeyboardInterrupt):
        days.stop()
        if receiver.last:
            add(_clean(receiver, cast))
    return len({*receiver.expected, *receiver.doubtful})


# ---------------------------------------------------------------- the receiver


@contextmanager
def _receiver(order: Order, clock: SystemClock, rest: Callable[[float], None]) -> Iterator[Receiver]:
    edge, path = _edge(order.url, order)
    looking = _Looking(order) if order.held else None
    try:
        secret = read_secret(order.secret_file)
        yield Receiver(edge, path, secret, clock.now, Patience(rest), looking)
    finally:
        edge.close()
        if looking is not None:
            looking.edge.close()


def _edge(url: str, order: Order, **options: Any) -> tuple[HttpEdge, str]:
    """The way to the host of an address, and the path there. Raises `ConfigError`."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    certificate, key = order.client_certificate_file, order.client_key_file
    shown = (certificate, key) if certificate and key else None
    try:
        base = f"{parts.scheme}://{parts.netloc}"
        return HttpEdge(base, timeout=_TIMEOUT, ca_file=order.ca_file, client_cert=shown, **options), path
    except ConfigError as error:
        raise ConfigError(f"{url}: {str(error).replace('base_url', 'the address', 1)}") from None


class _Looking:
    """Asks the receiver what it holds."""

    def __init__(self, order: Order) -> None:
        file = order.held_token_file
        headers = {"Authorization": f"Bearer {read_secret(file)}"} if file else None
        self.edge, self._path = _edge(str(order.held), order, headers=headers)

    def __call__(self) -> Mapping[str, tuple[int, Mapping[str, Any]]]:
        try:
            answer = self.edge.request("GET", self._path)
        except TargetUnavailable as error:
            raise HeldUnreadable(f"no complete answer ({error})") from None
        if answer.status != 200:
            raise HeldUnreadable(f"it answers {answer.status}")
        return read_held(answer.body)


# ---------------------------------------------------------------- the bridge


@dataclass(slots=True)
class _Days:
    """What is between the bridge and the receiver; the bridge builds its target anew for each pass."""

    heard: list[str] = field(default_factory=list)
    targets: list[Recording] = field(default_factory=list)

    def stop(self) -> None:
        """Let nothing more of the bridge out, whose threads go on for a while when this one is interrupted."""
        for target in self.targets:
            target.stop()


def _bridge(
    order: Order, folder: Path, town: str, connectors: Mapping[str, Connector], receiver: Receiver
) -> tuple[Bridge, _Days]:
    """A bridge of one made-up municipality, and what is between it and the receiver."""
    (folder / _IN).mkdir()
    days, real = _Days(), connectors[_WEBHOOK]

    def build(config: Any, services: Services) -> Target:
        assert real.target is not None  # noqa: S101 - webhooks are a target

        def http(*args: Any, **options: Any) -> Wire:
            return Wire(services.http(*args, **options), receiver.line)

        made = Recording(real.target(config, replace(services, http=http)), receiver, days.heard)
        days.targets.append(made)
        return made

    settings = {
        "state_folder": "state",
        "web": {"listen": None},
        "retry": {"base": "1s", "ceiling": "5s", "retry_after_cap": "30s"},
        "municipalities": {
            town: {
                "name": "Prøve Kommune",
                "institutions": "all",
                "guard": _GUARD,
                "source": {"connector": _SOURCE, "folder": _IN, "settle": "0s"},
                "targets": {_TARGET: order.target()},
            }
        },
    }
    file = folder / "skolebro.yaml"
    file.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    try:
        loaded = load_settings(file, {_SOURCE: connectors[_SOURCE], _WEBHOOK: replace(real, target=build)})
        bridge = open_bridge(loaded)
        bridge.lanes()  # whether its secret and certificates can be read
    except ConfigError as error:
        raise ConfigError(_of_the_order(str(error))) from None
    return bridge, days


def _of_the_order(told: str) -> str:
    """What is wrong with a configuration that nobody has seen, said of the option that it was made of."""
    place = _PLACE.match(told)
    if place is None:
        return told
    option = f"--{place['field'].replace('_', '-')}" if place["field"] else ""
    return (option + told[place.end() :]).removeprefix(": ")

"""Everything that a sync needs is tried once, and each failure says what to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

from bridge.app.bridge import Bridge
from bridge.app.notices import make_notices
from bridge.app.served import place_of
from bridge.config import BrokerSection, FeedSection, MunicipalitySettings, TargetSettings
from bridge.connector import Greets, Subscribes
from bridge.domain.changes import Operation
from bridge.domain.entities import PUBLISHED_KINDS
from bridge.domain.errors import (
    AgreementMissing,
    BridgeError,
    ConfigError,
    SnapshotInvalid,
    SourceUnauthorised,
    SourceUnavailable,
    TargetError,
)
from bridge.domain.nearest import did_you_mean
from bridge.engine.desire import Rendering
from bridge.engine.notices import Way
from bridge.mapping import of_strangers, strangers
from bridge.observe import explained, explained_target
from bridge.ports import Reachable

_APPROVE = "the institution or its municipality approves the data agreement at the source"


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that was tried: whether it works, and what to do if not."""

    name: str
    ok: bool
    text: str


def _tried(name: str, attempt: Callable[[], str | None]) -> Checked:
    """`attempt` returns what it found, where there is more to say than that it works."""
    try:
        text = attempt()
    except ConfigError:
        raise  # a mistake in the file ends every verb in the same way
    except (SourceUnavailable, SourceUnauthorised, SnapshotInvalid) as error:
        return Checked(name, False, explained(error))
    except TargetError as error:
        return Checked(name, False, explained_target(error))
    except BridgeError as error:
        return Checked(name, False, str(error))
    return Checked(name, True, text or "works")


def check(bridge: Bridge, *, is_offline: bool) -> list[Checked]:
    """Try configuration, state, sources and targets, one result each; changes nothing, sends no data.

    Raises `ConfigError`.
    """
    settings = bridge.settings
    found = [Checked("configuration", True, str(settings.path)), _tried("state", bridge.store.check)]
    for municipality in settings.municipalities:
        ask = partial(_ask, bridge, municipality, is_offline)
        found.append(_tried(f"source {municipality.code}", ask))
        if municipality.feed is not None:
            greet = partial(_greet, bridge, municipality, municipality.feed, is_offline)
            found.append(_tried(f"feed {municipality.code}", greet))
        for target, rendering in zip(municipality.targets, bridge.renderings(municipality), strict=True):
            if settings.institutions is not None and (stray := strangers(target.mapping, settings.institutions)):
                text = of_strangers(stray, settings.institutions, "configured")
                found.append(Checked(f"mapping of {target.id}", False, text))
            probe = partial(_probe, bridge, municipality, target, rendering, is_offline)
            found.append(_tried(f"target {target.id}", probe))
    if settings.broker is not None:
        found.append(_tried("broker", partial(_compare_queues, bridge, is_offline)))
        found += _idle_keys(settings.broker, [one.code for one in settings.municipalities])
    if settings.vendors:
        found.append(_tried("vendors", partial(_read_tokens, bridge)))
    notices = make_notices(bridge, bridge.teller)
    ways = notices.ways if notices is not None else ()
    return found + [_tried(f"notices {way.name}", partial(_reach, way, is_offline)) for way in ways]


def _compare_queues(bridge: Bridge, is_offline: bool) -> str | None:
    """Say which queues the bridge will make. Raises `TargetError` when one is there otherwise."""
    from bridge.app.events import queues  # the broker's client: who has no broker starts sooner without

    made = queues(bridge)
    if is_offline or not (missing := made.verify()):
        return None
    return f"works; `skolebro run` makes the queues that are not there: {', '.join(sorted(missing))}"


def _idle_keys(broker: BrokerSection, codes: Collection[str]) -> Iterator[Checked]:
    """Binding keys that no event here can have."""
    words = (("municipality", codes), ("kind", PUBLISHED_KINDS), ("operation", tuple(Operation)))
    for name, queue in broker.queues.items():
        for key in queue.keys:
            for word, (what, there) in zip(key.partition("#")[0].split("."), words, strict=False):
                if word and word != "*" and word not in there:
                    known = f"{did_you_mean(word, there)}there are {', '.join(sorted(there))}"
                    text = f"no event has the key {key}, for there is no {what} {word!r}; {known}"
                    yield Checked(f"queue {name}", False, text)


def _read_tokens(bridge: Bridge) -> str:
    from bridge.app.vendors import tokens  # the web server's parts: who has no vendor starts sooner without

    return f"the tokens of {', '.join(tokens(bridge))} can be read"


def _reach(way: Way, is_offline: bool) -> str | None:
    """Try a way to people without a message. Raises `NoticeFailed`."""
    if is_offline:
        return None
    if not isinstance(way.notifier, Reachable):
        return "not tried: only a notice would show it; `skolebro notices test` sends one"
    way.notifier.probe()
    return None


def _ask(bridge: Bridge, municipality: MunicipalitySettings, is_offline: bool) -> str | None:
    """Say what may be fetched. Raises `AgreementMissing` when that is nothing."""
    intake = bridge.intake(municipality)
    bridge.schedule(municipality)
    if is_offline or not isinstance(intake.source, Subscribes):
        return None
    agreed = intake.source.agreements()
    wanted = agreed if municipality.institutions is None else municipality.institutions
    if not agreed & wanted:
        nothing = f"none of the institutions is agreed, so nothing comes; {_APPROVE}"
        raise AgreementMissing(nothing + _greeting(intake.source))
    return _agreed(agreed, municipality.institutions)


def _greet(bridge: Bridge, municipality: MunicipalitySettings, feed: FeedSection, is_offline: bool) -> None:
    from bridge.app.feeds import make_feed  # the broker's client: who has no feed starts sooner without

    made = make_feed(bridge, municipality, feed)
    if not is_offline:
        made.probe()


def _greeting(source: object) -> str:
    """Whether the source knows us at all, where it agrees to nothing."""
    if not isinstance(source, Greets):
        return ""
    try:
        return f'; the connection itself works, the source says "{source.greeting()}"'
    except BridgeError as error:
        return f"; it does not greet us either ({error})"


def _agreed(agreed: frozenset[str], configured: frozenset[str] | None) -> str:
    """Say how many are agreed. Raises `AgreementMissing` when one that is configured is not."""
    if configured is None:
        return "1 institution is agreed" if len(agreed) == 1 else f"{len(agreed)} institutions are agreed"
    of = f"{len(agreed & configured)} of {len(configured)} configured institutions are agreed"
    if missing := sorted(configured - agreed):
        raise AgreementMissing(f"{of}; missing: {', '.join(missing)}; {_APPROVE}")
    return of


def _probe(
    bridge: Bridge,
    municipality: MunicipalitySettings,
    target: TargetSettings,
    rendering: Rendering,
    is_offline: bool,
) -> str | None:
    """Say where the target is served, if it is."""
    lane = bridge.lane(municipality, target, rendering)
    if not is_offline:
        lane.target.probe()
    place = place_of(bridge, lane) if target.config.discloses else None
    hosts = bridge.settings.web.public_hosts
    return f"works; served at {place}, for {', '.join(hosts) or 'this machine only'}" if place else None

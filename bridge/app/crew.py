"""The processes that share one state: who this one is there, and for how long it may say so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from bridge.adapters.state_folder import AlreadyRunning
from bridge.adapters.store_sql import SqlStore
from bridge.app.bridge import Bridge
from bridge.domain.errors import BridgeError, StaleLease, StoreError
from bridge.engine.members import Crew, Fenced, Passes, join, members
from bridge.observe import LogEvent, log
from bridge.ports import Store

_TTL = timedelta(seconds=15)
_BEATS = 5  # in the time of a lease
_TEND = timedelta(seconds=3)


@dataclass(slots=True)
class Watch:
    """Keeps a crew's lease alive in a thread of its own, so that long work elsewhere does not lose it."""

    crew: Crew
    lost: Callable[[], None]
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self.crew.beat()
        every = self.crew.ttl / _BEATS
        for name, step, pause in (("beat", self.crew.beat, every), ("tend", self.crew.tend, _TEND)):
            thread = threading.Thread(target=self._repeat, args=(step, pause), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(self.crew.ttl.total_seconds())
        with suppress(StoreError):  # then it is missed after its lease
            self.crew.leave()

    def _repeat(self, step: Callable[[], object], pause: timedelta) -> None:
        while not self._over.wait(pause.total_seconds()):
            try:
                step()
            except StaleLease as error:
                log.emit(LogEvent.LEASE_LOST, reason=str(error))
                self.lost()
                return
            except BridgeError as error:  # the database is away: the lease ends by itself if that lasts
                log.emit(LogEvent.LEASE_UNSURE, reason=str(error))


@contextmanager
def at_work(
    bridge: Bridge, roles: Collection[str], *, is_alone: bool = False, lost: Callable[[], None] = lambda: None
) -> Iterator[Crew | None]:
    """Hold the state for this process, or work on it among others where it is shared; then a crew is given.

    `lost` is called when another process has taken over. Raises `AlreadyRunning`, `StoreUnavailable`.
    """
    if bridge.settings.database is None:
        with bridge.alone():
            yield None
    else:
        with _among_others(bridge, roles, is_alone=is_alone, lost=lost) as crew:
            yield crew


@contextmanager
def _among_others(
    bridge: Bridge, roles: Collection[str], *, is_alone: bool, lost: Callable[[], None]
) -> Iterator[Crew]:
    store, book = bridge.store, bridge.book()
    assert isinstance(store, SqlStore)  # noqa: S101 - a database is configured, and nobody has fenced it yet
    if is_alone:
        _require_nobody(store)
    member = join(store, bridge.clock.new_id(), roles, _TTL, book)
    crew = Crew(store, member, _TTL, book, bridge.clock.monotonic)
    bridge.member, bridge.guard = member.id, crew.require
    bridge.store, bridge.in_pass = Fenced(store, member), Passes(store, member)
    watch = Watch(crew, lost)
    watch.start()
    try:
        bridge.begin()
        yield crew
    finally:
        watch.stop()


def _require_nobody(store: Store) -> None:
    with store.read() as reader:
        there = members(reader)
    if there:
        raise AlreadyRunning(
            f"{len(there)} other skolebro processes work on this state; nothing was changed. "
            "Stop them first, or use the verbs that only look: status, plan, holds, events"
        )

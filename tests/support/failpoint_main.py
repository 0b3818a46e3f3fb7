"""A bridge that kills itself at one exact place of a sync; run as a program, one order a line on stdin.

Orders are carried out as tests/support/forks.py says; one is {"config": path, "place": one of PLACES or null,
"number": which one}.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn

from bridge.adapters.store_sql import open_throwaway
from bridge.app.bridge import Bridge, open_bridge
from bridge.config import load_settings
from bridge.connector import Http, HttpResponse, Services
from bridge.ports import Reader, Store, UnitOfWork
from bridge.registry import Registry
from tests.support.forks import serve

PLACES = (
    "amid transaction",
    "before commit",
    "after commit",
    "before request to <target>",
    "after answer of <target>",
)
_READS = ("entit", "hash", "scan", "shared", "institution_state", "run", "last_", "quarantine", "hold")
_READS += ("event", "cursor", "desired_hashes", "due", "remote_ids", "deliver", "next_due", "target_state")
_READS += ("audit_", "open_intents", "shelved", "shelf_")


@dataclass
class Trap:
    """Counts how often its place is passed, by whatever thread, and at the given number ends the process."""

    place: str | None
    number: int
    passed: int = 0

    def __post_init__(self) -> None:
        self._lock = Lock()

    def at(self, place: str) -> None:
        with self._lock:
            if place == self.place:
                self.passed += 1
                if self.passed == self.number:
                    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class TrappedStore:
    """A store with a trap around each commit, and within each transaction after every statement that writes."""

    inner: Store
    trap: Trap

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with self.inner.read() as reader:
            yield reader

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        with self.inner.write() as uow:
            yield _TrappedUnit(uow, self.trap)  # type: ignore[misc] - it passes everything on
            self.trap.at("before commit")
        self.trap.at("after commit")

    def check(self) -> None:
        self.inner.check()

    def close(self) -> None:
        self.inner.close()


class _TrappedUnit:
    def __init__(self, uow: UnitOfWork, trap: Trap) -> None:
        self._uow, self._trap = uow, trap

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._uow, name)
        if name.startswith(_READS):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            self._trap.at("amid transaction")
            return result

        return call


@dataclass
class TrappedHttp:
    inner: Http
    target: str
    trap: Trap

    def request(self, method: str, path: str, **options: Any) -> HttpResponse:
        self.trap.at(f"before request to {self.target}")
        answer = self.inner.request(method, path, **options)
        self.trap.at(f"after answer of {self.target}")
        return answer


@dataclass
class TrappedBridge(Bridge):
    """The bridge as it is, its targets' wires trapped; the way to the source is left alone."""

    trap: Trap = None  # type: ignore[assignment] - always given

    def _services(self, *given: Any) -> Services:
        services = super()._services(*given)
        name = next((text for text in given if isinstance(text, str)), "the/source")
        if name.endswith("/source"):
            return services

        def http(*args: Any, **options: Any) -> Http:
            return TrappedHttp(services.http(*args, **options), name, self.trap)

        return replace(services, http=http)


def sync(config: Path, trap: Trap) -> None:
    bridge = open_bridge(load_settings(config, Registry()))
    trapped = TrappedBridge(bridge.settings, TrappedStore(bridge.store, trap), bridge.key, bridge.clock, trap=trap)
    with trapped.alone():
        assert trapped.sync() == []
    bridge.store.close()


def carry_out(order: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        sync(Path(order["config"]), Trap(order["place"], order["number"]))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    dict(Registry()), open_throwaway().close()  # imports what would else be imported in every fork
    serve(carry_out)

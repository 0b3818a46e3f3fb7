"""A feed's reader that kills itself at one exact place; run as a program, one order a line on stdin.

Orders are carried out as tests/support/forks.py says; one is {"database": path, "queue": name, "place": one of
PLACES or null}. It ends with 0 once the queue gives nothing more.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

from bridge.adapters.feed_kombu import KombuFeed
from bridge.adapters.store_sql import open_sqlite
from bridge.connector import Snapshot, SourceFailure
from bridge.domain.records import Record
from bridge.engine.feed import Inlet, feed_step
from bridge.engine.guard import GuardPolicy
from bridge.ports import Feed, FeedMessage, Reader, Store, UnitOfWork
from bridge.testing.memory_bus import MemoryBus
from tests.support.engine import MORNING, Bench, header, pupil
from tests.support.forks import serve
from tests.support.rabbitmq import url

PLACES = ("before the record", "before the commit", "after the commit", "after the acknowledgement")
_SOON = 1.0


class NameSource:
    """Reads documents that are a list of user ids."""

    def snapshots(self) -> Iterator[Snapshot | SourceFailure]:
        return iter(())

    def parse(self, snapshot: Snapshot) -> Iterator[Record]:
        users = snapshot.body.decode().strip("<>").split()
        yield header(at=MORNING + timedelta(minutes=len(users)), times={"KMD": MORNING})  # who names more is newer
        yield from map(pupil, users)

    def taken(self, snapshot: Snapshot) -> None: ...

    def document(self, body: bytes, origin: str) -> Snapshot:
        return Snapshot(body, sha256(body).hexdigest(), origin)


@dataclass
class Trap:
    place: str | None

    def at(self, place: str) -> None:
        if place == self.place:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class TrappedStore:
    """A store with a trap around the commit of a unit of work that has recorded something."""

    inner: Store
    trap: Trap
    seen: int = 0

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with self.inner.read() as reader:
            yield reader

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        with self.inner.write() as uow:
            before = uow.last_sequence("101")
            yield uow
            has_recorded = uow.last_sequence("101") > before
            if has_recorded:
                self.trap.at("before the commit")
        if has_recorded:
            self.trap.at("after the commit")

    def check(self) -> None: ...

    def close(self) -> None:
        self.inner.close()


@dataclass
class TrappedFeed:
    inner: KombuFeed
    trap: Trap

    def receive(self, seconds: float) -> FeedMessage | None:
        message = self.inner.receive(seconds)
        if message is None:
            return None
        self.trap.at("before the record")
        return _TrappedMessage(message, self)

    def close(self) -> None:
        self.inner.close()


class _TrappedMessage:
    def __init__(self, inner: FeedMessage, feed: TrappedFeed) -> None:
        self._inner, self._feed = inner, feed
        self.body, self.content_type, self.origin = inner.body, inner.content_type, inner.origin

    def done(self) -> None:
        self._inner.done()
        # What is written to a socket leaves also when its process is killed.
        self._feed.trap.at("after the acknowledgement")

    def dead(self, reason: str) -> None:
        self._inner.dead(reason)

    def later(self) -> None:
        self._inner.later()


def read_all(database: Path, queue: str, trap: Trap) -> None:
    bench = Bench(policy=GuardPolicy(max_deleted_percent=100.0))
    bench.store = TrappedStore(open_sqlite(database), trap)
    feed: Feed = TrappedFeed(KombuFeed(url(), queue, now=lambda: datetime.now(UTC)), trap)
    intake = replace(bench.intake, source=NameSource(), new_id=lambda: str(uuid4()))
    inlet = Inlet(feed, intake, MemoryBus())
    while feed_step(inlet, bench.diary, _SOON):
        pass
    feed.close()
    bench.store.close()


def carry_out(order: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        read_all(Path(order["database"]), order["queue"], Trap(order["place"]))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(carry_out)

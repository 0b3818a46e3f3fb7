"""One thread publishes all logs, so that a queue that is made anew is filled before anything newer is in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from bridge.domain.errors import TargetError
from bridge.domain.lazily import Lazily
from bridge.engine.asking import GoOn, always
from bridge.engine.publish import cursor_name, identifying, publish_step
from bridge.engine.publish_standing import as_trouble, note_trouble, read_standing
from bridge.observe import LogEvent, Metrics, log
from bridge.ports import EventPublisher, EventQueues, Reader, Store, UnitOfWork

_LOOK = 30.0  # seconds between two looks whether all queues are still there


@dataclass(slots=True)
class Publishing:
    """The logs of all municipalities on their way to the exchange and into the configured queues.

    A queue that is not there is made, and gets what was published before it was, under the same ids, as if it had
    been there from the beginning. What is still to be filled is written down before the queue is made.
    """

    store: Store
    publisher: EventPublisher
    queues: EventQueues
    municipalities: Sequence[str]
    limit: int
    monotonic: Callable[[], float]
    metrics: Metrics | None = None
    go_on: GoOn = always
    _looked: float | None = None
    _fillers: dict[str, EventPublisher] = field(default_factory=dict)

    def step(self) -> int:
        """Publish a window of each log, or fill so much; return how many events went. Raises `TargetError`."""
        try:
            self._keep_queues()
            return sum(self._one(code) for code in self.municipalities if self.go_on())
        except TargetError as error:
            self._looked = None  # who was away may have come back without its queues
            for code in self.municipalities:
                note_trouble(self.store, code, as_trouble(error))
            raise

    def close(self) -> None:
        """Say goodbye to the broker."""
        for one in (self.publisher, *self._fillers.values()):
            one.close()

    # ------------------------------------------------------------ queues

    def _keep_queues(self) -> None:
        now = self.monotonic()
        if self._looked is not None and now - self._looked < _LOOK:
            return
        if missing := self.queues.missing():
            with self.store.write() as uow:
                for code in self.municipalities:
                    _put_unfilled(uow, code, {**_unfilled(uow, code), **dict.fromkeys(sorted(missing), 0)})
            log.emit(LogEvent.QUEUE_MADE, count=len(missing))
        self.queues.declare()
        self._looked = now

    # ------------------------------------------------------------ logs

    def _one(self, code: str) -> int:
        with self.store.read() as reader:
            unfilled = _unfilled(reader, code)
        if unfilled:
            return sum(self._fill(code, queue, place) for queue, place in unfilled.items())
        done = publish_step(self.store, self.publisher, code, self.limit, self.metrics)
        if not done and self._is_stuck(code):  # perhaps for want of a queue that somebody has deleted
            self._looked = None
        return done

    def _is_stuck(self, code: str) -> bool:
        with self.store.read() as reader:
            return bool(read_standing(reader, code).trouble)

    def _fill(self, code: str, queue: str, place: int) -> int:
        """Give a queue the next part of what was published before it was there; at the end forget it."""
        with self.store.read() as reader:
            end = reader.cursor(cursor_name(code))
            events = [one for one in reader.events(code, place, self.limit) if one.sequence <= end]
        if queue not in self.queues.names or not events:
            self._put_place(code, queue, None)
            return 1  # the loop comes round at once and goes on with the log
        sent = self._filler(queue).publish(Lazily(events, identifying))
        self._put_place(code, queue, events[sent.settled - 1].sequence)
        return sent.settled

    def _filler(self, queue: str) -> EventPublisher:
        if queue not in self._fillers:
            self._fillers[queue] = self.queues.filler(queue)
        return self._fillers[queue]

    def _put_place(self, code: str, queue: str, place: int | None) -> None:
        with self.store.write() as uow:
            unfilled = {**_unfilled(uow, code), queue: place}
            _put_unfilled(uow, code, {name: at for name, at in unfilled.items() if at is not None})


def _unfilled(reader: Reader, code: str) -> dict[str, int]:
    """The queues that do not have yet what was published before they were there, and how far each has come."""
    text = reader.property(_name(code))
    return msgspec.json.decode(text, type=dict[str, int]) if text else {}


def _put_unfilled(uow: UnitOfWork, code: str, unfilled: dict[str, int]) -> None:
    uow.set_property(_name(code), msgspec.json.encode(unfilled).decode())


def _name(code: str) -> str:
    return f"fill/{code}"

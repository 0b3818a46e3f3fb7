"""Others are asked in threads of their own: whoever waits for them still lives, and can be told to stop."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

_LOOK = 1.0  # seconds between two looks at whether to wait on
T = TypeVar("T")
K = TypeVar("K")

GoOn = Callable[[], bool]
"""Called about every second while somebody is waited for: whether to wait on."""


class Stopped(Exception):
    """We were told to stop while an answer was out; nothing of it was used."""


def always() -> bool:
    """The `GoOn` of who waits to the end."""
    return True


def answered(call: Callable[[], T], go_on: GoOn) -> T:
    """Return what a call returns, or raise what it raises. Raises `Stopped`."""
    for _, result in in_turn(lambda _: call(), [None], 1, go_on):
        if isinstance(result, Exception):
            raise result
        return result
    raise Stopped


def in_turn(
    call: Callable[[K], T], those: Iterable[K], at_a_time: int, go_on: GoOn
) -> Generator[tuple[K, T | Exception], None, None]:
    """Yield each of those with what its call returned or raised, as it comes.

    At most so many are out at a time, and no more than that wait to be used; those are drawn one by one, so that
    an iterator may end early. Told to stop, it ends without what is still out.
    """
    waiting = iter(those)
    tasks: SimpleQueue[tuple[K] | None] = SimpleQueue()
    results: SimpleQueue[tuple[K, T | Exception]] = SimpleQueue()

    def work() -> None:
        while (task := tasks.get()) is not None:
            results.put((task[0], _attempt(call, task[0])))

    under_way = workers = 0
    try:
        for one in islice(waiting, at_a_time):
            tasks.put((one,))
            # Daemons: a process that is asked to stop does not wait for a slow answer.
            Thread(target=work, daemon=True).start()
            under_way, workers = under_way + 1, workers + 1
        while under_way:
            found = _next(results, go_on)
            if found is None:
                return
            under_way -= 1
            yield found
            for one in islice(waiting, 1):
                tasks.put((one,))
                under_way += 1
    finally:
        for _ in range(workers):
            tasks.put(None)


def _attempt(call: Callable[[K], T], one: K) -> T | Exception:
    try:
        return call(one)
    except Exception as error:  # told by the thread that uses it
        return error


def _next(results: SimpleQueue[T], go_on: GoOn) -> T | None:
    while go_on():
        try:
            return results.get(timeout=_LOOK)
        except Empty:
            continue
    return None

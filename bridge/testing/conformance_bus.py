"""A bus that passes these tests lets a loop sleep soundly: it is woken when needed and never held for good.

Subclass `BusConformance` and give it a `bus` fixture. No test measures time: the long waits are far longer
than any run, and a thread that is not let go fails its join.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from bridge.ports import Bus

SOON = 0.05
NEVER = 600.0
_JOIN = 30.0


class BusConformance:
    """The promises of `Bus` that a loop relies on."""

    def test_a_wait_without_a_nudge_ends_by_itself(self, bus: Bus) -> None:
        assert bus.wait("work", SOON) is False

    def test_a_nudge_that_came_while_the_loop_worked_ends_its_next_wait_at_once(self, bus: Bus) -> None:
        bus.wait("work", 0)
        bus.nudge("work")
        assert bus.wait("work", NEVER) is True

    def test_many_nudges_before_a_wait_are_one_wake_up(self, bus: Bus) -> None:
        bus.wait("work", 0)
        for _ in range(5):
            bus.nudge("work")
        assert bus.wait("work", NEVER) is True
        assert bus.wait("work", SOON) is False

    def test_a_nudge_after_a_wake_up_is_a_new_one(self, bus: Bus) -> None:
        bus.wait("work", 0)
        for _ in range(3):
            bus.nudge("work")
            assert bus.wait("work", NEVER) is True

    def test_topics_do_not_wake_each_other(self, bus: Bus) -> None:
        bus.wait("work", 0)
        bus.wait("rest", 0)
        bus.nudge("work")
        assert bus.wait("rest", SOON) is False
        assert bus.wait("work", NEVER) is True

    def test_a_nudge_nobody_waits_for_is_no_error(self, bus: Bus) -> None:
        bus.nudge("nobody")

    def test_a_nudge_wakes_a_thread_that_is_waiting(self, bus: Bus) -> None:
        waiter = _Waiter(bus, "work")
        bus.nudge("work")
        assert waiter.outcome() is True

    def test_a_nudge_wakes_every_thread_that_waits(self, bus: Bus) -> None:
        waiters = [_Waiter(bus, "work") for _ in range(3)]
        bus.nudge("work")
        assert [waiter.outcome() for waiter in waiters] == [True, True, True]

    def test_closing_lets_go_of_every_waiting_thread(self, bus: Bus) -> None:
        waiters = [_Waiter(bus, topic) for topic in ("work", "work", "rest")]
        bus.close()
        assert [waiter.outcome() for waiter in waiters] == [False, False, False]

    def test_a_closed_bus_holds_nobody_and_closes_again(self, bus: Bus) -> None:
        bus.close()
        bus.close()
        bus.nudge("work")
        assert bus.wait("work", NEVER) is False


class _Waiter:
    """A thread that waits on a topic; made only once its first wait has put it on the list."""

    def __init__(self, bus: Bus, topic: str) -> None:
        self._told: SimpleQueue[bool] = SimpleQueue()
        listening: SimpleQueue[None] = SimpleQueue()
        self._thread = Thread(target=self._run, args=(bus, topic, lambda: listening.put(None)), daemon=True)
        self._thread.start()
        listening.get(timeout=_JOIN)

    def _run(self, bus: Bus, topic: str, listen: Callable[[], None]) -> None:
        bus.wait(topic, 0)
        listen()
        self._told.put(bus.wait(topic, NEVER))

    def outcome(self) -> bool:
        self._thread.join(_JOIN)
        assert not self._thread.is_alive(), "the thread is still held"
        return self._told.get_nowait()

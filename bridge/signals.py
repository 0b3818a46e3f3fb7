"""A request to stop is heard whichever thread it reaches, and whatever the main thread is waiting for."""

from __future__ import annotations

import os
import signal
from socket import socket, socketpair
from threading import Event, Thread

_ASKED = (signal.SIGTERM, signal.SIGINT)


def until_signal(stopping: Event | None = None) -> Event:
    """Return an event that SIGTERM or Ctrl-C sets; the second one ends the process at once. For the main thread.

    Python runs its handlers in the main thread, between two of its steps. While that waits for a lock it takes
    none if the system gave the signal to another thread, and an event that is set by a handler may be just what it
    has locked. So the interpreter's own note of a signal, an octet on a socket, is what wakes a thread for it.
    """
    stopping = stopping or Event()
    heard, bell = socketpair()
    bell.setblocking(False)
    for number in _ASKED:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
    Thread(target=_listen, args=(heard, bell, stopping), name="signals", daemon=True).start()
    return stopping


def _listen(heard: socket, _bell: socket, stopping: Event) -> None:
    while octets := heard.recv(16):
        for number in (n for n in octets if n in _ASKED):
            if stopping.is_set():
                os._exit(128 + number)
            stopping.set()

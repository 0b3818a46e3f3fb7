"""Ports of this machine that nobody listens at."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Below those that the system gives to clients: who asks a node that is away for one of these finds itself."""
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            one = stack.enter_context(socket.socket())
            with suppress(OSError):
                one.bind((HOST, random.randrange(20_000, 32_000)))
                found.append(one.getsockname()[1])
    return found


def free_port() -> int:
    return free_ports(1)[0]

"""Whoever started this process as a service hears how it fares: one datagram a message, to a socket that it named.

The protocol is systemd's, which promises that it stays as it is: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from bridge.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """`address`: empty where there is none; `patience`: how long it waits for a sign of life, None for ever."""

    address: str = ""
    patience: timedelta | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> ServiceManager:
        """The one that the environment names. Raises `ConfigError`."""
        address = environment.get("NOTIFY_SOCKET", "")
        if address and address[0] not in "/@":
            raise ConfigError(f"NOTIFY_SOCKET: {address} is no Unix socket; run this without Type=notify there")
        return cls(address, _patience(environment))

    def tell(self, *words: str) -> None:
        """Send assignments such as READY=1. That nobody listens is no trouble of ours."""
        if not self.address:
            return
        to = "\0" + self.address[1:] if self.address[0] == "@" else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.settimeout(1)
            out.sendto("\n".join(words).encode(), to)


def _patience(environment: Mapping[str, str]) -> timedelta | None:
    """What is meant for another process, and what is no number, is not for us."""
    told, whom = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(os.getpid()))
    if not told.isdecimal() or int(told) == 0 or whom != str(os.getpid()):
        return None
    return timedelta(microseconds=int(told))

"""What systemd is to a service: a datagram socket that it names, and the messages that came there, in order."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Self

_PATIENCE = 60


class Manager:
    """A stand-in that listens until its block ends; `address` is for $NOTIFY_SOCKET."""

    def __init__(self, address: str | Path) -> None:
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(_PATIENCE)
        self._socket.bind("\0" + self.address[1:] if self.address[0] == "@" else self.address)

    def hears(self) -> str:
        """The next message. Raises `TimeoutError` when none comes."""
        return self._socket.recv(4096).decode()

    def hears_nothing(self) -> bool:
        """Whether nothing has come that was not heard yet."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self._socket.settimeout(_PATIENCE)
        return False

    def hears_until(self, is_last: Callable[[str], bool]) -> list[str]:
        """All messages up to the one that is awaited."""
        heard = [self.hears()]
        while not is_last(heard[-1]):
            heard.append(self.hears())
        return heard

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

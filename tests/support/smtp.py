"""A mail server on loopback: SMTP with STARTTLS and a login; it keeps what it is given, and fails on order."""

from __future__ import annotations

import base64
import socket
import socketserver
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Self

_LINE = 65_536


@dataclass(frozen=True, slots=True)
class Mail:
    """One message with its envelope. `is_secured`: it came over TLS; `user` had logged in."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    is_secured: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.content, policy=SMTP)

    @property
    def text(self) -> str:
        return str(self.message.get_content()).replace("\r\n", "\n")


class MailServer:
    """Answers as `replies` says (command in capitals, to a whole reply line), else as a healthy server.

    `tls` is offered by STARTTLS, or spoken `at_once`. `users` may log in by AUTH PLAIN. `refused` are recipients
    that it does not take. `pause`: what it says comes a byte at a time, so long apart.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        *,
        at_once: bool = False,
        users: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> None:
        self.tls, self.at_once, self.users = tls, at_once, dict(users or {})
        self.replies: dict[str, str] = {}
        self.refused: set[str] = set()
        self.pause: float | None = None
        self.mails: list[Mail] = []
        self.heard: list[tuple[bool, str]] = []
        """Every line that came, and whether it came over TLS."""
        self.stopping = Event()
        self.port = port
        self._came = Condition()
        self._server: _Server | None = None
        self._thread: Thread | None = None

    def start(self) -> Self:
        self.stopping.clear()
        self._server = _Server(("127.0.0.1", self.port), self)
        self.port = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stopping twice does nothing; a later `start` listens at the same port."""
        server, thread, self._server = self._server, self._thread, None
        if server is None or thread is None:
            return
        self.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()

    def keep(self, mail: Mail) -> None:
        with self._came:
            self.mails.append(mail)
            self._came.notify_all()

    def wait_for(self, count: int, seconds: float = 60) -> bool:
        """Wait until so many messages have come in all; False when the time runs out."""
        with self._came:
            return self._came.wait_for(lambda: len(self.mails) >= count, seconds)

    @property
    def text(self) -> str:
        """Everything that was ever said to it."""
        return "\n".join(line for _, line in self.heard) + "".join(mail.text for mail in self.mails)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def server_context(files: tuple[Path, Path]) -> ssl.SSLContext:
    """TLS with this certificate and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], owner: MailServer) -> None:
        self.owner = owner
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away, or takes our certificate for another's, is everyday life."""


class _Handler(socketserver.BaseRequestHandler):
    request: socket.socket
    server: _Server

    def handle(self) -> None:
        self._user: str | None = None
        self._sender, self._recipients = "", list[str]()
        self.request.settimeout(30)
        if self._owner.at_once:
            self._secure()
        self._file = self.request.makefile("rb")
        self._say(self._owner.replies.get("CONNECT", "220 mail.example ESMTP"))
        while line := self._file.readline(_LINE):
            if not self._obey(line.decode("latin-1").rstrip("\r\n")):
                break
        if self.request.fileno() >= 0:
            self.request.close()

    @property
    def _owner(self) -> MailServer:
        return self.server.owner

    @property
    def _is_secured(self) -> bool:
        return isinstance(self.request, ssl.SSLSocket)

    def _secure(self) -> None:
        assert self._owner.tls is not None
        self.request = self._owner.tls.wrap_socket(self.request, server_side=True)

    def _say(self, reply: str) -> None:
        said = reply.encode() + b"\r\n"
        if self._owner.pause is None:
            self.request.sendall(said)
            return
        for number in range(len(said)):
            self.request.sendall(said[number : number + 1])
            if self._owner.stopping.wait(self._owner.pause):
                return

    def _obey(self, line: str) -> bool:
        """Do what one line says; False when the conversation is over."""
        self._owner.heard.append((self._is_secured, line))
        word = line.split(" ")[0].upper()
        if word in self._owner.replies:
            self._say(self._owner.replies[word])
            return True
        match word:
            case "EHLO":
                self._say(
                    "\r\n".join(f"250-{offer}" for offer in ("mail.example", *self._offers())) + "\r\n250 OK"
                )
            case "STARTTLS":
                self._say("220 go ahead")
                self._secure()
                self._file = self.request.makefile("rb")
            case "AUTH":
                self._log_in(line)
            case "MAIL":
                self._sender, self._recipients = _address(line), []
                self._say("250 OK")
            case "RCPT":
                self._take_recipient(_address(line))
            case "DATA":
                self._take_message()
            case "QUIT":
                self._say("221 bye")
                return False
            case _:
                self._say("250 OK")
        return True

    def _offers(self) -> list[str]:
        is_open = self._owner.tls is not None and not self._is_secured
        return [*(["STARTTLS"] if is_open else []), *(["AUTH PLAIN"] if self._owner.users else [])]

    def _log_in(self, line: str) -> None:
        _, user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
        if self._owner.users.get(user) == password:
            self._user = user
            self._say("235 welcome")
        else:
            self._say(f"535 no such user {user}")

    def _take_recipient(self, address: str) -> None:
        if address in self._owner.refused:
            self._say(f"550 <{address}> is unknown here")
        else:
            self._recipients.append(address)
            self._say("250 OK")

    def _take_message(self) -> None:
        self._say("354 go on")
        lines = []
        while (line := self._file.readline(_LINE)) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        mail = Mail(self._sender, tuple(self._recipients), b"".join(lines), self._is_secured, self._user)
        if "END" in self._owner.replies:
            self._say(self._owner.replies["END"])
            return
        self._owner.keep(mail)
        self._say("250 taken")


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]

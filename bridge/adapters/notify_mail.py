"""Notices by mail: one message to all recipients of a municipality, over TLS that is verified."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from threading import Event, Timer
from typing import Literal

from bridge.domain.errors import ConfigError
from bridge.observe import LogEvent, log
from bridge.ports import Notice, NoticeFailed

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over. `login` is user name and password; `ca_file` replaces the system's authorities.

    `timeout` is the deadline of the whole conversation (only a name service that hangs is out of its reach).
    """

    host: str
    port: int
    security: Security = "starttls"
    login: tuple[str, str] | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout: timedelta = timedelta(seconds=30)


class MailNotifier:
    """`bridge.ports.Notifier` by SMTP.

    A municipality that is not among `recipients_of` has `recipients`.

    Raises `ConfigError` for a file of authorities that cannot be used, a login without TLS and one that is not
    ASCII.
    """

    def __init__(
        self,
        server: MailServer,
        sender: str,
        recipients: Sequence[str],
        recipients_of: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        if server.login is not None and server.security == "none":
            raise ConfigError("security none sends no password: use starttls or tls, or leave user_name out")
        if server.login is not None and not "".join(server.login).isascii():
            raise ConfigError("password_file: a mail login takes ASCII characters only")
        self._server, self._sender = server, sender
        self._recipients, self._recipients_of = tuple(recipients), dict(recipients_of or {})
        self._tls = _tls(server.ca_file)

    def send(self, notice: Notice) -> None:
        """Hand one message over for all recipients. Raises `NoticeFailed` when the server took it for none."""
        to = self._recipients_of.get(notice.municipality, self._recipients)
        content = message(notice, self._sender, to).as_bytes()
        with self._connected() as smtp:
            refused = smtp.sendmail(self._sender, list(to), content)
        if refused:
            log.emit(LogEvent.NOTICE_REFUSED, municipality=notice.municipality, count=len(refused))

    def probe(self) -> None:
        """Greet, secure and log in; no message. Raises `NoticeFailed`."""
        with self._connected():
            pass

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        """A connection that is secured and logged in; whatever goes wrong on it becomes `NoticeFailed`."""
        server = self._server
        line = _Line()
        watch = Timer(server.timeout.total_seconds(), line.cut)
        watch.daemon = True
        watch.start()
        try:
            # The name that we give in EHLO: the machine's own is not asked for, it may hang in a name service.
            name = self._sender.rpartition("@")[2]
            at_once = self._tls if server.security == "tls" else None
            with closing(_Smtp(server, name, at_once, line)) as smtp:
                if server.security == "starttls":
                    smtp.starttls(context=self._tls)
                smtp.ehlo_or_helo_if_needed()
                if server.login is not None:
                    smtp.login(*server.login)
                yield smtp
                with suppress(OSError):  # all is done: an end without good manners changes nothing
                    smtp.quit()
        except (OSError, ValueError) as error:
            failure = _failed(error, server, is_cut=line.is_cut.is_set())
        else:
            return
        finally:
            watch.cancel()
            line.close()
        # Raised out here, without a cause: the server's own words may quote an address.
        raise failure


def message(notice: Notice, sender: str, to: Sequence[str]) -> EmailMessage:
    """The mail of a notice. No text of it can begin a header of its own."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Subject"] = "".join(c if c.isprintable() else " " for c in notice.subject)
    mail["Date"] = format_datetime(notice.at)
    mail["Message-ID"] = f"<{notice.id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(notice.text, cte="quoted-printable")
    return mail


class _Line:
    """The connection under a conversation, held by a second handle so that a deadline can cut it at any time.

    smtplib's time-outs are for each read, so a server that sends a byte now and then would hold us for ever.
    """

    def __init__(self) -> None:
        self._handle: socket.socket | None = None
        self.is_cut = Event()

    def hold(self, connection: socket.socket) -> socket.socket:
        self._handle = connection.dup()
        if self.is_cut.is_set():
            self.cut()
        return connection

    def cut(self) -> None:
        self.is_cut.set()
        if self._handle is not None:
            with suppress(OSError):  # the other side was first, or the conversation has just ended
                self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._handle is not None:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)
            self._handle.close()


class _Smtp(smtplib.SMTP):
    """smtplib's client whose connection can be cut, and may speak TLS from its first byte."""

    def __init__(self, server: MailServer, name: str, tls: ssl.SSLContext | None, line: _Line) -> None:
        self._at_once, self._line = tls, line
        super().__init__(server.host, server.port, name, server.timeout.total_seconds())

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection = self._line.hold(socket.create_connection((host, port), timeout))
        return connection if self._at_once is None else self._at_once.wrap_socket(connection, server_hostname=host)


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """Return a verifying context. Raises `ConfigError` naming the file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"ca_file: {ca_file} holds no certificate authorities in PEM form") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


_REASONS: tuple[tuple[type[BaseException], str, str], ...] = (
    # What is more special comes first; all of smtplib's errors are OSErrors.
    (smtplib.SMTPAuthenticationError, "login_refused", "it refuses our login: see user_name and password_file"),
    (smtplib.SMTPNotSupportedError, "not_supported", "it lacks STARTTLS or a login: see security and user_name"),
    (smtplib.SMTPRecipientsRefused, "recipients_refused", "it refuses every recipient: see to"),
    (smtplib.SMTPSenderRefused, "sender_refused", "it refuses our sender: see sender"),
    (smtplib.SMTPServerDisconnected, "connection_lost", "it hung up"),
    (smtplib.SMTPException, "refused", "it refuses the message"),
    (ssl.SSLCertVerificationError, "certificate_refused", "its certificate is not to be trusted: see ca_file"),
    (ssl.SSLError, "tls_failed", "no secure connection came about: see security and port"),
    (TimeoutError, "timeout", "it does not answer in time"),
    (ConnectionRefusedError, "connect_failed", "nobody answers there: see server and port"),
    (socket.gaierror, "connect_failed", "its name is not known: see server"),
    (OSError, "connection_lost", "the connection broke"),
    (ValueError, "refused", "it cannot be spoken to"),
)


def _failed(error: BaseException, server: MailServer, *, is_cut: bool) -> NoticeFailed:
    cause = TimeoutError() if is_cut else error
    reason, words = next((code, text) for kind, code, text in _REASONS if isinstance(cause, kind))
    status = getattr(cause, "smtp_code", None)
    answer = f" (it answered {status})" if isinstance(status, int) and status > 0 else ""
    return NoticeFailed(reason, f"mail server {server.host}:{server.port}: {words}{answer}")

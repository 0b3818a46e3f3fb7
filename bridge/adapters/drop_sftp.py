"""Files are left at an SFTP server that is known by its key: whole or not at all, and nothing lasts for ever."""

from __future__ import annotations

import errno
import io
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic
from urllib.parse import SplitResult, unquote, urlsplit

import paramiko

from bridge.adapters.drop_names import STALE, is_unfinished, unfinished
from bridge.domain.errors import ConfigError, TargetError, TargetUnauthorised, TargetUnavailable
from bridge.domain.shelf import is_plain, plain_name

_PORT = 22
_CHUNK = 32_768
_LARGEST = 1 << 30
_TROUBLE = (OSError, EOFError, paramiko.SSHException)
_KEY_TYPES = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


@dataclass(frozen=True, slots=True)
class SftpPlace:
    """Where files are left, and who we are there: by `key` or `password`.

    `silence` is how long one answer is waited for, `deadline` how long one file may take.
    """

    host: str
    port: int
    user: str
    folder: str
    known_hosts: paramiko.HostKeys = field(repr=False)
    key: paramiko.PKey | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    silence: timedelta = timedelta(seconds=20)
    deadline: timedelta = timedelta(minutes=15)

    @classmethod
    def read(
        cls, url: str, known_hosts: Path, *, key: bytes | None = None, password: str | None = None
    ) -> SftpPlace:
        """Read ``sftp://user@host[:port]/folder``; ``/~/folder`` is below the user's own.

        Raises `ConfigError`, whose text begins with the key of the configuration that is wrong.
        """
        parts = urlsplit(url)
        host, port = parts.hostname, _port(parts)
        if parts.scheme != "sftp" or not host or not parts.username or port is None or parts.query:
            raise ConfigError(
                "sftp_url: expected sftp://user@host/folder; a port other than 22 stands after the host"
            )
        if parts.password is not None:
            raise ConfigError("sftp_url: a password does not belong there; write it into sftp_password_file")
        return cls(
            host=host,
            port=port,
            user=unquote(parts.username),
            folder=_folder(unquote(parts.path)),
            known_hosts=_known_hosts(known_hosts, host if port == _PORT else f"[{host}]:{port}"),
            key=_key(key) if key is not None else None,
            password=password,
        )


class SftpDrop:
    """`bridge.domain.shelf.Drop`; each call is a connection of its own. `tick` is called while one lasts."""

    def __init__(self, place: SftpPlace, tick: Callable[[], None] = lambda: None) -> None:
        self._place, self._tick = place, tick

    def put(self, name: str, content: bytes) -> None:
        whole, part = self._path(plain_name(name)), self._path(unfinished(name))
        with self._session() as session:
            try:
                self._write(session, part, content)
                written_at = session.stat(part).st_mtime or 0
                _rename(session, part, whole, self._path(unfinished(f"{name}.old")))
            except BaseException:
                with suppress(*_TROUBLE):
                    session.remove(part)
                raise
            self._clean(session, written_at - STALE)

    def names(self) -> list[str]:
        with self._session() as session:
            found = session.listdir_attr(self._place.folder)
            return sorted(one.filename for one in found if is_plain(one.filename) and _is_file(one))

    def read(self, name: str) -> bytes | None:
        path = self._path(plain_name(name))
        with self._session() as session:
            session.stat(self._place.folder)  # else no folder would look like no file
            try:
                file = session.open(path, "rb")
            except FileNotFoundError:
                return None
            with file:
                return self._content(file)

    def delete(self, name: str) -> None:
        path = self._path(plain_name(name))
        with self._session() as session, suppress(FileNotFoundError):
            session.remove(path)

    # ------------------------------------------------------------ within a session

    def _path(self, name: str) -> str:
        return f"{self._place.folder.rstrip('/')}/{name}"

    def _write(self, session: paramiko.SFTPClient, path: str, content: bytes) -> None:
        until = monotonic() + self._place.deadline.total_seconds()
        with suppress(OSError):
            session.remove(path)  # a crash may have left it, and a link would lead elsewhere
        with session.open(path, "wx") as file:
            file.set_pipelined(True)
            for start in range(0, len(content), _CHUNK):
                file.write(content[start : start + _CHUNK])
                self._require_time(until)
        if session.stat(path).st_size != len(content):
            raise TargetUnavailable("file_cut")

    def _content(self, file: paramiko.SFTPFile) -> bytes:
        until, found = monotonic() + self._place.deadline.total_seconds(), io.BytesIO()
        while chunk := file.read(_CHUNK):
            found.write(chunk)
            self._require_time(until)
            if found.tell() > _LARGEST:
                raise TargetUnavailable("file_too_large")
        return found.getvalue()

    def _require_time(self, until: float) -> None:
        self._tick()
        if monotonic() > until:
            raise TargetUnavailable("timeout")

    def _clean(self, session: paramiko.SFTPClient, before: float) -> None:
        """Remove what was left unfinished long ago, by the server's clock, under names that do not come again."""
        with suppress(*_TROUBLE):  # the file is there; many servers show nobody what lies in their folder
            for one in session.listdir_attr(self._place.folder):
                if is_unfinished(one.filename) and (one.st_mtime or 0) < before:
                    session.remove(self._path(one.filename))

    # ------------------------------------------------------------ the session

    @contextmanager
    def _session(self) -> Iterator[paramiko.SFTPClient]:
        """Log in; what fails, then or inside the block, comes out as `TargetError`."""
        client = paramiko.SSHClient()
        try:
            self._log_in(client)
            self._tick()
            session = client.open_sftp()
            channel = session.get_channel()
            if channel is not None:
                channel.settimeout(self._place.silence.total_seconds())
            yield session
        except TargetError:
            raise
        except Exception as error:  # what a server says may break the library anywhere
            raise _error(error) from error
        finally:
            client.close()

    def _log_in(self, client: paramiko.SSHClient) -> None:
        place, silence = self._place, self._place.silence.total_seconds()
        client.get_host_keys().update(place.known_hosts)
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.connect(
            place.host,
            place.port,
            place.user,
            password=place.password,
            pkey=place.key,
            timeout=silence,
            banner_timeout=silence,
            auth_timeout=silence,
            channel_timeout=silence,
            allow_agent=False,
            look_for_keys=False,
        )


def _rename(session: paramiko.SFTPClient, part: str, whole: str, aside: str) -> None:
    """Put a file in the place of an older one; where the server cannot do that at once, the older steps aside."""
    try:
        session.posix_rename(part, whole)
    except OSError as error:
        if error.errno is not None:  # it knows the word, and says why not
            raise
        with suppress(OSError):
            session.remove(aside)
        with suppress(FileNotFoundError):
            session.rename(whole, aside)
        try:
            session.rename(part, whole)
        except BaseException:
            with suppress(*_TROUBLE):
                session.rename(aside, whole)
            raise
        with suppress(OSError):
            session.remove(aside)


def _is_file(one: paramiko.SFTPAttributes) -> bool:
    return one.st_mode is None or stat.S_ISREG(one.st_mode)


def _error(error: Exception) -> TargetError:
    """Say who must act, in our own words: a server's may quote anything."""
    match error:
        case paramiko.BadHostKeyException():
            return TargetUnauthorised(
                "nothing was sent: another key than that in sftp_known_hosts_file answers; ask the vendor whether "
                "the server was renewed, else something stands between"
            )
        case paramiko.AuthenticationException():
            return TargetUnauthorised("the server does not let this user in: see sftp_url, and key or password")
        case paramiko.ssh_exception.NoValidConnectionsError():
            return TargetUnavailable("connect_failed")
        case TimeoutError():
            return TargetUnavailable("timeout")
        case OSError(errno=errno.EACCES):
            return TargetUnauthorised("this user may not write to the folder of sftp_url, or not read it")
        case OSError(errno=errno.ENOENT):
            return TargetUnavailable("folder_missing")
        case paramiko.SSHException() | EOFError() | ConnectionResetError() | BrokenPipeError():
            return TargetUnavailable("connection_lost")
        case OSError(args=("Socket is closed",)):  # what paramiko says of a channel whose connection has ended
            return TargetUnavailable("connection_lost")
        case OSError(errno=int()):
            return TargetUnavailable("connect_failed")
        case _:
            return TargetUnavailable("sftp_failed")


# ---------------------------------------------------------------- configuration


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port or _PORT
    except ValueError:
        return None


def _folder(path: str) -> str:
    own = re.fullmatch(r"/~(?:/(.*))?", path)
    return (own[1] or "." if own else path) or "."


def _known_hosts(path: Path, name: str) -> paramiko.HostKeys:
    """The keys of known servers, among them the one of this name."""
    known = paramiko.HostKeys()
    try:
        has_marks = re.search(r"^\s*@", path.read_text(encoding="utf-8"), re.MULTILINE)
        if not has_marks:
            known.load(str(path))
    except (OSError, UnicodeDecodeError, paramiko.hostkeys.InvalidHostKey) as error:
        raise ConfigError(f"sftp_known_hosts_file: {path} cannot be read as OpenSSH writes it") from error
    if has_marks:
        raise ConfigError(f"sftp_known_hosts_file: {path} has lines with @; only plain keys are understood")
    if not known.lookup(name):
        raise ConfigError(
            f"sftp_known_hosts_file: {path} names no key of {name}; get it from the vendor, not from the network"
        )
    return known


def _key(content: bytes) -> paramiko.PKey:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = ""
    for one in _KEY_TYPES:
        try:
            return one.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException as error:
            raise ConfigError("sftp_key_file: the key asks for a passphrase; give one without") from error
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise ConfigError("sftp_key_file: no private key (Ed25519, ECDSA or RSA) as ssh-keygen writes it")

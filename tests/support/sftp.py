"""An SFTP server on loopback: paramiko's SSH, and behind it paramiko's own files or OpenSSH's program."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, Self

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED, OPEN_SUCCEEDED

from tests.support.needs import OPENSSH, require

USER, PASSWORD = "skolebro", "et hemmeligt kodeord"


def require_openssh() -> None:
    require("sftp-server")


class SftpServer:
    """Shows one folder as `/` (OpenSSH: at its own path) to one user who has the key or the password.

    `is_openssh` lets OpenSSH's program see to the files. Of paramiko's own: `has_posix_rename`, `may_list` and
    `may_write` say what it can, `cut_after` after how many bytes written it hangs up. `renames` are its
    answers to the next attempts to rename, instead of doing so. `refuses_new`: nothing new gets its name.
    `hears` False: it takes a connection and never says a word.
    """

    def __init__(self, folder: Path, *, is_openssh: bool = False) -> None:
        self.folder, self.is_openssh = folder, is_openssh
        self.host_key, self.user_key = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
        self.has_posix_rename = self.may_list = self.may_write = self.may_enter = self.hears = True
        self.cut_after: int | None = None
        self.renames: list[int] = []
        self.refuses_new = False
        self.said: list[str] = []
        self._open: list[paramiko.Transport | socket.socket] = []

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for one in self._open:
            one.close()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        return f"sftp://{USER}@127.0.0.1:{self.port}{self.folder if self.is_openssh else '/'}"

    def known_hosts(self, path: Path, key: paramiko.PKey | None = None) -> Path:
        """Write a file that knows this server by its key, or by another."""
        shown = key or self.host_key
        path.write_text(f"[127.0.0.1]:{self.port} {shown.get_name()} {shown.get_base64()}\n", encoding="utf-8")
        return path

    def key_file(self, path: Path, key: paramiko.PKey | None = None) -> Path:
        """Write the private key that is let in, or another."""
        (key or self.user_key).write_private_key_file(str(path))
        path.chmod(0o600)
        return path

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                if self.hears:
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        transport.add_server_key(self.host_key)
        if self.is_openssh:
            transport.set_subsystem_handler("sftp", _Program, self.folder)
        else:
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files, self, transport)
        self._open.append(transport)
        with suppress(paramiko.SSHException, EOFError):
            transport.start_server(server=_Door(self))


class _Door(paramiko.ServerInterface):
    def __init__(self, server: SftpServer) -> None:
        self._server = server

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password"

    def check_auth_password(self, username: str, password: str) -> int:
        return self._answer(username == USER and password == PASSWORD)

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return self._answer(username == USER and key == self._server.user_key)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def _answer(self, is_known: bool) -> int:
        return AUTH_SUCCESSFUL if is_known and self._server.may_enter else AUTH_FAILED


class _Program(paramiko.SubsystemHandler):
    """OpenSSH's sftp-server, its standard input and output carried to and fro."""

    def __init__(
        self, channel: paramiko.Channel, name: str, server: paramiko.ServerInterface, folder: Path
    ) -> None:
        super().__init__(channel, name, server)
        self._folder = folder

    def start_subsystem(self, name: str, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        with subprocess.Popen(
            [OPENSSH, "-d", self._folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as program:
            assert program.stdin is not None and program.stdout is not None
            answers = Thread(
                target=_carry, args=(lambda: program.stdout.read(65_536), channel.sendall), daemon=True
            )
            answers.start()
            _carry(lambda: channel.recv(65_536), program.stdin.write)
            program.stdin.close()
            answers.join()


def _carry(take: Callable[[], bytes], give: Callable[[bytes], object]) -> None:
    with suppress(OSError, EOFError, ValueError):
        while some := take():
            left = memoryview(some)
            while left:
                given = give(left)
                left = left[given:] if isinstance(given, int) else left[len(left) :]


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, door: Any, server: SftpServer, transport: paramiko.Transport) -> None:
        super().__init__(door)
        self._server, self._transport = server, transport

    def _path(self, path: str) -> str:
        return f"{self._server.folder}{self.canonicalize(path)}"

    def list_folder(self, path: str) -> Any:
        if not self._server.may_list:
            return paramiko.SFTP_PERMISSION_DENIED
        return self._tried(lambda: [self._shown(one) for one in os.scandir(self._path(path))])

    @staticmethod
    def _shown(one: os.DirEntry[str]) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(one.stat(follow_symlinks=False), one.name)

    def stat(self, path: str) -> Any:
        return self._tried(lambda: paramiko.SFTPAttributes.from_stat(os.stat(self._path(path))))

    def open(self, path: str, flags: int, attr: Any) -> Any:
        if flags & os.O_WRONLY and not self._server.may_write:
            return paramiko.SFTP_PERMISSION_DENIED
        mode = "wb" if flags & os.O_WRONLY else "rb"

        def opened() -> paramiko.SFTPHandle:
            file = os.fdopen(os.open(self._path(path), flags, 0o600), mode)
            handle = _Handle(flags)
            handle.server, handle.transport = self._server, self._transport
            handle.readfile = handle.writefile = file  # type: ignore[attr-defined] - as paramiko documents
            return handle

        return self._tried(opened)

    def remove(self, path: str) -> Any:
        return self._tried(lambda: os.remove(self._path(path)))

    def rename(self, old: str, new: str) -> Any:
        if self._server.renames:
            return self._server.renames.pop(0)
        if self._server.refuses_new and old.endswith("a.part"):
            return paramiko.SFTP_FAILURE
        if os.path.exists(self._path(new)):  # as version 3 of the protocol says
            return paramiko.SFTP_FAILURE
        return self._tried(lambda: os.rename(self._path(old), self._path(new)))

    def posix_rename(self, old: str, new: str) -> Any:
        if self._server.renames:
            return self._server.renames.pop(0)
        if not self._server.has_posix_rename:
            return paramiko.SFTP_OP_UNSUPPORTED
        return self._tried(lambda: os.replace(self._path(old), self._path(new)))

    def _tried(self, work: Callable[[], Any]) -> Any:
        try:
            found = work()
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return paramiko.SFTP_OK if found is None else found


class _Handle(paramiko.SFTPHandle):
    server: SftpServer
    transport: paramiko.Transport

    def write(self, offset: int, data: bytes) -> Any:
        limit = self.server.cut_after
        if limit is not None and offset + len(data) > limit:
            self.transport.close()
            return paramiko.SFTP_FAILURE
        return super().write(offset, data)

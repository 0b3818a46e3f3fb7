"""Files are left in a folder of this machine: whole or not at all, and still there after a power cut."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bridge.adapters.drop_names import STALE, is_unfinished, unfinished
from bridge.domain.errors import TargetError, TargetUnauthorised, TargetUnavailable
from bridge.domain.shelf import is_plain, plain_name

_MODE = 0o640  # whatever our umask: who fetches them is of the folder's group, and nobody else reads them
_REASONS = {
    errno.ENOENT: "folder_missing",
    errno.ENOTDIR: "folder_missing",
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
}
_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS)


class FolderDrop:
    """`bridge.domain.shelf.Drop`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, content: bytes) -> None:
        whole, part = self._folder / plain_name(name), self._folder / unfinished(name)
        with _translated():
            part.unlink(missing_ok=True)  # a crash may have left it, and a link would lead elsewhere
            try:
                _write(part, content)
                written_at = part.stat().st_mtime
                part.replace(whole)
            except BaseException:
                with suppress(OSError):
                    part.unlink(missing_ok=True)
                raise
            _sync(self._folder)
            self._clean(written_at - STALE)

    def names(self) -> list[str]:
        with _translated(), os.scandir(self._folder) as found:
            return sorted(one.name for one in found if is_plain(one.name) and one.is_file(follow_symlinks=False))

    def read(self, name: str) -> bytes | None:
        path = self._folder / plain_name(name)
        with _translated():
            os.scandir(self._folder).close()  # else no folder would look like no file
            try:
                file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                return None
            with open(file, "rb") as opened:
                return opened.read()

    def delete(self, name: str) -> None:
        path = self._folder / plain_name(name)
        with _translated():
            path.unlink(missing_ok=True)
            _sync(self._folder)

    def _clean(self, before: float) -> None:
        """Remove what was left unfinished long ago, under names that do not come again."""
        with suppress(OSError):  # the file that was to be left is there
            for one in self._folder.iterdir():
                if is_unfinished(one.name) and one.lstat().st_mtime < before:
                    one.unlink()


def _write(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _MODE)
    with open(file, "wb") as opened:
        os.fchmod(opened.fileno(), _MODE)
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync(folder: Path) -> None:
    """Make the folder itself durable: a name is part of it, not of the file."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _error(error) from error


def _error(error: OSError) -> TargetError:
    if error.errno in _REFUSALS:
        return TargetUnauthorised("this user may not write to drop_folder, or not read it: see its owner and mode")
    return TargetUnavailable(_REASONS.get(error.errno or 0, "folder_failed"))

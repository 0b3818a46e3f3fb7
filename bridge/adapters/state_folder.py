"""The folder of one bridge: private, with a key of its own, and used by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bridge.domain.errors import StoreUnavailable

DATABASE = "skolebro.db"
_KEY = "subject.key"
_LOCK = "skolebro.lock"


class AlreadyRunning(StoreUnavailable):
    """Another process works on this state; it was left alone."""


def prepare(folder: Path, new_key: Callable[[], str]) -> bytes:
    """Make the folder (mode 0700) if it is missing and return the key for references in the audit chain.

    Raises `StoreUnavailable` when the folder or its key cannot be made or read.
    """
    path = folder / _KEY
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            _write_new(path, new_key().encode())
        key = path.read_bytes().strip()
    except OSError as error:
        raise StoreUnavailable(
            f"the state folder {folder} cannot be used ({error.strerror}); nothing was changed: "
            "mend its owner and permissions, or free disk space"
        ) from error
    if len(key) < 32:
        raise StoreUnavailable(f"{path} is damaged; restore it from the backup of {folder}, nothing was sent")
    return key


def has_database(folder: Path) -> bool:
    """Whether a bridge has worked in this folder; makes nothing. Raises `StoreUnavailable` if nobody can see."""
    try:
        return (folder / DATABASE).exists()
    except OSError as error:
        raise StoreUnavailable(
            f"the state folder {folder} cannot be looked into ({error.strerror}): run this as the service's user"
        ) from error


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that did not exist, whole or not at all: a crash never leaves half a key."""
    if path.exists():
        raise FileExistsError
    draft = path.with_suffix(f".{os.getpid()}.new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    finally:
        draft.unlink()


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises `AlreadyRunning` when another one holds it.

    The kernel lets go when the process ends, however it ends.
    """
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            other = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(
                f"another skolebro (process {other}) works on {folder}; nothing was changed. "
                "Stop it first, or use the verbs that only look: status, plan, holds, events"
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)

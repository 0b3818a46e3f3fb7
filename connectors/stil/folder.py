"""A drop folder: a file is read once it is complete, and moved away only after its content is recorded."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from bridge.connector import Record, Snapshot, SnapshotInvalid, SourceFailure, SourceUnavailable
from connectors.stil.gate import Limits
from connectors.stil.parse import ProtectedNames, parse, reading
from connectors.stil.payload import content_digest, export_time
from connectors.stil.strict import UnknownCodes

TAKEN = "taken"

_INSTITUTION = re.compile(r"[A-Z0-9]\d{5}", re.ASCII)
_TOKEN_END = re.compile(r"[-_. ]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANKS = re.compile(rb"\s+")
_ROOT_NAME = re.compile(rb"<([^\s<>/!?]+)")
# O_NONBLOCK: a pipe without a writer would hold us for ever before we could see that it is one.
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Content:
    body: bytes
    changed: datetime
    is_stable: bool


class FolderSource:
    """`SnapshotSource` over `*.xml` files of one folder, in the order of their names.

    An incomplete file is left alone, silently while it is younger than `settle`.
    """

    def __init__(
        self,
        folder: Path,
        settle: timedelta,
        zone: tzinfo,
        now: Callable[[], datetime],
        limits: Limits | None = None,
        *,
        protected_names: ProtectedNames | None = None,
        unknown_codes: UnknownCodes = "note",
    ) -> None:
        self._folder, self._settle, self._zone, self._now = folder, settle, zone, now
        self._protected_names, self._unknown_codes = protected_names, unknown_codes
        self._limits = limits or Limits()

    def snapshots(self) -> Iterator[Snapshot | SourceFailure]:
        """Yield each file that is complete, and a failure for each that will not be read as it is.

        Raises `SourceUnavailable` when the folder cannot be listed.
        """
        try:
            names = sorted(os.listdir(self._folder))
        except OSError as error:
            raise SourceUnavailable(f"folder_unreadable: {self._folder} cannot be listed") from error
        for name in names:
            if name.endswith(".xml") and not name.startswith("."):
                result = self._read(name)
                if result is not None:
                    yield result

    def parse(self, snapshot: Snapshot) -> Iterator[Record]:
        """Yield the records of a snapshot. Raises `SnapshotInvalid`."""
        return parse(
            snapshot.body,
            self._zone,
            self._limits,
            protected_names=self._protected_names,
            unknown_codes=self._unknown_codes,
        )

    def document(self, body: bytes, origin: str) -> Snapshot:
        """Return an export document that came on another way as a snapshot."""
        digest = content_digest(
            body, reading(self._zone, self._protected_names, unknown_codes=self._unknown_codes)
        )
        return Snapshot(body, digest, origin, export_time=export_time(body, self._zone))

    def taken(self, snapshot: Snapshot) -> None:
        """Move the file into `taken`, unless it is gone or holds something newer than the snapshot.

        Raises `SourceUnavailable` when it cannot be moved.
        """
        source = Path(snapshot.handle or self._folder / snapshot.origin)
        try:
            if _read_file(source, self._limits.document_bytes).body != snapshot.body:
                return
            place = self._place_for(source.name)
            os.replace(source, place)
            if _read_file(place, self._limits.document_bytes).body != snapshot.body:
                os.link(place, source)  # replaced between look and move: it has not been read yet
        except FileNotFoundError:
            return  # moved the first time that we were told
        except (OSError, SnapshotInvalid) as error:
            raise SourceUnavailable(
                f"cannot_move_file: give this service write access to {self._folder} and the folder"
                f" {TAKEN} in it, or move the files that are read out of the way"
            ) from error

    def _read(self, name: str) -> Snapshot | SourceFailure | None:
        if not name.isprintable():  # a control character, or bytes that are no UTF-8
            return SourceFailure(None, SnapshotInvalid("unreadable_file_name"))
        number = _institution(name)
        try:
            content = _read_file(self._folder / name, self._limits.document_bytes)
        except FileNotFoundError:
            return None  # taken away meanwhile
        except SnapshotInvalid as error:
            return SourceFailure(number, SnapshotInvalid(error.code, name), name)
        except OSError as error:
            return SourceFailure(number, SourceUnavailable(f"file_unreadable: {name} ({error.strerror})"), name)
        if content.is_stable and ends_with_its_root(content.body):
            found = self.document(content.body, name)
            return replace(found, expected_institution=number, handle=str(self._folder / name))
        if abs(self._now() - content.changed) < self._settle:
            return None
        return SourceFailure(number, SnapshotInvalid("incomplete", name), name)

    def _place_for(self, name: str) -> Path:
        """Return an unused path in `taken`. Raises `OSError` when there can be none."""
        folder = self._folder / TAKEN
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink():
            raise NotADirectoryError
        stamp = self._now().astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        place, count = folder / f"{stamp}-{name}", 1
        while os.path.lexists(place):
            count += 1
            place = folder / f"{stamp}-{count}-{name}"
        return place


def ends_with_its_root(body: bytes) -> bool:
    """Say whether a document ends with the closing tag of its root element, as a whole one does."""
    root = _ROOT_NAME.match(body, _root_start(body))
    if root is None:
        return False
    return re.search(rb"</" + re.escape(root[1]) + rb"\s*>\s*\Z", body[-len(root[1]) - 1024 :]) is not None


def _root_start(body: bytes) -> int:
    """Return where the first tag begins that is neither declaration nor comment."""
    position = len(_BYTE_ORDER_MARK) if body.startswith(_BYTE_ORDER_MARK) else 0
    while True:
        if blanks := _BLANKS.match(body, position):
            position = blanks.end()
        end = b"?>" if body.startswith(b"<?", position) else b"-->" if body.startswith(b"<!--", position) else b""
        found = body.find(end, position) if end else -1
        if found < 0:
            return position
        position = found + len(end)


def _read_file(path: Path, most: int) -> _Content:
    """Read a regular file, never through a link.

    Raises `OSError`, or `SnapshotInvalid` for what is no regular file or too large.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise SnapshotInvalid("not_a_regular_file")
    with open(os.open(path, _OPEN_FLAGS), "rb") as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise SnapshotInvalid("not_a_regular_file")
        if before.st_size > most:
            raise SnapshotInvalid("too_large")
        body = file.read(most + 1)
        after = os.fstat(file.fileno())
    seen = (before.st_size, before.st_mtime_ns)
    is_stable = seen == (after.st_size, after.st_mtime_ns) and len(body) == before.st_size
    return _Content(body, datetime.fromtimestamp(after.st_mtime, UTC), is_stable)


def _institution(name: str) -> str | None:
    token = _TOKEN_END.split(name, maxsplit=1)[0]
    return token if _INSTITUTION.fullmatch(token) else None

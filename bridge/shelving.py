"""What targets that leave files have in common: what they are told is kept, and a file leaves only when it may.

Whoever is given all there is deletes what is not in the file; so a file that lacks much of what the last one had
is not left until somebody says that it is right.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b, sha256
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import Field

from bridge.connector import (
    Command,
    ContractBroken,
    Delivered,
    DropConfig,
    Duration,
    Entry,
    Outcome,
    Rejected,
    Remote,
    Shelf,
    Shelved,
    TargetUnavailable,
    Unchanged,
)
from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.errors import StoreError
from bridge.domain.ids import CanonicalId

Document = Mapping[str, Any]
Ids = Mapping[str, Collection[str]]
"""What is in a file: the ids, by collection."""
Refuse = Callable[[str, Document], Rejected | None]
"""Says why a document of a resource can never be in a file, None when it can."""

_AWAY = "shelf_unavailable"
_LAST, _MARKS = "handed_over", "handed_over_ids"
_HERE = ZoneInfo("Europe/Copenhagen")
_MARK_BYTES = 8
_OF_PEOPLE = (Kind.PERSON, Kind.AFFILIATION)
"""Kinds of which something may be protected, and which a mask is told of."""
_FEW = 5


def text(document: Document, name: str) -> str:
    """One value as text; nothing for what is not one value."""
    value = document.get(name)
    return "" if value is None or isinstance(value, (dict, list)) else str(value)


def texts(value: object) -> list[str]:
    """One value or a list of them as texts."""
    listed = value if isinstance(value, list) else [value]
    return [str(one) for one in listed if one not in (None, "") and not isinstance(one, (dict, list))]


class FileConfig(DropConfig):
    """`every` is how often a file is made at most.

    No file leaves that lacks more than `max_lost_percent` of anything that the last one had, but for the one that
    `accept_loss` names: what to write there is printed when a file is stopped, and it is good for that file only.
    """

    every: Duration = Field(timedelta(days=1), ge=timedelta(minutes=1))
    max_lost_percent: int = Field(10, ge=0, le=100)
    accept_loss: str | None = Field(None, pattern=r"^\d{1,9}-\d{1,9}$")


# ---------------------------------------------------------------- what is told


def keep(shelf: Shelf, batch: Sequence[Command], resources: Collection[str], refuse: Refuse) -> list[Outcome]:
    """Keep what the batch says; of what goes nothing stays, of what is refused no more than `remnant`.

    `resources` are those that the target has. Raises `TargetUnavailable` when the store is away.
    """
    try:
        told = [_told(shelf, command, resources, refuse) for command in batch]
        shelf.put(change for change, _ in told if isinstance(change, Entry))
        for name in {change.resource for change, _ in told if isinstance(change, Command)}:
            gone = [c.id for c, _ in told if isinstance(c, Command) and c.resource == name]
            shelf.remove(name, gone)  # killed before this, the same batch is told again
    except StoreError as error:
        raise TargetUnavailable(_AWAY) from error
    return [outcome for _, outcome in told]


def read_kept(shelf: Shelf, wanted: Collection[str], resources: Collection[str]) -> Iterator[Remote]:
    """Yield what is kept. Raises `ContractBroken`, `TargetUnavailable`."""
    for name in wanted:
        if name not in resources:
            raise ContractBroken(f"the mapping sends {name}; this target has {', '.join(resources)}")
        for identifier, document in kept(shelf, name).items():
            yield Remote(name, identifier, CanonicalId(identifier), document)


def kept(shelf: Shelf, resource: str) -> dict[str, Document]:
    """Return what is kept of a resource and not taken out, by id. Raises `TargetUnavailable`."""
    return {row.id: row.document for row in _rows(shelf, resource) if not row.is_gone}


def remnant(kept: Shelved | None, command: Command, refuse: Refuse) -> Entry | None:
    """What is left of what is kept of somebody when what they became is refused; None where nothing changes.

    Only what both have alike: the refused one may be a mask, and then the rest shows what is protected by now. It
    is held against the shelf, not against `Command.previous`, which a mask does not have. Who cannot be in a file
    with that alone is taken out. Of schools, groups and who is in them nothing is ever masked: they stay.
    """
    if kept is None or command.kind not in _OF_PEOPLE:
        return None
    there, wanted = kept.document, command.document or {}
    shared = {name: value for name, value in there.items() if name in wanted and wanted[name] == value}
    is_gone = kept.is_gone or refuse(command.resource, shared) is not None
    if shared == there and is_gone == kept.is_gone:
        return None
    return Entry(command.resource, command.id, shared, is_gone)


def _rows(shelf: Shelf, resource: str) -> list[Shelved]:
    try:
        return list(shelf.all(resource))
    except StoreError as error:
        raise TargetUnavailable(_AWAY) from error


def _told(
    shelf: Shelf, command: Command, resources: Collection[str], refuse: Refuse
) -> tuple[Entry | Command | None, Outcome]:
    """What is to be kept, or the command of what is to go, and the outcome."""
    name, document = command.resource, command.document
    if name not in resources:
        return None, Rejected("resource_not_configured", name)
    there = shelf.get(name, command.id)
    if command.operation is Operation.DELETED or document is None:
        return (command, Delivered(command.id)) if there is not None else (None, Unchanged(command.id))
    if not command.may_create and (there is None or there.is_gone):
        return None, Unchanged(is_gone=True)
    if refused := refuse(name, document):
        left = remnant(there, command, refuse)
        return left, replace(refused, has_changed=left is not None)
    return Entry(name, command.id, document), Delivered(command.id)


# ---------------------------------------------------------------- what has left


@dataclass(frozen=True, slots=True)
class Left:
    """The file that left last: its number, time, digest, and the connector's own facts on it."""

    number: int
    at: datetime
    digest: str
    facts: Mapping[str, str]


class Ledger:
    """What one target has handed over; all methods raise `TargetUnavailable` when the store is away."""

    def __init__(self, config: FileConfig, shelf: Shelf, now: Callable[[], datetime]) -> None:
        self._config, self._shelf, self._now = config, shelf, now
        self._looked_at: datetime | None = None

    def last(self) -> Left | None:
        told = self._note(_LAST)
        if told is None:
            return None
        return Left(told["number"], datetime.fromisoformat(told["at"]), told["digest"], told["facts"])

    def next_number(self) -> int:
        """The number of the next file; one that was left, but not noted, is left again under the same number."""
        last = self.last()
        return 1 if last is None else last.number + 1

    def is_due(self) -> bool:
        """Whether it is time to look; a clock that was put back puts nothing off."""
        last, now = self.last(), self._now()
        before = [at for at in (None if last is None else last.at, self._looked_at) if at is not None]
        return all(not at <= now < at + self._config.every for at in before)

    def looked(self) -> None:
        """There was nothing new: look again when `every` has passed."""
        self._looked_at = self._now()

    def lost(self, ids: Ids) -> dict[str, tuple[int, int]]:
        """How many of the last file are not among these ids, and of how many, by collection."""
        had = _sets(self._note(_MARKS) or {})
        return {name: (len(some - _marks(ids.get(name, ()))), len(some)) for name, some in had.items()}

    def with_taken_out(self, told: Mapping[str, Mapping[str, Document]]) -> dict[str, dict[str, Document]]:
        """What is told, by resource and id, and with it those few who were taken out since the last file.

        Where they are many, nobody is added: a mistake that takes out many is a loss like any other.
        """
        last = self.last()
        gone = {name: [row for row in _rows(self._shelf, name) if row.is_gone] for name in told}
        since = None if last is None else last.at - timedelta(milliseconds=1)  # the shelf counts in whole ones
        new = sum(since is None or row.changed_at > since for rows in gone.values() for row in rows)
        added = {
            name: {row.id: row.document for row in rows} if new <= _FEW else {} for name, rows in gone.items()
        }
        return {name: {**added[name], **documents} for name, documents in told.items()}

    def check_loss(self, ids: Ids, spared: Ids | None = None) -> None:
        """Refuse a file with these ids, by collection, that lacks too much of what the last one had.

        `spared` are the ids as they would be `with_taken_out`: who is hidden stops no file, and is counted in all
        that it lacks. Raises `ContractBroken` with what to do; nothing else lets a collection that had something
        be empty.
        """
        last, lost = self.last(), self.lost(ids)
        if last is None:
            return
        judged = ids if spared is None else spared
        if emptied := [name for name, (_, had) in lost.items() if had and not judged.get(name)]:
            raise ContractBroken(_emptied(emptied))
        limit, total = self._config.max_lost_percent, sum(gone for gone, _ in lost.values())
        over = [name for name, (gone, had) in self.lost(judged).items() if gone * 100 > had * limit]
        if over and self._accepted(last.number) < total:
            stopped = ["{} of {} {}".format(*lost[name], name) for name in over]
            raise ContractBroken(_stopped(stopped, limit, f"{last.number}-{total}"))

    def _accepted(self, number: int) -> int:
        """How many things may be lost against the file with this number."""
        file, _, most = (self._config.accept_loss or "").partition("-")
        return int(most) if file == str(number) else -1

    def digest(self, content: bytes) -> str:
        """The digest by which a file is known again; the same content for another place is another file."""
        return sha256(self._config.system.encode() + b"\0" + content).hexdigest()

    def note(self, digest: str, ids: Ids, facts: Mapping[str, str] | None = None) -> None:
        """Write down that a file has left. Killed before the last line, the same file leaves again: no harm."""
        told = {"number": self.next_number(), "at": self._now().isoformat(), "digest": digest}
        marks = {name: _packed(_marks(some)) for name, some in ids.items()}
        try:
            self._shelf.set_note(_MARKS, json.dumps(marks))
            self._shelf.set_note(_LAST, json.dumps(told | {"facts": dict(facts or {})}))
        except StoreError as error:
            raise TargetUnavailable(_AWAY) from error

    def _note(self, name: str) -> Any:
        try:
            text = self._shelf.note(name)
        except StoreError as error:
            raise TargetUnavailable(_AWAY) from error
        return None if text is None else json.loads(text)


def _stopped(lost: Collection[str], limit: int, accept: str) -> str:
    return (
        f"the file would lack {', '.join(lost)} that the last one had, more than max_lost_percent ({limit}) "
        "allows. The platform deletes what a file lacks, so nothing has left and all there is as it was. Look at "
        "the source and at `skolebro holds list`; if they are really gone, write "
        f"accept_loss: {accept} at this target and restart"
    )


def _emptied(names: Collection[str]) -> str:
    return (
        f"the file would have no {' and no '.join(names)} any more, and the platform would delete them all. "
        "Nothing has left, and all there is as it was. Look at the target's scope, its mapping and the source. "
        "A file like that never leaves: to end with a platform, take the target out of the configuration"
    )


def _marks(ids: Collection[str]) -> set[bytes]:
    """Short marks of ids: a note of a whole municipality stays small, and says of nobody who it is."""
    return {blake2b(one.encode(), digest_size=_MARK_BYTES).digest() for one in ids}


def _packed(marks: set[bytes]) -> str:
    return b64encode(b"".join(sorted(marks))).decode()


def _sets(packed: Mapping[str, str]) -> dict[str, set[bytes]]:
    return {name: _unpacked(b64decode(text)) for name, text in packed.items()}


def _unpacked(marks: bytes) -> set[bytes]:
    return {marks[at : at + _MARK_BYTES] for at in range(0, len(marks), _MARK_BYTES)}


# ---------------------------------------------------------------- names of files

_NAME = re.compile(r"(?!\.)([A-Za-z0-9._-]|\{(municipality|number|date)\})+")


def check_name(template: str) -> str:
    """Return the template of a file's name. Raises `ValueError` for what is no plain name or has other places."""
    if not _NAME.fullmatch(template):
        raise ValueError(
            "expected a plain file name of letters, digits and .-_, not hidden by a dot, "
            "with {municipality}, {number} (of the file) or {date} in it"
        )
    return template


def file_name(template: str, municipality: str, number: int, now: datetime) -> str:
    """The name of one file; the date is that of Denmark."""
    return template.format(
        municipality=municipality, number=f"{number:06}", date=f"{now.astimezone(_HERE):%Y-%m-%d}"
    )

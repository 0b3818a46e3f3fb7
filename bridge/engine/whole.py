"""What a target was complete of: nobody takes a beginning for all there is, and no gap closes what was open."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from bridge.domain.ids import TargetId
from bridge.engine.shelf import WHOLE
from bridge.engine.views import Scope
from bridge.ports import Reader, UnitOfWork

_ALL = "*"
Schools = frozenset[str]


def is_whole(reader: Reader, target: TargetId, scope: Scope) -> bool:
    """Whether a target was complete of every school in scope, and has missed nothing since by being out."""
    schools = _schools(reader, target)
    return _ALL in schools or (scope.institutions is not None and scope.institutions <= schools)


def note_whole(uow: UnitOfWork, target: TargetId, scope: Scope, now: datetime) -> None:
    """Write down that a target is complete of its scope."""
    _note(uow, target, {_ALL} if scope.institutions is None else scope.institutions, now)


def narrow_whole(uow: UnitOfWork, target: TargetId, scope: Scope, now: datetime) -> None:
    """Take off the note what is in scope no more: when it comes back, it has been away."""
    schools, wanted = _schools(uow, target), scope.institutions
    if wanted is not None and not schools <= wanted:
        _note(uow, target, wanted if _ALL in schools else schools & wanted, now)


def forget_whole(uow: UnitOfWork, target: TargetId) -> None:
    """Take the note off of a target that is told nothing from now on: it misses what happens meanwhile."""
    if uow.shelf_note(target, WHOLE):
        uow.set_shelf_note(target, WHOLE, "")


def _note(uow: UnitOfWork, target: TargetId, schools: Iterable[str], now: datetime) -> None:
    told = {"schools": sorted(schools), "at": now.isoformat()}
    uow.set_shelf_note(target, WHOLE, json.dumps(told))


def _schools(reader: Reader, target: TargetId) -> Schools:
    """What the note says; nothing where there is none, or one that does not say of what."""
    note = reader.shelf_note(target, WHOLE) or ""
    return frozenset(json.loads(note)["schools"]) if note.startswith("{") else frozenset()

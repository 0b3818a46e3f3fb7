"""What the way from a source to the state needs, and how each step on it ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from bridge.connector import SnapshotSource
from bridge.domain.errors import AgreementMissing, SnapshotInvalid, SourceError, SourceUnavailable, StoreError
from bridge.domain.tracing import trace_id
from bridge.engine.audit import AuditBook
from bridge.engine.decide import NotOpen
from bridge.engine.desire import Rendering
from bridge.engine.detect import Detection
from bridge.engine.guard import (
    GuardPolicy,
)
from bridge.engine.holding import (
    Place,
)
from bridge.observe import LogEvent, log
from bridge.ports import Run, Store, UnitOfWork

READER_ERROR, ENGINE_ERROR = "reader_error", "engine_error"
"""A bug of a connector, and one of ours."""


@dataclass(frozen=True, slots=True)
class Intake:
    """All that the way from a source to the state needs, for one municipality."""

    municipality: str
    institutions: frozenset[str] | None
    store: Store
    source: SnapshotSource
    policy: GuardPolicy
    renderings: Sequence[Rendering]
    book: AuditBook
    now: Callable[[], datetime]
    new_id: Callable[[], str]

    def begun(self) -> Intake:
        """Return the intake for one snapshot: whatever is written of it is of one run, and so of one trace."""
        run = self.new_id()
        return replace(self, new_id=lambda: run, book=self.book.on(run))

    def place(self, institution: str) -> Place:
        return Place(self.municipality, institution, self.book, self.now())

    def grace(self, institution: str) -> timedelta:
        """How long a person stays at targets whom this institution lets go as the last one."""
        return self.policy.of_institution(institution).deletion_grace


class Witness(Protocol):
    """Whoever is told what became of a snapshot (logs, metrics, a progress line)."""

    def run_ended(self, run: Run, detection: Detection | None) -> None: ...


class Listener:
    """A witness that only remembers what became of each snapshot, and which sources answer again."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.recovered: list[str] = []

    def run_ended(self, run: Run, detection: Detection | None) -> None:
        self.runs.append(run)

    def source_recovered(self, municipality: str) -> None:
        self.recovered.append(municipality)


def in_one(
    intake: Intake,
    institution: str,
    origin: str | None,
    witness: Witness,
    step: Callable[[UnitOfWork], tuple[Run, Detection]],
) -> Run:
    """Take a step in one transaction; a bug of ours undoes it, and stops nothing else. The intake has `begun`."""
    try:
        with intake.store.write() as uow:
            run, detection = step(uow)
    except (StoreError, NotOpen):
        raise
    except Exception as error:
        note_bug(intake, error)
        return note_failure(intake, institution, SourceUnavailable(ENGINE_ERROR), origin, witness, ENGINE_ERROR)
    witness.run_ended(run, detection)
    return run


def note_bug(intake: Intake, error: Exception) -> None:
    """Tell of an error that nobody expected; of an intake that has `begun`."""
    trace = trace_id(intake.new_id())
    log.emit(LogEvent.LOOP_FAILED, loop=f"intake/{intake.municipality}", error=error, trace_id=trace)


def note_failure(
    intake: Intake,
    institution: str | None,
    error: SourceError,
    origin: str | None,
    witness: Witness,
    reason: str | None = None,
) -> Run:
    """A snapshot that could not be had or read is told; what is stored stays as it was.

    `reason` is a code that says more than the error's own.
    """
    result = "refused" if isinstance(error, SnapshotInvalid) else "failed"
    run = replace(new_run(intake, institution, result, origin, None), reason=reason or failure_code(error))
    with intake.store.write() as uow:
        uow.add_run(run)
    witness.run_ended(run, None)
    return run


def failure_code(error: SourceError) -> str:
    """Return the stable code of a failure."""
    if isinstance(error, SnapshotInvalid):
        return error.code
    if isinstance(error, AgreementMissing):
        return "agreement_missing"
    code, colon, _ = str(error).partition(":")  # "code: what to do", by the connectors' habit
    return code if colon and re.fullmatch("[a-z0-9_]{1,40}", code) else "source_unavailable"


def new_run(intake: Intake, institution: str | None, result: str, origin: str | None, digest: str | None) -> Run:
    return Run(
        id=intake.new_id(),
        municipality=intake.municipality,
        institution=institution,
        at=intake.now(),
        result=result,
        reason=None,
        origin=origin,
        digest=digest,
    )

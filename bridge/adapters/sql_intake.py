"""What is remembered of snapshots in SQL: the last good one, every run, records in quarantine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, insert, literal_column, select, update

from bridge.adapters.sql_schema import (
    from_stored,
    institution_states,
    quarantine,
    runs,
    to_stored,
)
from bridge.adapters.sql_transaction import CHUNK, SqlPart, StoredRow
from bridge.domain.records import ImportSource
from bridge.ports import InstitutionState, QuarantineRow, Run

# Spelt out, not bound: SQLite uses a partial index only for a condition that it can read.
_IS_LAST = runs.c.is_last == literal_column("1")


class SqlIntake(SqlPart):
    """`IntakeStore` without its holds."""

    def institution_state(self, municipality: str, institution: str) -> InstitutionState | None:
        wanted = select(institution_states).where(
            institution_states.c.municipality == municipality, institution_states.c.institution == institution
        )
        return next(map(_institution_state, self._tx.rows(wanted)), None)

    def institution_states(self) -> list[InstitutionState]:
        key = (institution_states.c.municipality, institution_states.c.institution)
        return [_institution_state(row) for row in self._tx.rows(select(institution_states).order_by(*key))]

    def put_institution_state(self, state: InstitutionState) -> None:
        row = (
            state.municipality,
            state.institution,
            state.digest,
            to_stored(state.export_time),
            _write_times(state.source_times),
            to_stored(state.recorded_at),
            state.run,
            json.dumps(dict(state.school_years), ensure_ascii=False),
        )
        self._tx.put(institution_states, [row])

    def add_run(self, run: Run) -> None:
        institution = runs.c.institution.is_not_distinct_from(run.institution)
        earlier = update(runs).where(runs.c.municipality == run.municipality, institution, _IS_LAST)
        self._tx.run(earlier.values(is_last=0))
        self._tx.run(
            insert(runs).values(
                id=run.id,
                municipality=run.municipality,
                institution=run.institution,
                at=to_stored(run.at),
                result=run.result,
                reason=run.reason,
                origin=run.origin,
                digest=run.digest,
                changes=run.changes,
                quarantined=run.quarantined,
                is_last=1,
                export_time=to_stored(run.export_time),
                sources=_write_sources(run.sources),
                gone=json.dumps(dict(run.gone)),
            )
        )

    def runs(self, limit: int) -> list[Run]:
        return [_run(row) for row in self._tx.rows(select(runs).order_by(runs.c.number.desc()).limit(limit))]

    def runs_by_id(self, ids: Iterable[str]) -> dict[str, Run]:
        wanted = select(runs).where(runs.c.id.in_(bindparam(CHUNK, expanding=True)))
        return {row.id: _run(row) for row in self._tx.rows_in(wanted, ids)}

    def last_runs(self) -> list[Run]:
        last = [_run(row) for row in self._tx.rows(select(runs).where(_IS_LAST))]
        return sorted(last, key=lambda run: (run.municipality, run.institution or ""))

    def runs_of(self, municipality: str, institution: str, since: datetime) -> list[Run]:
        here = (runs.c.municipality == municipality, runs.c.institution == institution)
        wanted = select(runs).where(*here, runs.c.at >= to_stored(since)).order_by(runs.c.number)
        return [_run(row) for row in self._tx.rows(wanted)]

    def replace_quarantine(self, municipality: str, institution: str, rows: Sequence[QuarantineRow]) -> None:
        here = (quarantine.c.municipality == municipality, quarantine.c.institution == institution)
        self._tx.run(delete(quarantine).where(*here))
        places = enumerate(rows)
        self._tx.add(quarantine, [_stored_record(municipality, institution, n, row) for n, row in places])

    def quarantine(self, limit: int, severity: str | None = None) -> list[QuarantineRow]:
        order = (quarantine.c.municipality, quarantine.c.institution, quarantine.c.position)
        wanted = select(quarantine).order_by(*order).limit(limit)
        if severity is not None:
            wanted = wanted.where(quarantine.c.severity == severity)
        return [_record(row) for row in self._tx.rows(wanted)]

    def quarantine_of(self, municipality: str, institution: str) -> list[QuarantineRow]:
        here = (quarantine.c.municipality == municipality, quarantine.c.institution == institution)
        wanted = select(quarantine).where(*here).order_by(quarantine.c.position)
        return [_record(row) for row in self._tx.rows(wanted)]


def _write_times(times: Mapping[str, datetime]) -> str:
    return json.dumps({name: to_stored(time) for name, time in times.items()}, ensure_ascii=False)


def _institution_state(row: StoredRow) -> InstitutionState:
    return InstitutionState(
        municipality=row.municipality,
        institution=row.institution,
        digest=row.digest,
        export_time=from_stored(row.export_time),
        source_times={name: from_stored(time) for name, time in json.loads(row.source_times).items()},
        recorded_at=from_stored(row.recorded_at),
        run=row.run,
        school_years=json.loads(row.school_years),
    )


def _write_sources(sources: Sequence[ImportSource]) -> str:
    rows = [[source.name, to_stored(source.time), source.school_year] for source in sources]
    return json.dumps(rows, ensure_ascii=False)


def _read_sources(text: str) -> tuple[ImportSource, ...]:
    return tuple(ImportSource(name, from_stored(time), year) for name, time, year in json.loads(text))


def _run(row: StoredRow) -> Run:
    return Run(
        id=row.id,
        municipality=row.municipality,
        institution=row.institution,
        at=from_stored(row.at),
        result=row.result,
        reason=row.reason,
        origin=row.origin,
        digest=row.digest,
        changes=row.changes,
        quarantined=row.quarantined,
        export_time=from_stored(row.export_time),
        sources=_read_sources(row.sources),
        gone=json.loads(row.gone),
    )


def _stored_record(municipality: str, institution: str, position: int, row: QuarantineRow) -> tuple[object, ...]:
    return (
        municipality,
        institution,
        position,
        row.path,
        row.reason,
        row.user_id,
        row.local_person_id,
        row.severity,
        row.run,
    )


def _record(row: StoredRow) -> QuarantineRow:
    return QuarantineRow(
        municipality=row.municipality,
        institution=row.institution,
        path=row.path,
        reason=row.reason,
        user_id=row.user_id,
        local_person_id=row.local_person_id,
        severity=row.severity,
        run=row.run,
    )

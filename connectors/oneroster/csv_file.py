"""A roster as one ZIP of CSV files with a manifest; the same roster gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from bridge.cells import Formulas, archive, plain, table
from connectors.oneroster.csv_config import Mode
from connectors.oneroster.csv_rows import FREE_TEXT, Row, file_names, headers, row
from connectors.oneroster.objects import Object, Roster
from connectors.oneroster.shapes import Version

Tables = Mapping[str, list[Row]]
_WRITTEN = {"v1p1": "1.1", "v1p2": "1.2"}


def bulk_tables(roster: Roster, version: Version) -> dict[str, list[Row]]:
    """The rows of everything that is there, by file; roles are not among them."""
    return {
        name: [row(one, version, is_delta=False) for one in objects if not one.is_gone]
        for name, objects in _objects(roster).items()
    }


def delta_tables(roster: Roster, version: Version, since: datetime) -> dict[str, list[Row]]:
    """The rows of everything that changed later than `since`, what is gone too; roles are not among them."""
    return {
        name: [row(one, version, is_delta=True) for one in objects if one.changed_at > since]
        for name, objects in _objects(roster).items()
    }


def newest(roster: Roster) -> datetime:
    """The time of the last change of anything on a roster, which has a district at least."""
    return max(one.changed_at for objects in _objects(roster).values() for one in objects)


def packed(tables: Tables, version: Version, mode: Mode, formulas: Formulas) -> bytes:
    """The ZIP; a file of which there is no table is absent."""
    columns = headers(version)
    files = {
        f"{name}.csv": table(columns[name], (_guarded(one, formulas) for one in _sorted(rows)))
        for name, rows in sorted(tables.items())
    }
    manifest = table(("propertyName", "value"), _manifest({*tables}, version, mode))
    return archive({"manifest.csv": manifest, **files})


def _objects(roster: Roster) -> dict[str, tuple[Object, ...]]:
    """Demographics are a file only where the mapping tells any."""
    told: dict[str, tuple[Object, ...]] = {
        "academicSessions": roster.sessions,
        "orgs": roster.orgs,
        "courses": roster.courses,
        "classes": roster.classes,
        "users": roster.users,
        "enrollments": roster.enrollments,
    }
    return {**told, "demographics": roster.demographics} if roster.demographics else told


def _manifest(there: set[str], version: Version, mode: Mode) -> Iterable[Row]:
    told = {"manifest.version": "1.0", "oneroster.version": _WRITTEN[version]}
    told |= {f"file.{name}": mode if name in there else "absent" for name in file_names(version)}
    return ({"propertyName": name, "value": value} for name, value in told.items())


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda one: one["sourcedId"])


def _guarded(one: Row, formulas: Formulas) -> Row:
    return {name: plain(value, formulas) if name in FREE_TEXT else value for name, value in one.items()}

"""One day of a made-up municipality as files; each is there as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from bridge.testing.stil_export import Knobs, write_export
from bridge.testing.stil_municipality import Municipality


def write_exports(municipality: Municipality, folder: Path, drop_pupils_percent: int = 0) -> list[Path]:
    """Write an export of each institution as it is today; the first one may lack so many per cent of its pupils.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = []
    for position, number in enumerate(municipality.institutions()):
        knobs = Knobs(drop_pupils_percent=0 if position else drop_pupils_percent)
        draft, path = folder / f".{number}.xml.part", folder / f"{number}.xml"
        draft.write_bytes(write_export(municipality.institution(number), knobs))
        os.replace(draft, path)
        written.append(path)
    return written

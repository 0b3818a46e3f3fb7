"""The simulated year as large and as long as one likes: `python -m tests.year --pupils 3000`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from tests.year.year import Year


def main() -> None:
    """Live the year and write what happened; an assertion says what went wrong and when."""
    parser = argparse.ArgumentParser(prog="python -m tests.year", description=__doc__)
    parser.add_argument("--pupils", type=int, default=2500)
    parser.add_argument("--days", type=int, default=400)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--late", action="store_true", help="deliver before anybody decides on what is held")
    told = parser.parse_args()
    started = monotonic()
    with TemporaryDirectory() as folder:
        year = Year(Path(folder), pupils=told.pupils, days=told.days, seed=told.seed, decides_late=told.late)
        report = year.live()
    sys.stdout.write(f"{report}\n{monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    main()

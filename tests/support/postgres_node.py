"""A PostgreSQL server of the tests' own, from what is installed, for a machine on which none runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import psycopg

from tests.support.ports import free_port

_USER = "postgres"
_START = 60.0
_POLL = 0.1


def postgres_programs() -> Path | None:
    """The folder of the newest server's programs; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda one: float(one.parts[-3]))
    named = shutil.which("initdb")
    programs = found[-1] if found else Path(named).resolve() if named else None
    return programs.parent if programs and programs.with_name("postgres").exists() else None


def postgres_answers(url: str) -> bool:
    """Whether a server takes connections; `url` names no database."""
    with suppress(psycopg.OperationalError):
        psycopg.connect(f"{url}/postgres", connect_timeout=5).close()
        return True
    return False


class PostgresNode:
    """An empty server on a loopback port of its own, for as long as the block lasts. `url` is its address."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # PostgreSQL refuses to be root; what it is started as must be able to read the folder.
        self._user = {"user": _USER, "group": _USER, "extra_groups": []} if os.geteuid() == 0 else {}

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="skolebro-postgres-")
        place = Path(self._folder.name)
        if self._user:
            shutil.chown(place, _USER, _USER)
        data = place / "data"
        words = [self._programs / "initdb", "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(words, check=True, capture_output=True, cwd=place, **self._user)  # type: ignore[call-overload]
        port = free_port()
        self.url = f"postgresql://{_USER}@127.0.0.1:{port}"
        words = [self._programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        with (place / "out").open("wb") as out:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
                [*words, "-c", "max_connections=200"], stdout=out, stderr=out, cwd=place, **self._user
            )
        until = time.monotonic() + _START
        while not postgres_answers(self.url):
            alive = self._process.poll() is None and time.monotonic() < until
            assert alive, f"PostgreSQL did not start: {(place / 'out').read_text()[-2000:]}"
            time.sleep(_POLL)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)  # it ends its sessions and stops
        self._process.wait(_START)
        self._folder.cleanup()

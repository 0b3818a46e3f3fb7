"""The real command as a process of its own: what it says, how it ends, and nothing of whoever runs the tests."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.support.environment import environment
from tests.support.forks import Forks

PROGRAM = Path(sys.executable).with_name("skolebro")
_POLL = 0.02
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Result:
    """How one command ended."""

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Everything on stdout, which must be one JSON document."""
        return json.loads(self.stdout)

    def ended(self, code: int) -> Self:
        """Fail with all that was said unless the command ended with this code and without a traceback."""
        said = f"skolebro {' '.join(self.args)} -> {self.returncode}\n{self.stdout[-4000:]}\n{self.stderr[-4000:]}"
        assert self.returncode == code, said
        assert "Traceback" not in self.stdout + self.stderr, said
        return self


def run(args: Sequence[str | Path], cwd: Path, timeout: int = 300, **extra: str) -> Result:
    """Run `skolebro` to its end, one at a time; `extra` are further variables of its environment.

    It is forked from a process that has it loaded (tests/support/command_main.py); `start` starts the program.

    Raises:
        subprocess.TimeoutExpired: it did not end in time and was killed.
    """
    words = tuple(map(str, args))
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        order = {
            "words": words,
            "folder": str(cwd),
            "environment": environment(**extra),
            "out": out.name,
            "err": err.name,
            "timeout": timeout,
        }
        code = _forks().carry_out(order)
        if code == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(words, timeout)
        return Result(words, code, out.read().decode(), err.read().decode())


def start(args: Sequence[str | Path], cwd: Path, timeout: float = 300, **extra: str) -> Result:
    """Start the installed program as a shell does, and run it to its end.

    Raises:
        subprocess.TimeoutExpired: it did not end in time and was killed.
    """
    words = tuple(map(str, args))
    ended = subprocess.run(
        [PROGRAM, *words],
        cwd=cwd,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Result(words, ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@functools.cache
def _forks() -> Forks:
    forks = Forks("tests.support.command_main")
    atexit.register(forks.close)
    return forks


class Background:
    """`skolebro` as long as the block lasts: killed at its end, unless it has ended before."""

    def __init__(self, args: Sequence[str | Path], cwd: Path) -> None:
        self._words = tuple(map(str, args))
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed at the exit
        self.process = subprocess.Popen(
            [PROGRAM, *self._words],
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
        )

    def until(self, look: Callable[[], _T | None], seconds: float = 120) -> _T:
        """Poll `look` until it gives something true; fails when the process ends before, or the time runs out."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := look():
                return found
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_POLL)
                raise AssertionError(f"it ended with {self.process.returncode}: {self._text(self._err)[-4000:]}")
        raise AssertionError(f"nothing came in {seconds} s; it said: {self._text(self._err)[-4000:]}")

    @property
    def stderr(self) -> str:
        """What it has said on stderr so far."""
        return self._text(self._err)

    def signal(self, number: int) -> None:
        """Send a signal to this process only."""
        self.process.send_signal(number)

    def end(self, timeout: float = 120) -> Result:
        """Wait for the end of the process and return how it ended."""
        code = self.process.wait(timeout)
        return Result(self._words, code, self._text(self._out), self._text(self._err))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._out.close()
        self._err.close()

    @staticmethod
    def _text(file: Any) -> str:
        # Read past the file's own position, which the process writes at.
        return os.pread(file.fileno(), 1 << 26, 0).decode()


@contextlib.contextmanager
def background(args: Sequence[str | Path], cwd: Path) -> Iterator[Background]:
    """Start `skolebro` and make sure that it is gone afterwards."""
    with Background(args, cwd) as process:
        yield process

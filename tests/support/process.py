"""The real command as a process of its own: what it says, how it ends, and nothing of whoever runs the tests."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

PROGRAM = Path(sys.executable).with_name("skolebro")
_POLL = 0.02
_STARTS = 1_500  # of a poll each
_T = TypeVar("_T")


def environment(**extra: str) -> dict[str, str]:
    """Return what a service would be started with: no home, no proxy, no variable of the person at the desk."""
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "COLUMNS": "200", **extra}


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


def run(args: Sequence[str | Path], cwd: Path, timeout: float = 300, **extra: str) -> Result:
    """Run `skolebro` to its end; `extra` are further variables of its environment.

    It is forked from a process that has it loaded (tests/support/zygote.py); `start` starts the program itself.

    Raises:
        subprocess.TimeoutExpired: it did not end in time and was killed.
    """
    words = tuple(map(str, args))
    with (
        socket.socket(socket.AF_UNIX) as line,
        tempfile.NamedTemporaryFile() as out,
        tempfile.NamedTemporaryFile() as err,
    ):
        line.settimeout(timeout)
        line.connect(_zygote())
        request = {
            "words": words,
            "folder": str(cwd),
            "environment": environment(**extra),
            "out": out.name,
            "err": err.name,
        }
        with line.makefile("rw", encoding="utf-8") as talk:
            talk.write(json.dumps(request) + "\n")
            talk.flush()
            pid = int(talk.readline())
            try:
                code = int(talk.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(words, timeout) from None
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
def _zygote() -> str:
    """Start the process that `run` forks from, once for these tests; returns where it listens."""
    folder = tempfile.TemporaryDirectory(prefix="skolebro-")
    path = f"{folder.name}/zygote"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.zygote", path],
        cwd=Path(__file__).parents[2],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert process.stdin is not None

    def end() -> None:
        process.stdin.close()  # type: ignore[union-attr]
        process.wait()
        folder.cleanup()

    atexit.register(end)
    for _ in range(_STARTS):
        with socket.socket(socket.AF_UNIX) as line, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            line.connect(path)
            return path
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise RuntimeError(f"the process to fork from ended with {process.wait(_POLL)}")
    raise RuntimeError("the process to fork from did not come up")


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

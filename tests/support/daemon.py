"""`skolebro run` as a process of its own: started, watched through its status page, killed or asked to stop."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import requests

from tests.support.environment import environment
from tests.support.process import PROGRAM

_LOOKS = 1500
_PAUSE = 0.02  # between two looks; the process may end meanwhile, which is noticed at once
_STOP_LIMIT = 90


class Daemon:
    """One bridge on one configuration, which must say `web: {listen: "127.0.0.1:0"}` and `log: {format: json}`.

    Every start appends to the same log; as a context manager it ends with the block, whatever happens.
    """

    def __init__(self, config: Path, *arguments: str, name: str = "daemon") -> None:
        self._config = config
        self._arguments = arguments
        self._log = config.with_name(f"{name}.log")
        self._from = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **extra: str) -> Self:
        """Start the process and return at once; `extra` are further variables of its environment."""
        assert self._process is None, "it runs already"
        self._from = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "run", "--config", self._config, *self._arguments],
                cwd=self._config.parent,
                env=environment(**extra),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def wait_until_ready(self) -> Self:
        self.wait_until(self._is_ready, "the status page says that it is ready")
        return self

    def wait_until_it_owns(self, state_folder: Path) -> None:
        """Wait until the lock of the state folder names this process: its work has begun."""
        lock, pid = state_folder / "skolebro.lock", str(self._running.pid)
        self.wait_until(lambda: lock.exists() and lock.read_text() == pid, "it holds the state folder")

    def wait_until(self, is_so: Callable[[], bool], what: str, looks: int = _LOOKS) -> None:
        """Look again and again. Raises `AssertionError` when the process ends or it never comes true."""
        for _ in range(looks):
            if is_so():
                return
            assert not self._ends_within(_PAUSE), f"the daemon ended before {what}:\n{self.log_text()}"
        raise AssertionError(f"never came true: {what}\n{self.log_text()}")

    def wait_until_started(self) -> Self:
        """Wait until its loops run: it may serve no page."""
        self.wait_until(lambda: '"app.started"' in self._said(), "its loops run")
        return self

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_until_ended(self) -> int:
        """The exit code of a process that ends by itself."""
        try:
            return self._running.wait(_STOP_LIMIT)
        finally:
            self._end()

    def freeze(self) -> None:
        """SIGSTOP: everything stands still, and connections stay open."""
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running.send_signal(signal.SIGCONT)

    def status(self) -> dict[str, Any]:
        """What its status page says now."""
        return dict(self._get("/status").json())

    def kill(self) -> None:
        """SIGKILL: no chance to finish or to tidy up."""
        self._running.kill()
        code = self._running.wait()
        self._process = None
        assert code == -signal.SIGKILL, f"the daemon had ended by itself with {code}:\n{self.log_text()}"

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        process = self._running
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(_STOP_LIMIT)
        finally:
            self._end()

    def logged(self, event: str | None = None) -> list[dict[str, Any]]:
        """All lines of the log, of every start, or those of one event."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if event in (None, line.get("event"))]

    def log_text(self) -> str:
        return self._log.read_text()[-4000:] if self._log.exists() else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it does not run"
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()

    def _ends_within(self, seconds: float) -> bool:
        try:
            self._running.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _is_ready(self) -> bool:
        try:
            return self._port() is not None and self._get("/health/ready").status_code == 200
        except requests.ConnectionError:
            return False

    def _port(self) -> int | None:
        for line in self._said().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n") and json.loads(line).get("event") == "web.started":
                return int(json.loads(line)["port"])
        return None

    def _said(self) -> str:
        """What it has logged since its last start."""
        with self._log.open("rb") as log:
            log.seek(self._from)
            return log.read().decode()

    def _get(self, path: str) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"http://127.0.0.1:{self._port()}{path}", timeout=30)

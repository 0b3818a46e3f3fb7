"""Orders carried out by forks of one process that has loaded everything: a start costs a second, a fork nothing.

An order is one line of JSON on standard input; the answer is one line, {"code": how the fork ended}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tests.support.environment import environment

ROOT = Path(__file__).parents[2]


def serve(carry_out: Callable[[Any], NoReturn]) -> None:
    """Fork for each order until standard input ends; `carry_out` ends its process by itself."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            carry_out(json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps({"code": os.waitstatus_to_exitcode(status)}) + "\n")
        sys.stdout.flush()


class Forks:
    """A module whose program calls `serve`, as a process until `close`; one order at a time."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def carry_out(self, order: Any) -> int:
        """How the fork for this order ended: its exit code, or a signal's number below zero."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(json.loads(self._process.stdout.readline())["code"])

    def close(self) -> None:
        """End the process; it has nothing under way."""
        self._process.communicate(timeout=30)

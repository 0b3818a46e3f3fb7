"""The command `skolebro` in a fork that has it loaded; run as a program, orders as tests/support/forks.py says.

What runs is the command itself in a process of its own: its folder, environment, files for stdout and stderr and
exit code are those of a fresh start; only the loading of modules was done before. An order is
{"words", "folder", "environment", "out", "err", "timeout": whole seconds}; past its time it ends by SIGALRM.
"""

from __future__ import annotations

import atexit
import os
import random
import signal
import sys
import threading
from importlib import import_module
from typing import Any, NoReturn

from bridge.cli.__main__ import main
from tests.support.forks import serve

LOADED = (
    "bridge.cli.main",
    "bridge.adapters.http",
    "bridge.daemon",
    "connectors.aula",
    "connectors.scim",
    "connectors.stil",
)


def command(order: dict[str, Any]) -> NoReturn:
    """Be the command, and end as the interpreter ends."""
    signal.alarm(order["timeout"])
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    for number, name in enumerate((os.devnull, order["out"], order["err"])):
        handle = os.open(name, os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(handle, number)
        os.close(handle)
    random.seed()
    sys.argv = ["skolebro", *order["words"]]
    code: Any = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    for name in LOADED:
        import_module(name)
    serve(command)

"""A process that has loaded `skolebro` and forks for each command, which saves the second that every start costs.

What runs is the command itself in a process of its own: its folder, environment, files for stdout and stderr and
exit code are those of a fresh start; only the loading of modules was done before. Runs as
`python -m tests.support.zygote SOCKET` and ends when its standard input does.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import select
import signal
import socket
import sys
import threading
from importlib import import_module
from typing import Any, NoReturn

LOADED = (
    "bridge.cli.main",
    "bridge.adapters.http",
    "bridge.daemon",
    "connectors.aula",
    "connectors.scim",
    "connectors.stil",
)


def serve(path: str) -> None:
    """Fork for each request until standard input ends; see `answer` for what a request is."""
    for name in LOADED:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen(64)
        while door in select.select([door, 0], [], [])[0]:
            connection, _ = door.accept()
            with connection:
                if os.fork() == 0:
                    door.close()
                    answer(connection)


def answer(connection: socket.socket) -> NoReturn:
    """Read {"words", "folder", "environment", "out", "err"} as a line; write the process id and the exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection.makefile("rw", encoding="utf-8") as talk:
        line = talk.readline()
        if not line:  # somebody only looked whether there is an answer
            os._exit(0)
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            connection.close()
            command(request)
        talk.write(f"{child}\n")
        talk.flush()
        _, status = os.waitpid(child, 0)
        talk.write(f"{os.waitstatus_to_exitcode(status)}\n")
    os._exit(0)


def command(request: dict[str, Any]) -> NoReturn:
    """Be the command, and end as the interpreter ends."""
    from bridge.cli.__main__ import main

    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, name in enumerate((os.devnull, request["out"], request["err"])):
        handle = os.open(name, os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(handle, number)
        os.close(handle)
    random.seed()
    sys.argv = ["skolebro", *request["words"]]
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
    serve(sys.argv[1])

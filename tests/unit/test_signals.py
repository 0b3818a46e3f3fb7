"""A request to stop is never missed, however busy the process is with waiting."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, threading
from bridge.signals import until_signal

stopping, number, where = until_signal(), signal.Signals[sys.argv[1]], sys.argv[2]

def ask():
    if where == "thread":
        signal.pthread_kill(threading.get_ident(), number)
    else:
        os.kill(os.getpid(), number)

threading.Thread(target=ask).start()
stopping.wait()
print("asked", flush=True)
if where == "twice":
    os.kill(os.getpid(), number)
    threading.Event().wait()
"""


def run(name: str, where: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, name, where]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("where", ["process", "thread"])
def test_a_signal_is_heard_whichever_thread_it_reaches(name: str, where: str) -> None:
    """A daemon went on running now and then: the signal had reached a thread other than the one that waited."""
    done = run(name, where)
    assert (done.returncode, done.stdout) == (0, "asked\n")


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_the_second_one_ends_the_process_at_once(name: str, code: int) -> None:
    assert run(name, "twice").returncode == code

"""How much memory a process held."""

from __future__ import annotations

from pathlib import Path


def most_held() -> int:
    """The most memory that this process ever held, in octets.

    Not `ru_maxrss`: Linux carries that over from the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))

"""A bench that has delivered something, for tests of what goes out next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.connector import Capabilities, Command
from bridge.domain.errors import TargetUnavailable
from tests.support.engine import (
    Bench,
    group_id,
    header,
    person_id,
)

ANE, BO, CARL = person_id("ane"), person_id("bo"), person_id("carl")
CLASS = group_id("1A")
CANONICAL = Capabilities(references="canonical")
AWAY = TargetUnavailable("status_503")


def told(commands: Iterable[Command]) -> list[tuple[str, str, str]]:
    return [(c.operation.value, c.resource, c.key[-1]) for c in commands]


def members(command: Command) -> list[str]:
    assert command.document is not None
    return [member["value"] for member in command.document.get("members", [])]


def later(bench: Bench, *records: Any, hours: int = 1) -> None:
    """A newer snapshot."""
    bench.clock.forward(hours=hours)
    assert bench.take(*records, head=header(at=bench.clock.at))[0] == "recorded"

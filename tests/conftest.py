"""The servers of a run: those at the usual ports, or own ones from what is installed; else tests are left out."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.support.needs import (
    ALL,
    LEFT_OUT,
    NEEDS,
    POSTGRES,
    RABBITMQ,
    absent_programs,
    postgres_url,
    rabbitmq_port,
    told,
)
from tests.support.postgres_node import PostgresNode, postgres_answers, postgres_programs
from tests.support.rabbitmq_node import Node, is_ready


def pytest_configure(config: pytest.Config) -> None:
    """Only the first process looks; those that it starts find what it found in their environment."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    own = ExitStack()
    config.add_cleanup(own.close)
    absent = absent_programs()
    if not is_ready(rabbitmq_port()):
        _require_unnamed(RABBITMQ)
        if "rabbitmq-server" in absent:
            absent.add("rabbitmq")
        else:
            folder = own.enter_context(TemporaryDirectory(prefix="skolebro-rabbitmq-"))
            os.environ[RABBITMQ] = str(own.enter_context(Node(Path(folder))).port)
    if not postgres_answers(postgres_url()):
        _require_unnamed(POSTGRES)
        if (programs := postgres_programs()) is None:
            absent.add("postgresql")
        else:
            os.environ[POSTGRES] = own.enter_context(PostgresNode(programs)).url
    if absent and os.environ.get(ALL):
        lacking = "; ".join(f"{NEEDS[name].what} ({NEEDS[name].command})" for name in sorted(absent))
        raise pytest.UsageError(f"{ALL} is set and not all tests can run: {lacking}")
    os.environ[LEFT_OUT] = " ".join(sorted(absent))


def _require_unnamed(variable: str) -> None:
    if variable in os.environ:
        raise pytest.UsageError(
            f"the server that {variable} names does not answer; start it, or unset the variable"
        )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reasons = [str(one.longrepr[2]) for one in terminalreporter.stats.get("skipped", ())]
    if lines := told(reasons):
        terminalreporter.section("left out")
        for line in lines:
            terminalreporter.line(line)

"""What tests need beside Python: who lacks it is left out by name, and never where all must run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

LEFT_OUT = "SKOLEBRO_TEST_LEFT_OUT"
"""What is not to be had in this run, in one word each; pytest's first process says so to the others."""

ALL = "SKOLEBRO_TEST_ALL"
"""Set where a test may not be left out, as in CI."""

RABBITMQ_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
RABBITMQ, POSTGRES = "SKOLEBRO_TEST_RABBITMQ", "SKOLEBRO_TEST_POSTGRES"
"""Where servers are that are not at the usual addresses: a port of this machine; a URL without a database."""

OPENSSH = Path("/usr/lib/openssh/sftp-server")
_MARK = "left out: "


@dataclass(frozen=True, slots=True)
class Need:
    """A server or program, and the command that brings it."""

    what: str
    command: str


NEEDS: Mapping[str, Need] = {
    "rabbitmq": Need(
        "RabbitMQ: none answers at 127.0.0.1:5672 (guest/guest) and no server is installed",
        "apt-get install rabbitmq-server",
    ),
    "postgresql": Need(
        "PostgreSQL: none answers at 127.0.0.1:5432 (user postgres, trust) and no server is installed",
        "apt-get install postgresql",
    ),
    "rabbitmq-server": Need(
        "a RabbitMQ node that may be stopped: no server is installed", "apt-get install rabbitmq-server"
    ),
    "xmlsec1": Need("xmlsec1, a judge of signatures", "apt-get install xmlsec1"),
    "sftp-server": Need(f"OpenSSH's file server at {OPENSSH}", "apt-get install openssh-sftp-server"),
    "systemd-analyze": Need("systemd-analyze, which judges units", "apt-get install systemd"),
}


def rabbitmq_port() -> int:
    return int(os.environ.get(RABBITMQ, "5672"))


def postgres_url() -> str:
    return os.environ.get(POSTGRES, "postgresql://postgres@127.0.0.1:5432")


def require(name: str) -> None:
    """Leave the test out where what it needs is not to be had; `told` says so at the end of the run."""
    if name in os.environ.get(LEFT_OUT, "").split():
        pytest.skip(f"{_MARK}{name}")


def absent_programs() -> set[str]:
    """The programs that are not installed."""
    programs = {name for name in ("xmlsec1", "systemd-analyze") if shutil.which(name) is None}
    files = {"rabbitmq-server": RABBITMQ_SERVER, "sftp-server": OPENSSH}
    return programs | {name for name, path in files.items() if not path.exists()}


def told(reasons: Collection[str]) -> list[str]:
    """What to print of a run in which tests were skipped for these reasons."""
    names = [one.partition(_MARK)[2] for one in reasons if _MARK in one]
    return [
        f"{names.count(name)} tests were left out for want of {need.what}. To run them: {need.command}"
        for name, need in NEEDS.items()
        if name in names
    ]

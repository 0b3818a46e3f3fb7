"""What every verb needs: options, exit codes, the bridge behind a configuration, and who asks."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bridge.app import Bridge, open_bridge
from bridge.config import load_settings
from bridge.domain.errors import ConfigError
from bridge.observe import configure_logging
from bridge.registry import Registry

DONE, UNFINISHED, BAD_CONFIG, UNAVAILABLE, BUSY, BROKEN_AUDIT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
_NOBODY = 2**32 - 1

Config = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")]
Municipality = Annotated[str | None, typer.Option(help="Municipality code, when there are several.")]
CONFIG = Path("skolebro.yaml")


def open_configured(config: Path) -> Bridge:
    """Open the bridge that a configuration describes. Raises `ConfigError`, `StoreUnavailable`."""
    settings = load_settings(config, Registry())
    json = None if settings.log.format == "auto" else settings.log.format == "json"
    bridge = open_bridge(settings)
    configure_logging(settings.log.level, json=json, on_dropped=bridge.metrics.log_keys_dropped)
    return bridge


def fail(text: str, code: int) -> NoReturn:
    """End with one sentence on stderr."""
    sys.stderr.write(f"skolebro: {text}\n")
    sys.stderr.flush()
    raise SystemExit(code)


def who() -> str:
    """Return who logged in at this machine, whoever they have become since by sudo or su."""
    try:
        login = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        login = _NOBODY
    for uid in (login, os.getuid()):
        try:
            return pwd.getpwuid(uid).pw_name
        except (KeyError, OverflowError):
            continue
    return f"uid {os.getuid()}"


def moment(text: str | None, option: str) -> datetime | None:
    """Read an ISO 8601 date or time; without a zone it is UTC. Raises `ConfigError`."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{option} {text}: allowed is a date or time such as 2027-06-15 or 2027-06-15T08:00"
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def chosen(known: Sequence[str], wanted: str | None, config: Path) -> str:
    """Return the municipality that is meant. Raises `ConfigError` when there are several and none is named."""
    if wanted is not None and wanted not in known:
        raise ConfigError(f"no municipality {wanted!r} in {config}; there are {', '.join(known)}")
    if wanted is None and len(known) > 1:
        raise ConfigError(f"--municipality: there are several in {config}: {', '.join(known)}")
    return wanted or known[0]

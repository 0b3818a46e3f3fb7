"""Secrets are files that their owner alone may read; a mistake is told by file and key, never by value."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from bridge.domain.errors import ConfigError

_PUBLIC = b"-----BEGIN CERTIFICATE-----"
_Secret = TypeVar("_Secret", str, bytes)


def read_secret(path: Path) -> str:
    """Return a secret file's text without surrounding white space.

    Raises `ConfigError` when it is empty, cannot be read, or others than its owner may read it.
    """
    try:
        text = read_credential(path).decode().strip()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the secret file cannot be read ({type(error).__name__})") from error
    if not text:
        raise ConfigError(f"{path}: the secret file is empty; write the secret into it as its only content")
    return text


def read_credential(path: Path) -> bytes:
    """Return a secret file's bytes. Raises `ConfigError` when it cannot be read, or others may read it.

    Certificates in PEM, without a key among them, anybody may read.
    """
    try:
        known = path.stat()
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file; make it, a secret with mode 0600") from error
    except OSError as error:
        raise ConfigError(f"{path}: the secret file cannot be read ({type(error).__name__})") from error
    is_public = content.lstrip().startswith(_PUBLIC) and b"PRIVATE KEY" not in content
    if is_open(known.st_mode, known.st_uid, os.geteuid()) and not is_public:
        raise ConfigError(f"{path}: others may read this secret; nothing was sent. Run: chmod 600 {path}")
    return content


def is_open(mode: int, owner: int, reader: int) -> bool:
    """Whether others than a file's owner may get at it.

    A platform that hands a secret over keeps it root's and lets us read it as the group: Kubernetes by `fsGroup`,
    systemd by an access list, whose mask stands in the place of the group's bits.
    """
    handed_over = owner == 0 and reader != 0
    return bool(mode & (stat.S_IRWXG | stat.S_IRWXO) & ~(stat.S_IRGRP if handed_over else 0))


@contextmanager
def explained(path: Path, at: str = "", config: BaseModel | None = None) -> Iterator[None]:
    """Put the file and the dotted place before what is found wrong with a section once it is used."""
    try:
        yield
    except ConfigError as error:
        text = str(error)
        is_key = config is not None and re.split(r"\W", text, maxsplit=1)[0] in type(config).model_fields
        place = f"{at}." if is_key else f"{at}: " if at else ""
        raise ConfigError(f"{path}: {place}{text}") from error


def secret_reader(config: BaseModel) -> Callable[[Path], str]:
    """Return `read_secret` whose errors begin with the key that names the file."""
    return _naming(config, read_secret)


def credential_reader(config: BaseModel) -> Callable[[Path], bytes]:
    """Return `read_credential` whose errors begin with the key that names the file."""
    return _naming(config, read_credential)


def _naming(config: BaseModel, reader: Callable[[Path], _Secret]) -> Callable[[Path], _Secret]:
    def read(path: Path) -> _Secret:
        try:
            return reader(path)
        except ConfigError as error:
            key = next((name for name in type(config).model_fields if getattr(config, name) == path), "secret")
            raise ConfigError(f"{key}: {error}") from error

    return read

"""Where a target's configuration says that files are left, there is the adapter that leaves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bridge.adapters.drop_folder import FolderDrop
from bridge.connector import Drop, DropConfig
from bridge.domain.errors import ConfigError


def open_drop(
    config: DropConfig,
    secret: Callable[[Path], str],
    credential: Callable[[Path], bytes],
    tick: Callable[[], None] = lambda: None,
) -> Drop:
    """Make the drop of a configuration; nobody is called yet. `tick` is called while a file is on its way.

    Raises `ConfigError` for a bad secret or URL.
    """
    if config.drop_folder is not None:
        return FolderDrop(config.drop_folder)
    if config.sftp_url is None or config.sftp_known_hosts_file is None:
        raise ConfigError("name either drop_folder or sftp_url")
    from bridge.adapters.drop_sftp import SftpDrop, SftpPlace  # whoever leaves no files by SFTP starts sooner

    key, password = config.sftp_key_file, config.sftp_password_file
    place = SftpPlace.read(
        config.sftp_url,
        config.sftp_known_hosts_file,
        key=credential(key) if key is not None else None,
        password=secret(password) if password is not None else None,
    )
    return SftpDrop(place, tick)

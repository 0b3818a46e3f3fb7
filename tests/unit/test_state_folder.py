"""The key of a shared state may be handed over read-only, as a platform mounts its secrets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.adapters.state_folder import prepare
from bridge.config import load_settings
from bridge.domain.errors import ConfigError, StoreUnavailable
from bridge.registry import Registry
from tests.support.ordinary import open_folder, ordinary_user

KEY = "ab" * 32
CONFIG = """\
state_folder: state
municipalities:
  "0751":
    name: Eksempel Kommune
    institutions: all
    source: {connector: stil-folder, folder: incoming}
"""
DATABASE = "database: {url_file: database-url}\n"
CONNECTORS = {"stil-folder": Registry()["stil-folder"]}


def new_key() -> str:
    return "cd" * 32


@pytest.fixture
def folder() -> Iterator[Path]:
    """A configuration whose state folder is there, and nobody may write into it."""
    with open_folder() as folder:
        (folder / "incoming").mkdir()
        (folder / "database-url").write_text("postgresql://")
        (folder / "skolebro.yaml").write_text(CONFIG)
        (folder / "state").mkdir()
        yield folder
        (folder / "state").chmod(0o755)


def mounted(folder: Path) -> Path:
    """Put the key there as Kubernetes does: a link to a link, in a folder that is only read."""
    state = folder / "state"
    (state / "..2026_11_26").mkdir()
    (state / "..2026_11_26" / "subject.key").write_text(KEY)
    (state / "..data").symlink_to("..2026_11_26")
    (state / "subject.key").symlink_to("..data/subject.key")
    (state / "..2026_11_26").chmod(0o555)
    state.chmod(0o555)
    return state


def test_a_key_that_may_only_be_read_is_used(folder: Path) -> None:
    state = mounted(folder)
    with ordinary_user():
        assert prepare(state, new_key) == KEY.encode()


def test_where_there_is_none_and_none_can_be_made_it_is_said(folder: Path) -> None:
    (folder / "state").chmod(0o555)
    with ordinary_user(), pytest.raises(StoreUnavailable, match="cannot be used"):
        prepare(folder / "state", new_key)


def test_a_folder_that_may_only_be_read_is_a_mistake_where_the_database_is_to_be_in_it(folder: Path) -> None:
    mounted(folder)
    with ordinary_user(), pytest.raises(ConfigError, match="state cannot be written by this user"):
        load_settings(folder / "skolebro.yaml", CONNECTORS)


def test_it_is_none_where_the_database_is_elsewhere(folder: Path) -> None:
    state = mounted(folder)
    (folder / "skolebro.yaml").write_text(CONFIG + DATABASE)
    with ordinary_user():
        assert load_settings(folder / "skolebro.yaml", CONNECTORS).state_folder == state

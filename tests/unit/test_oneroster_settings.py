"""The clients of a provider are configured by files that must exist, wherever in the section they are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import load_settings
from bridge.connector import Connector
from bridge.domain.errors import ConfigError
from connectors.oneroster import OneRosterConfig, connector
from connectors.stil import folder as stil_folder

CONFIG = """
state_folder: state
municipalities:
  "0751":
    name: Prøveby
    institutions: all
    source: {connector: stil-folder, folder: incoming}
    targets:
      platform:
        connector: oneroster
        public_url: https://bro.example/oneroster/platform/
        tombstones: 120d
        clients:
          - client_id: platform
            secret_file: secrets/platform
            versions: ["1.1", "1.2"]
            scopes: [roster.readonly, roster-demographics.readonly]
"""
CONNECTORS: dict[str, Connector] = {"oneroster": connector, "stil-folder": stil_folder}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for name in ("incoming", "secrets"):
        (tmp_path / name).mkdir()
    (tmp_path / "secrets" / "platform").touch(mode=0o600)
    path = tmp_path / "skolebro.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_the_files_of_clients_are_found_from_the_folder_of_the_configuration(file: Path) -> None:
    (town,) = load_settings(file, CONNECTORS).municipalities
    (target,) = town.targets
    assert isinstance(target.config, OneRosterConfig)
    (client,) = target.config.clients
    assert client.secret_file == file.parent / "secrets" / "platform"
    assert client.versions == ("1.1", "1.2")
    assert target.config.public_url == "https://bro.example/oneroster/platform"
    assert target.config.tombstones.days == 120
    assert target.mapping.name == "oneroster/core"


def test_a_file_of_a_client_that_is_not_there_is_named(file: Path) -> None:
    (file.parent / "secrets" / "platform").unlink()
    with pytest.raises(ConfigError, match=r"targets\.platform\.clients\.secret_file: no file at .*platform"):
        load_settings(file, CONNECTORS)


def test_a_key_of_a_client_that_does_not_exist_is_refused(file: Path) -> None:
    file.write_text(CONFIG.replace("client_id: platform", "client: platform"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"targets\.platform\.clients"):
        load_settings(file, CONNECTORS)

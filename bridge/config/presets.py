"""The mappings that come with connectors of other packages, by the names that they give themselves."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from bridge.connector import Connector
from bridge.domain.errors import ConfigError, MappingError
from bridge.mapping import load_mapping, presets


def package_presets(connectors: Mapping[str, Connector]) -> dict[str, str]:
    """Return the path of the file by name; what cannot be loaded has none, and says so where it is configured."""
    found: dict[str, str] = {}
    for name in connectors:
        with suppress(ConfigError, MappingError):
            path = connectors[name].default_mapping
            if path is not None and path.endswith((".yaml", ".yml")):
                found.setdefault(load_mapping(path).name, path)
    return {name: path for name, path in found.items() if name not in presets()}

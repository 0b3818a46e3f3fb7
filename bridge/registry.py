"""Connectors by name, found through the entry points "skolebro.connectors": built-in or a stranger's alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points

from bridge.connector import Connector
from bridge.domain.errors import ConfigError
from bridge.domain.nearest import did_you_mean

GROUP = "skolebro.connectors"


class Registry(Mapping[str, Connector]):
    """Loads a connector when it is first asked for."""

    def __init__(self) -> None:
        self._points = {point.name: point for point in entry_points(group=GROUP)}
        self._loaded: dict[str, Connector] = {}

    def __getitem__(self, name: str) -> Connector:
        """Return a connector. Raises `ConfigError` naming the nearest match when there is none."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._points  # Mapping's own would ask for the connector, and meet our error

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._points))

    def __len__(self) -> int:
        return len(self._points)

    def _load(self, name: str) -> Connector:
        if name not in self._points:
            hint = did_you_mean(name, self._points)
            raise ConfigError(f"unknown connector {name!r}; {hint}installed are: {', '.join(self)}")
        try:
            found = self._points[name].load()
        except ImportError as error:
            raise ConfigError(f"connector {name!r} is registered but cannot be imported ({error.name})") from error
        if not isinstance(found, Connector):
            raise ConfigError(f"the entry point of connector {name!r} is no bridge.connector.Connector")
        return found

"""OneRoster as platforms fetch it: what the bridge tells is kept on the shelf, and served from there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from bridge.connector import Capabilities, Command, ConfigError, Outcome, Remote, Services, TargetUnavailable
from bridge.domain.errors import StoreError
from connectors.oneroster.app import SERVICES, Asgi, OneRosterApp, create_app, guarded
from connectors.oneroster.config import ClientConfig, OneRosterConfig
from connectors.oneroster.rosters import Rosters
from connectors.oneroster.service import Paging, Service
from connectors.oneroster.shapes import Booleans, Version, shapes
from connectors.oneroster.shelving import read_shelf, shelve
from connectors.oneroster.tokens import Client, Gate
from connectors.oneroster.wire import Writer

_VERSIONS: Mapping[str, Version] = {"1.1": "v1p1", "1.2": "v1p2"}
_BOOLEANS: Mapping[Version, Booleans] = {"v1p1": "strings", "v1p2": "json"}
_SHORTEST_SECRET = 32
_DAY = timedelta(days=1)


class OneRosterTarget:
    """`bridge.connector.Target` that keeps what it is told, `ReadsBack`, and `Serves` it."""

    capabilities = Capabilities(
        references="canonical", max_batch=500, in_order=False, inactive={"user": {"enabledUser": False}}
    )

    def __init__(self, config: OneRosterConfig, services: Services) -> None:
        self._config, self._services = config, services
        self._shelf = services.shelf()
        self._clients = [_client(client, services) for client in config.clients]
        self._forgot: datetime | None = None

    def apply(self, batch: Sequence[Command]) -> Sequence[Outcome]:
        """Keep the batch in one step. Raises `TargetUnavailable` when the store is away."""
        if batch:
            self._forget()
        return shelve(self._shelf, batch)

    def probe(self) -> None:
        """Nothing is asked: nobody else is needed to keep something."""

    def read_back(self, resources: Collection[str]) -> Iterator[Remote]:
        return read_shelf(self._shelf, resources)

    def application(self, is_open: Callable[[], bool]) -> Asgi:
        return guarded(self.api(is_open))

    def api(self, is_open: Callable[[], bool]) -> OneRosterApp:
        """The application before the limit of its requests: it knows its OpenAPI."""
        config, now = self._config, self._services.now
        rosters = Rosters(self._shelf, config.settings(self._services.municipality, config.tombstones), now)
        gate = Gate(self._clients, config.public_url, config.token_lifetime, now)
        paging = Paging(config.page_size, config.max_page_size)
        served = {}
        for version, path in SERVICES.items():
            booleans = config.booleans or _BOOLEANS[version]
            writer = Writer(version, config.public_url + path, booleans)
            served[version] = Service(
                writer, shapes(version, booleans), rosters, gate, is_open, config.public_url, paging
            )
        return create_app(gate, served, config.token_path)

    def _forget(self) -> None:
        """Once a day, drop the marks of what is not told any more; a day later than it could be, for the pages."""
        now = self._services.now()
        if self._forgot is not None and now - self._forgot < _DAY:
            return
        try:
            self._shelf.forget_gone(now - self._config.tombstones - _DAY)
        except StoreError as error:
            raise TargetUnavailable("shelf_unavailable") from error
        self._forgot = now


def _client(config: ClientConfig, services: Services) -> Client:
    secret = services.secret(config.secret_file)
    if len(secret) < _SHORTEST_SECRET:
        raise ConfigError(
            f"secret_file {config.secret_file}: the secret of client {config.client_id} has fewer than "
            f"{_SHORTEST_SECRET} characters; make one with: openssl rand -hex 32"
        )
    return Client(
        id=config.client_id,
        secret=secret,
        scopes=frozenset(config.scopes),
        versions=frozenset(_VERSIONS[version] for version in config.versions),
        signatures=frozenset(config.signatures) if "1.1" in config.versions else frozenset(),
    )

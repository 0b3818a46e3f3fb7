"""The vendor feed over a bench on a real server, or as an application to be asked in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from threading import Event
from typing import Any

import requests
from starlette.routing import Mount, Router

from bridge.engine.desire import Rendering
from bridge.engine.tell import Teller
from bridge.engine.vendor_feed import VendorFeed
from bridge.observe import Metrics, Status
from bridge.web.app import Health, WebDeps, create_app
from bridge.web.served import VENDORS, with_served
from bridge.web.server import WebServer
from bridge.web.vendor_api import VendorApi, VendorDeps, create_vendor_api
from bridge.web.vendor_gate import Pace, Vendor
from tests.support.engine import MORNING
from tests.support.vendors import log_and_replays

TOKEN, OTHER_TOKEN = "a" * 32, "b" * 32
PUBLIC = "skolebro.kommune.example"
_WELL = Status(MORNING, (), (), (), (), (), 0, "0:" + "00" * 32)


@dataclass
class Beats:
    """A clock of seconds that stands still until it is moved."""

    at: float = 0.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Site:
    """Vendors at their door; `server` is there while `served` holds."""

    feeds: dict[str, VendorFeed]
    per_minute: int = 1_000_000
    renderings: dict[str, list[Rendering]] = field(default_factory=dict)  # of targets, by the vendor's token
    beats: Beats = field(default_factory=Beats)
    stopping: Event = field(default_factory=Event)
    patience: timedelta = timedelta(seconds=30)
    metrics: Metrics = field(default_factory=lambda: Metrics("0"))
    url: str = ""

    def __post_init__(self) -> None:
        vendors = [
            Vendor(
                sha256(token.encode()).digest(),
                feed,
                *log_and_replays(feed, self.renderings.get(token, ())),
                Pace(self.per_minute, self.beats),
            )
            for token, feed in self.feeds.items()
        ]
        self.teller = Teller(self.metrics, lambda: MORNING)
        self.deps = VendorDeps(vendors, self.teller, self.stopping.is_set, patience=self.patience)
        self.api: VendorApi = create_vendor_api(self.deps)

    @property
    def mounted(self) -> Router:
        return Router([Mount(VENDORS, app=self.api)])

    def post(self, path: str, body: Any, token: str | None = TOKEN) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.post(self.url + path, json=body, headers=headers, timeout=30)

    def get(self, path: str, token: str | None = TOKEN, **how: Any) -> requests.Response:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **how.pop("headers", {})}
        return requests.get(self.url + path, headers=headers, timeout=30, **how)


@contextmanager
def served(site: Site) -> Iterator[Site]:
    deps = WebDeps(lambda: _WELL, site.metrics.exposition, lambda: Health(True), lambda: Health(True))
    server = WebServer(with_served(create_app(deps), {}, [PUBLIC], site.teller, site.api), "127.0.0.1", 0)
    server.start()
    site.url = server.url.rstrip("/")
    try:
        yield site
    finally:
        site.stopping.set()
        server.stop()

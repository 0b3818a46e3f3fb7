"""A SCIM server that several tests share, empty for each, and a proxy before it that can fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.testing.faulty_proxy import FaultyProxy
from tests.support.scim import ScimServer


@pytest.fixture(scope="module")
def running() -> Iterator[ScimServer]:
    with ScimServer() as server:
        yield server


@pytest.fixture
def server(running: ScimServer) -> ScimServer:
    """The server, empty again: starting it takes longer than all else here."""
    running.clear()
    return running


@pytest.fixture
def proxy(server: ScimServer) -> Iterator[FaultyProxy]:
    with FaultyProxy(server.url) as proxy:
        yield proxy

"""Two targets behind proxies that fail on command, and the daemon that serves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.testing.stil_municipality import Municipality
from tests.support.daemon import Daemon
from tests.support.rig import BUSY, SMALL, Rig, make_rig
from tests.support.scim import ScimServer

PATIENT = 30  # a request's time-out in seconds; only where silence is the fault is it shorter
# The same rules as in production, with waits that a test can wait for. A mended credential is tried soon.
SHORT = """\
retry: {base: 0.2s, ceiling: 1s, retry_after_cap: 1s}
breaker: {patience_base: 0.2s, patience_ceiling: 0.5s, person_base: 0.2s, person_ceiling: 0.5s}
"""


@pytest.fixture(scope="module")
def running() -> Iterator[ScimServer]:
    with ScimServer() as server:
        yield server


@pytest.fixture
def rig(running: ScimServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    for endpoint, resources in running.dump().items():
        for resource in resources:
            running.call("DELETE", f"{endpoint}/{resource['id']}")
    municipality = Municipality(7, schools=1, pupils=25, makeup=SMALL, churn=BUSY)
    timeout = getattr(request, "param", PATIENT)
    with make_rig(tmp_path, municipality, interval="0.2s", timeout=timeout, retry=SHORT, scim=running) as rig:
        yield rig


@pytest.fixture
def daemon(rig: Rig) -> Iterator[Daemon]:
    with Daemon(rig.config) as daemon:
        yield daemon

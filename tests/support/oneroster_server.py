"""A OneRoster provider on a real server, mounted below a path as the bridge mounts it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from connectors.oneroster import OneRosterTarget

MOUNT = "/oneroster/platform"


@contextmanager
def served(make: Callable[[str], OneRosterTarget]) -> Iterator[tuple[OneRosterTarget, str]]:
    """The target that `make` makes for its public URL, and that URL, as long as it is served."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as the bridge's own server does
        url = f"http://127.0.0.1:{listening.getsockname()[1]}{MOUNT}"
        target = make(url)
        app = Starlette(routes=[Mount(MOUNT, target.application(lambda: True))])
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
        thread = Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield target, url
        finally:
            server.should_exit = True
            thread.join()

"""A real SCIM 2.0 server that nobody here wrote, as a process of its own for as long as a test needs it."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import requests

from tests.support.ports import free_port

_PROGRAM = Path(sys.executable).with_name("scim2-server")
_STARTS = 5
_LOOKS = 500  # of a fiftieth of a second each


class ScimServer:
    """scim2-server on a free loopback port, behind a bearer token of its own; also a context manager.

    `url` is the base URL that a connector is given. `arguments` go to the program, such as
    ("--schema", file). Each start begins with an empty server.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.token = secrets.token_hex(16)  # never a leading dash, which the program would take for an option
        self.url = ""

    def start(self) -> Self:
        """Start the program and wait until it answers with our token.

        Raises:
            RuntimeError: it did not, on any of several ports.
        """
        for _ in range(_STARTS):  # somebody else may take a free port before the program does
            port = free_port()
            self.url = f"http://127.0.0.1:{port}/v2"
            self._process = subprocess.Popen(
                [_PROGRAM, "--port", str(port), "--bearer-token", self.token, *self._arguments],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if self._is_ready(self._process):
                return self
            self.stop()
        raise RuntimeError("scim2-server does not start")

    def stop(self) -> None:
        """End the process that was started; stopping twice does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def resources(self, endpoint: str) -> list[dict[str, Any]]:
        """Everything below an endpoint such as "/Users", read page by page (RFC 7644 §3.4.2.4)."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", f"{endpoint}?startIndex={len(found) + 1}&count=100").json()
            found += page.get("Resources", [])
            if len(found) >= page["totalResults"]:
                return found

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """All resources of the server by endpoint, as its own /ResourceTypes lists them."""
        types = self.call("GET", "/ResourceTypes").json()["Resources"]
        return {kind["endpoint"]: self.resources(kind["endpoint"]) for kind in types}

    def clear(self) -> None:
        """Remove everything that the server holds."""
        for endpoint, resources in self.dump().items():
            for resource in resources:
                self.call("DELETE", f"{endpoint}/{resource['id']}")

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Send one request past the connector, as an administrator of the server would.

        Raises:
            requests.HTTPError: the server refused it.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/scim+json"}
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, self.url + path, json=body, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        for _ in range(_LOOKS):
            try:
                self.call("GET", "/ServiceProviderConfig")
            except requests.HTTPError:
                return False  # somebody else answers there
            except requests.ConnectionError:
                try:
                    process.wait(0.02)
                except subprocess.TimeoutExpired:
                    continue
                return False
            return True
        return False

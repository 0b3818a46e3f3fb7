"""Ends with 0 where the address answers 200, else with 1: a container's own look at itself, past any proxy."""

import http.client
import sys
from urllib.parse import urlsplit


def is_well(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=5)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not is_well(sys.argv[1]))

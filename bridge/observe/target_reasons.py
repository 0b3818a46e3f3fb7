"""Every code with which a target may be away, in words that tell what to look at."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bridge.domain.errors import TargetError, TargetUnavailable

_ADDRESS = "see address and port in the configuration (base_url, url or sftp_url)"
_AGAIN = "it is tried again"

BROKER_WORDS: Mapping[str, str] = {
    "closed": "the connection breaks; see the broker's log",
    "nack": "the broker refuses to keep them; see whether a queue is full",
    "timeout": "the broker does not answer in time; see whether it is short of memory or disk",
    "unreachable": "the broker cannot be reached; see network and firewall",
}
"""Every code with which the broker takes no events."""

TARGET_WORDS: Mapping[str, str] = {
    "answer_cut": f"the answer was cut off; {_AGAIN}, and if it stays, see the proxy or load balancer in between",
    "answer_malformed": f"the answer is not HTTP; {_ADDRESS}, and what listens there",
    "answer_not_soap": f"the answer is not SOAP; {_ADDRESS}, and ask the vendor",
    "answer_too_large": f"the answer is larger than is ever read; {_ADDRESS}, and ask the vendor",
    "connect_failed": (
        f"nothing answers at that address; {_ADDRESS}, whether the platform runs, whether the firewall lets this "
        "machine out to it, and whether the name is resolved. No proxy is taken from the environment: what lets "
        "nobody out but through one has to let this machine through"
    ),
    "connection_lost": f"the connection broke; {_AGAIN}, and if it stays, see firewall, proxy and its log",
    "closed": BROKER_WORDS["closed"],
    "unreachable": BROKER_WORDS["unreachable"],
    "disk_full": "the disk is full: make room there",
    "file_cut": f"a file there ends too early; {_AGAIN}",
    "file_too_large": "a file there is larger than is ever read: see what puts it there",
    "folder_failed": "the folder cannot be used: see the disk, and whether it is mounted",
    "folder_missing": "the folder is not there: make it, or name another one (drop_folder or sftp_url)",
    "read_back_incomplete": f"the platform lists less than it says that it has; {_AGAIN}, and ask the vendor",
    "request_invalid": f"the request could not even be made; {_ADDRESS}",
    "sftp_failed": f"the SFTP server failed; {_AGAIN}, and if it stays, see its log",
    "shelf_unavailable": "our own state cannot be read now: see the disk of the state folder",
    "timeout": f"no answer came in time; {_AGAIN}, and if it stays, see firewall and proxy, or raise `timeout`",
    "tls_failed": f"there is no secure connection; see its certificate and ca_file; {_ADDRESS}",
}
_STATUS = re.compile(r"status_(\d{3})")


def explained_target(error: TargetError) -> str:
    """Return what an error of a target means and what to look at, in one line, the code behind it."""
    if not isinstance(error, TargetUnavailable):
        return str(error)
    if (answered := _STATUS.fullmatch(error.reason)) is not None:
        whose = "the platform is down or busy" if answered[1].startswith("5") else "ask the vendor"
        return f"it answered with HTTP status {answered[1]}: {whose}; {_AGAIN} ({error.reason})"
    words = TARGET_WORDS.get(error.reason)
    return f"{words} ({error.reason})" if words is not None else str(error)

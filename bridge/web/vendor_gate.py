"""Who asks, and how often: a vendor is known by its token before anything is read for it."""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock

from bridge.engine.vendor_feed import VendorFeed
from bridge.engine.vendor_log import VendorLog
from bridge.engine.vendor_replay import VendorReplay

_LONGEST_TOKEN = 1_024


@dataclass(slots=True)
class Pace:
    """So many requests a minute, and no more at once than one minute's."""

    per_minute: int
    monotonic: Callable[[], float]
    _left: float = field(init=False)
    _at: float = field(init=False)
    _turn: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._left, self._at = float(self.per_minute), self.monotonic()

    def wait(self) -> int:
        """Take one request's place, and return 0; or the whole seconds until there is one."""
        with self._turn:
            now, each = self.monotonic(), self.per_minute / 60
            self._left = min(float(self.per_minute), self._left + (now - self._at) * each)
            self._at = now
            if self._left >= 1:
                self._left -= 1
                return 0
            return math.ceil((1 - self._left) / each)


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor at the door; `digest` is the SHA-256 of its token."""

    digest: bytes = field(repr=False)
    feed: VendorFeed
    log: VendorLog
    replays: VendorReplay
    pace: Pace

    @property
    def name(self) -> str:
        return self.feed.vendor


def vendor_of(vendors: Sequence[Vendor], header: str | None) -> Vendor | None:
    """Whose bearer token this is (RFC 6750); all are compared, in one time."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= _LONGEST_TOKEN:
        return None
    digest = sha256(token.strip().encode()).digest()
    found = [one for one in vendors if hmac.compare_digest(one.digest, digest)]
    return found[0] if found else None

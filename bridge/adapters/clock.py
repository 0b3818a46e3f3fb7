"""The real time, the real chance, and new identifiers."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from random import SystemRandom
from uuid import uuid4


class SystemClock:
    """`Clock` and `Random` of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def random(self) -> float:
        return SystemRandom().random()

    def new_id(self) -> str:
        return str(uuid4())

    def new_key(self) -> str:
        """256 bits for a key file, as hexadecimal text."""
        return secrets.token_hex(32)

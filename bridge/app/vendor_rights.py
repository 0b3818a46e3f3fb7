"""What a vendor's user may do at the broker: read its own queue, and nothing else."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import unquote, urlsplit

from bridge.app.parts import Parts
from bridge.config import VendorSettings, explained, queue_name, secret_reader
from bridge.domain.errors import ConfigError

NOTHING = "^$"
_SALT = 4  # bytes (RabbitMQ, Credentials and Passwords)


@dataclass(frozen=True, slots=True)
class Rights:
    """The user, who is called as its queue, at one virtual host."""

    user: str
    vhost: str

    @property
    def reads(self) -> str:
        return f"^{re.escape(self.user)}$"

    def commands(self) -> list[list[str]]:
        """What an administrator of the broker types; `add_user` asks for the password."""
        permissions = [self.user, NOTHING, NOTHING, self.reads]
        return [
            ["rabbitmqctl", "add_user", self.user],
            ["rabbitmqctl", "set_permissions", "-p", self.vhost, *permissions],
        ]

    def definitions(self, password_hash: str) -> dict[str, Any]:
        """The same for `rabbitmqctl import_definitions`; with an empty hash nobody logs in by a password."""
        return {
            "users": [
                {
                    "name": self.user,
                    "password_hash": password_hash,
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": [],
                }
            ],
            "permissions": [
                {
                    "user": self.user,
                    "vhost": self.vhost,
                    "configure": NOTHING,
                    "write": NOTHING,
                    "read": self.reads,
                }
            ],
        }


def rights_of(parts: Parts, vendor: VendorSettings) -> Rights:
    """Raises `ConfigError` for a vendor without a queue."""
    broker = parts.settings.broker
    if broker is None or not vendor.has_queue:
        raise ConfigError(
            f"vendors.{vendor.name}: has no queue, so its user at the broker needs no rights; give `queue: true`"
        )
    with explained(parts.settings.path, "broker", broker):
        path = urlsplit(secret_reader(broker)(broker.url_file)).path
    return Rights(queue_name(vendor.name), unquote(path[1:]) or "/")


def hashed(password: str, salt: bytes) -> str:
    """A password as RabbitMQ keeps it: base64 of the salt and of the SHA-256 of salt and password."""
    some = salt[:_SALT]
    return base64.b64encode(some + sha256(some + password.encode()).digest()).decode()

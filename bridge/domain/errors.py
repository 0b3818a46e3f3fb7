"""Errors grouped by who must act; their texts are safe to log: they never quote source data.

BridgeError
├── ConfigError              the operator changes the configuration
├── SourceError
│   ├── SourceUnavailable    nothing: tried again by itself
│   ├── SourceUnauthorised   the operator mends certificate or registration
│   ├── SnapshotInvalid      the snapshot is refused whole; what is stored stays
│   └── AgreementMissing     the municipality approves the data agreement
├── TargetError
│   ├── TargetUnavailable    nothing: the target pauses and is tried again
│   ├── TargetUnauthorised   the operator renews the credential
│   └── ContractBroken       the vendor or the connector's author
├── StoreError
│   ├── StoreUnavailable     the operator looks at disk and database
│   └── StaleLease           nothing: another process leads
└── MappingError             whoever wrote the mapping file
"""

from __future__ import annotations

from datetime import timedelta


class BridgeError(Exception):
    """Base of everything that Skolebro raises on purpose."""


class ConfigError(BridgeError):
    """The configuration cannot be used; the text names the file, the key and what is allowed."""


class SourceError(BridgeError):
    """A snapshot could not be had."""


class SourceUnavailable(SourceError):
    """The source did not answer; what is stored stays as it is. `retry_after` is its own wish, if it named one.

    By habit the text begins with a stable snake_case code and a colon.
    """

    def __init__(self, text: str, retry_after: timedelta | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class SourceUnauthorised(SourceError):
    """The source refuses us as a whole: certificate, signature or registration. Asking again changes nothing.

    By habit the text begins with a stable snake_case code and a colon.
    """


class SnapshotInvalid(SourceError):
    """The snapshot is refused whole. `code` is a stable snake_case reason, `where` a place in the document."""

    def __init__(self, code: str, where: str = "") -> None:
        super().__init__(f"snapshot refused: {code}" + (f" at {where}" if where else ""))
        self.code = code
        self.where = where


class AgreementMissing(SourceError):
    """The source says that we have no data agreement for this institution: never a deletion."""


class TargetError(BridgeError):
    """The target as a whole, not one entity, cannot be used now."""


class TargetUnavailable(TargetError):
    """The target is down or asks us to wait; `retry_after` is its own wish, if it named one."""

    def __init__(self, reason: str, retry_after: timedelta | None = None) -> None:
        super().__init__(f"target unavailable: {reason}")
        self.reason = reason
        self.retry_after = retry_after


class TargetUnauthorised(TargetError):
    """The target refuses our credential for everything."""


class ContractBroken(TargetError):
    """The target speaks otherwise than its protocol says."""


class TargetGone(TargetError):
    """The target wants nothing more from us: nothing is sent until a person switches it on again."""


class StoreError(BridgeError):
    """The state cannot be read or written."""


class StoreUnavailable(StoreError):
    """The store is away, full or read-only: nothing is sent until it is back."""


class StaleLease(StoreError):
    """Another process has taken over; this one's write was refused."""


class MappingError(BridgeError):
    """A mapping file is wrong; the text names the file and the field."""

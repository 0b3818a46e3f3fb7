"""PUBLIC CONTRACT for connector authors: everything that a connector may import, besides domain values.

A connector is a value, not a base class: a name, a configuration model and one or two factories.
It enters by the entry point group ``skolebro.connectors``, built-in or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Protocol, Self, runtime_checkable

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from bridge.domain.changes import Operation
from bridge.domain.encodable import unencodable_field
from bridge.domain.entities import Institution
from bridge.domain.errors import (
    AgreementMissing,
    ConfigError,
    ContractBroken,
    SnapshotInvalid,
    SourceUnauthorised,
    SourceUnavailable,
    TargetGone,
    TargetUnauthorised,
    TargetUnavailable,
)
from bridge.domain.http_dates import parse_retry_after
from bridge.domain.ids import CanonicalId, Key
from bridge.domain.outcomes import Deferred, Delivered, Outcome, Rejected, Unchanged
from bridge.domain.records import Record, Snapshot
from bridge.domain.reports import Document, Reported, Reports
from bridge.domain.sameness import differing_fields
from bridge.domain.shelf import Drop, Entry, Shelf, Shelved
from bridge.domain.tracing import common_trace

__all__ = [
    "AgreementMissing",
    "Capabilities",
    "Command",
    "Compares",
    "ConfigError",
    "Connector",
    "ConnectorConfig",
    "ContractBroken",
    "Deferred",
    "Delivered",
    "Describes",
    "Document",
    "Drop",
    "DropConfig",
    "Duration",
    "Entry",
    "Greets",
    "HandedOver",
    "HandsOver",
    "Http",
    "HttpResponse",
    "Outcome",
    "ReadsBack",
    "Record",
    "Rejected",
    "Remote",
    "Reported",
    "Reports",
    "Requires",
    "Serves",
    "Services",
    "Shelf",
    "Shelved",
    "Snapshot",
    "SnapshotInvalid",
    "SnapshotSource",
    "SourceFailure",
    "SourceUnauthorised",
    "SourceUnavailable",
    "Subscribes",
    "Target",
    "TargetGone",
    "TargetUnauthorised",
    "TargetUnavailable",
    "Unchanged",
    "differing_fields",
    "trace_headers",
    "unencodable_field",
]


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return timedelta(seconds=value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a duration such as 30s, 15m, 6h or 1d")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


Duration = Annotated[timedelta, BeforeValidator(_duration)]
"""A configured span of time: ``30s``, ``15m``, ``6h``, ``1d``; a bare number is seconds."""


class ConnectorConfig(BaseModel):
    """Base of a connector's configuration: unknown keys are refused, values are frozen.

    Fields whose name ends in ``_file`` are secret or certificate file references (``_files``: a list of
    them) and fields whose name ends in ``_folder`` are folders; all are of type `Path`. A relative path
    is resolved against the folder of the configuration file, and it must exist, before the connector sees it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def system(self) -> str:
        """Which remote system this is: when it changes, what the old one confirmed says nothing of the new one."""
        return ""

    @property
    def discloses(self) -> bool:
        """Whether this target is sent anything; one that only observes is computed and shown, never called."""
        return True

    @property
    def default_mapping(self) -> str | None:
        """The preset where the configuration names none and it depends on the settings; None: the connector's."""
        return None


class DropConfig(ConnectorConfig):
    """Base of the configuration of a target that leaves files: in a folder here, or at an SFTP server.

    `sftp_url` is ``sftp://user@host[:port]/folder``; the server must be one of `sftp_known_hosts_file` (the form
    of OpenSSH), and we log in with `sftp_key_file` or `sftp_password_file`.
    """

    drop_folder: Path | None = None
    sftp_url: str | None = None
    sftp_known_hosts_file: Path | None = None
    sftp_key_file: Path | None = None
    sftp_password_file: Path | None = None

    @property
    def system(self) -> str:
        return self.sftp_url or str(self.drop_folder)

    @model_validator(mode="after")
    def _check_drop(self) -> Self:
        if (self.drop_folder is None) is (self.sftp_url is None):
            raise ValueError("name either drop_folder or sftp_url: where are the files to be left?")
        if self.sftp_url is not None and self.sftp_known_hosts_file is None:
            raise ValueError("sftp_known_hosts_file is missing: without it nobody can tell whose server this is")
        if self.sftp_url is not None and (self.sftp_key_file is None) is (self.sftp_password_file is None):
            raise ValueError("name either sftp_key_file or sftp_password_file")
        return self


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete answer, already within size and time limits. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def retry_after(self) -> timedelta | None:
        """The Retry-After header as a non-negative duration (RFC 9110 §10.2.3), or None."""
        return parse_retry_after(self.headers.get("retry-after"), self.headers.get("date"))


class Http(Protocol):
    """One remote system's HTTP edge: TLS, limits, total deadline and blink retries are already inside."""

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        repeatable: bool | None = None,
    ) -> HttpResponse:
        """Send one request to `path` below the configured base URL and return whatever status came back.

        `repeatable` says that a repeat does no harm (default: by the method, RFC 9110 §9.2.2).
        Raises `TargetUnavailable` when no complete answer came (connection, TLS, deadline, size).
        """
        ...


def _not_offered(*_: object) -> NoReturn:
    raise ConfigError(
        "this place has neither a shelf nor a drop: only a target of a configured bridge is given them"
    )


@dataclass(frozen=True, slots=True)
class Services:
    """What a connector is given instead of building it: its HTTP edge, secrets and the time.

    `http(base_url, timeout)` makes the edge for one base URL; `headers` are sent with every request.
    `secret(path)` reads a secret file (surrounding white space removed) and refuses one that others may read;
    `credential(path)` does the same for bytes (a key, a PKCS#12 file), and changes nothing about them.
    `shared(key, make)` returns what was made first for that key in this process: a limit that several share, say.
    `shelf()` is where a target keeps what others fetch from it, or what goes out as one file; `drop(config)` is
    where it leaves files.
    """

    municipality: str
    institutions: frozenset[str] | None
    http: Callable[..., Http]
    secret: Callable[[Path], str]
    now: Callable[[], datetime]
    credential: Callable[[Path], bytes]
    shared: Callable[[Hashable, Callable[[], Any]], Any] = lambda _, make: make()
    shelf: Callable[[], Shelf] = _not_offered
    drop: Callable[[DropConfig], Drop] = _not_offered


class SnapshotSource(Protocol):
    """Where snapshots of institutions come from."""

    def snapshots(self) -> Iterator[Snapshot | SourceFailure]:
        """Yield what can be had now, one institution at a time; a failure of one does not end the others.

        Raises `SourceUnavailable` when the source as a whole is away, `SourceUnauthorised` when it refuses us.
        """
        ...

    def parse(self, snapshot: Snapshot) -> Iterator[Record]:
        """Yield the records of a snapshot, the `Header` first; pure, so stored bytes can be read again.

        Raises `SnapshotInvalid` for a document that must be refused whole.
        """
        ...

    def taken(self, snapshot: Snapshot) -> None:
        """Learn that the snapshot is recorded (or held) for good; called after the commit, perhaps twice."""
        ...


@runtime_checkable
class Subscribes(Protocol):
    """A source that can be asked institution by institution, each on its own time; optional.

    Up to `concurrency` threads call `fetch` at the same time.
    """

    concurrency: int

    def agreements(self) -> frozenset[str]:
        """Return the institutions that the source would hand over to us now.

        Raises `SourceUnavailable`, `SourceUnauthorised`, or `SnapshotInvalid` for a list that is none.
        """
        ...

    def fetch(self, institution: str) -> Snapshot:
        """Return the institution's snapshot as it is now.

        Raises `SourceUnavailable`, `SourceUnauthorised` (all would fail), `SnapshotInvalid` or `AgreementMissing`.
        """
        ...


@runtime_checkable
class Greets(Protocol):
    """A source that says whom it takes us for, whatever we may have of it; optional."""

    def greeting(self) -> str:
        """Return what the source says, in one line.

        Raises `SourceUnavailable`, `SourceUnauthorised`, `AgreementMissing` or `SnapshotInvalid`.
        """
        ...


@runtime_checkable
class Describes(Protocol):
    """A source that knows more of institutions than their snapshots say; optional.

    Asked every `facts_interval`.
    """

    facts_interval: timedelta

    def describe(self, institutions: Collection[str]) -> Iterable[Institution]:
        """Yield what the register says of these; one that it does not know is left out.

        Raises `SourceUnavailable`, `SourceUnauthorised` or `SnapshotInvalid`.
        """
        ...


@dataclass(frozen=True, slots=True)
class SourceFailure:
    """One institution could not be fetched; `error` says who must act, `origin` which file it was."""

    institution: str | None
    error: SourceUnavailable | SourceUnauthorised | SnapshotInvalid | AgreementMissing
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a target can do.

    `references`: "remote" when bodies must carry the target's own ids, "canonical" when ours.
    `max_batch`: how many commands one `apply` may get. `idempotent_create`: repeating a create whose
    outcome is unknown does no harm. `in_order`: commands are sent one by one, so when `apply` raises,
    those after the first without an outcome were never sent. `inactive`: by resource, the fields of a body that
    put an account to sleep; what leaves is updated with them first, and deleted later.
    """

    references: Literal["remote", "canonical"] = "canonical"
    max_batch: int = 50
    idempotent_create: bool = True
    in_order: bool = True
    inactive: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """Bring one entity at the target to the state that it should have.

    `document` is the rendered, allow-listed body (None for a delete); `previous` is the document that
    the target last confirmed. `identity` are the canonical keys by field name. `in_doubt` says that an
    earlier attempt ended without a known outcome. `version` grows with every step that this target may
    see; `sequence` is the place in the event log up to which the document is told; `cause` is the run, or the
    decision, for which it is sent, and `time` when its institution was last recorded; `delivery_key` is the same
    for every retry of the same step, `traceparent` another one for each attempt (see `trace_headers`).
    `may_create` is False where the entity must not come into being, as when it is only put to sleep: one that is
    gone stays gone, and the outcome is `Unchanged(is_gone=True)`. `is_resent`: what the target has may be
    anything, so it is told all of it, not what differs from `previous`.
    """

    operation: Operation
    resource: str
    kind: str
    id: CanonicalId
    key: Key
    identity: Mapping[str, str]
    document: Mapping[str, Any] | None = field(repr=False)
    previous: Mapping[str, Any] | None = field(repr=False)
    remote_id: str | None
    etag: str | None
    in_doubt: bool
    municipality: str
    institution: str
    version: int
    sequence: int
    cause: str
    time: datetime
    delivery_key: str
    may_create: bool = True
    is_resent: bool = False
    traceparent: str = ""


def trace_headers(commands: Iterable[Command]) -> dict[str, str]:
    """Return the header by which whoever gets a request that is of these commands alone can name it to us.

    It is the first one's traceparent (W3C Trace Context §3.2); none where they are of several traces.
    """
    return common_trace(command.traceparent for command in commands)


class Target(Protocol):
    """A system that is brought to the desired state."""

    capabilities: Capabilities

    def apply(self, batch: Sequence[Command]) -> Iterable[Outcome]:
        """Apply the commands in order and give one outcome each, in the same order.

        A generator may raise `TargetError` after the outcomes of what is done: these count, the rest
        is tried again. An outcome speaks of one entity, an exception of the target as a whole.
        """
        ...

    def probe(self) -> None:
        """Ask the target whether it would take our requests; changes nothing. Raises `TargetError`."""
        ...


@dataclass(frozen=True, slots=True)
class Remote:
    """One thing that a target has.

    `id` is the canonical id that it carries, None where it carries none of that form. `document` has the shape of
    `Command.document`, and may have more.
    """

    resource: str
    remote_id: str
    id: CanonicalId | None
    document: Mapping[str, Any] = field(repr=False)
    etag: str | None = None


@runtime_checkable
class ReadsBack(Protocol):
    """A target that can be asked for all that it has; optional."""

    def read_back(self, resources: Collection[str]) -> Iterator[Remote]:
        """Yield everything that the target has of these resources of the mapping, ours or not, each once.

        Where two of these live at the same place and nobody can tell which one it is, it is yielded as each.

        It is read as it is yielded, a page at a time, and changes nothing. What is not yielded counts as missing,
        so an answer that may not be whole must raise. Raises `TargetError`, as `apply` does.
        """
        ...


@runtime_checkable
class Requires(Protocol):
    """A target that wants to know what it will be sent before it is sent anything; optional."""

    def require(self, resources: Sequence[str]) -> None:
        """Learn which resources the mapping sends, in their order; asks nobody and raises nothing.

        What of them the other side cannot take is for `probe` and for the first `apply` to say.
        """
        ...


@runtime_checkable
class Compares(Protocol):
    """A target that reads back and tells itself what is a difference there; optional, see `differing_fields`."""

    def differing(self, resource: str, sent: Mapping[str, Any], found: Mapping[str, Any]) -> Collection[str]:
        """Name the fields of a document that was sent that the target has otherwise; pure."""
        ...


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What was handed over as a whole: its name, and how many of each collection are in it."""

    name: str
    counts: Mapping[str, int]


@runtime_checkable
class HandsOver(Protocol):
    """A target that is not told entity by entity but given all at once, as a file; optional.

    `apply` keeps what it is told (on its shelf); what leaves the bridge is what `hand_over` makes of it, by
    `Services.drop`, which writes each file into the audit before it goes.
    """

    def hand_over(self) -> HandedOver | None:
        """Hand over what is kept, if anything of it is new and it is time; None when nothing was to be done.

        Called in the thread of `apply`, again and again while nothing is due, every school in scope has been heard
        and none is being read, so what is missing from the shelf is really gone. A kill at any line must do no
        harm: what was not noted as handed over is handed over again. Raises `TargetError`.
        """
        ...


@runtime_checkable
class Serves(Protocol):
    """A target that others fetch from: it offers routes, which the bridge's web server mounts; optional."""

    def application(self, is_open: Callable[[], bool]) -> Callable[..., Any]:
        """Return the ASGI application; it sees paths below its own mount, and lets nobody in without a proof.

        Of whoever has proved who they are, every request that tells of the data asks `is_open` first, and is
        answered 503 while it is False: the target is switched off, or not whole yet, and nobody shall take half of
        it for all. It reads the store, so it is called in a thread and never in the event loop, and it may raise
        `StoreError`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Connector:
    """A system that Skolebro can read from or bring up to date.

    `default_interval` is how often a source is read where the municipality's configuration does not say.
    """

    name: str
    config: type[ConnectorConfig]
    source: Callable[[Any, Services], SnapshotSource] | None = None
    target: Callable[[Any, Services], Target] | None = None
    default_mapping: str | None = None
    default_interval: timedelta = timedelta(minutes=15)

"""A message of a feed ends only once what it brought is committed; one that can never be used ends as dead."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import msgspec

from bridge.connector import Subscribes
from bridge.domain.errors import ConfigError, SnapshotInvalid, SourceUnavailable
from bridge.domain.records import Header, Snapshot
from bridge.engine.fetch import take
from bridge.engine.intake import Intake, Witness, failure_code
from bridge.ports import FEED, WHOLE, Bus, Feed, FeedMessage, Reader, Run, Subscription, UnitOfWork

UNKNOWN_MESSAGE = "unknown_message"
NUDGE_UNREADABLE = "nudge_unreadable"
INSTITUTION_UNREADABLE = "institution_unreadable"
NOT_CONFIGURED = "institution_not_configured"
NOT_AGREED = "institution_not_agreed"

_DOCUMENT_TYPES = frozenset({"application/xml", "text/xml"})
_NUDGE_TYPES = frozenset({"application/json", "application/cloudevents+json"})
_NUDGE_BYTES = 64 * 1024
_START = 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_INSTITUTION = re.compile(r"[A-Za-z0-9]{1,6}")


@runtime_checkable
class ReadsDocuments(Protocol):
    """A source that can also use an export document that came on another way; optional."""

    def document(self, body: bytes, origin: str) -> Snapshot:
        """Return the document as a snapshot, with the digest that this source's own would have."""
        ...


@runtime_checkable
class NamesInstitution(Protocol):
    """A message that may say whose document it brings; optional."""

    institution: str | None


@dataclass(slots=True)
class Inlet:
    """All that the way from a feed to the state needs, for one municipality.

    Raises `ConfigError` when the municipality's source cannot read documents.
    """

    feed: Feed
    intake: Intake
    bus: Bus
    reader: ReadsDocuments = field(init=False)
    must_prove: bool = True  # the store has yet to show that it can be written to
    is_well: bool = False  # and the broker that it answers

    def __post_init__(self) -> None:
        source = self.intake.source
        if not isinstance(source, ReadsDocuments):
            raise ConfigError(
                "feed: this municipality's source cannot read export documents; take the feed out, or use a "
                "connector that can, such as stil or stil-folder"
            )
        self.reader = source


def feed_step(inlet: Inlet, witness: Witness, seconds: float = 5.0) -> int:
    """Bring the next message to its end; return 0 when none came within so many seconds.

    Whatever goes wrong on our side, the message comes again. Raises `SourceUnavailable` when the broker is
    away, and `StoreError` when the store is.
    """
    _prove_store(inlet)
    try:
        message = inlet.feed.receive(seconds)
    except SnapshotInvalid as error:  # the feed itself has put it to the dead letters
        _note(inlet, error.code, error.where or None, witness)
        return 1
    except SourceUnavailable as error:
        _fares_ill(inlet, failure_code(error))
        raise
    if message is None:
        _fares_well(inlet)
        return 0
    try:
        _fares_well(inlet)
        reason = _use(inlet, message, witness)
        if reason is None:
            message.done()
        else:
            message.dead(reason)
    except SourceUnavailable:
        raise  # the broker is away, and has the message back
    except BaseException:
        inlet.must_prove = True
        message.later()
        raise
    return 1


def _prove_store(inlet: Inlet) -> None:
    """Write something before a message is asked for, when the last one failed.

    Brokers count how often a message came back; an outage of the store shall not cost one its life.
    """
    if inlet.must_prove:
        with inlet.intake.store.write() as uow:
            # The time is news at every proof; the same bytes again would not reach the disk.
            uow.put_subscriptions([replace(_row(uow, inlet.intake, FEED), asked_at=inlet.intake.now())])
        inlet.must_prove = False


def _fares_ill(inlet: Inlet, reason: str) -> None:
    """Write down that the broker is away, and why."""
    with inlet.intake.store.write() as uow:
        row = _row(uow, inlet.intake, FEED)
        uow.put_subscriptions([replace(row, failures=row.failures + 1, reason=reason)])
    inlet.is_well = False


def _fares_well(inlet: Inlet) -> None:
    """Forget that the broker was away, if it was."""
    if inlet.is_well:
        return
    with inlet.intake.store.read() as reader:
        was_away = _row(reader, inlet.intake, FEED).failures > 0
    if was_away:
        with inlet.intake.store.write() as uow:
            uow.put_subscriptions([Subscription(inlet.intake.municipality, FEED)])
    inlet.is_well = True


def _use(inlet: Inlet, message: FeedMessage, witness: Witness) -> str | None:
    """Do what the message asks for; return why it never can be done, if so."""
    kind = _kind(message)
    if kind == "document":
        return _take_document(inlet, message, witness)
    reason = _heed_nudge(inlet, message.body) if kind == "nudge" else UNKNOWN_MESSAGE
    if reason is not None:
        _note(inlet, reason, message.origin, witness)
    return reason


def _kind(message: FeedMessage) -> str | None:
    """What the message is by its declared type, or where that says nothing, by how it begins."""
    declared = message.content_type.partition(";")[0].strip().lower()
    begins = message.body[:_START].removeprefix(_BYTE_ORDER_MARK).lstrip()[:1]
    if declared in _DOCUMENT_TYPES or (declared not in _NUDGE_TYPES and begins == b"<"):
        return "document"
    return "nudge" if declared in _NUDGE_TYPES or begins == b"{" else None


# ---------------------------------------------------------------- documents


def _take_document(inlet: Inlet, message: FeedMessage, witness: Witness) -> str | None:
    institution = message.institution if isinstance(message, NamesInstitution) else None
    try:
        if institution is not None and not _INSTITUTION.fullmatch(institution):
            raise SnapshotInvalid(INSTITUTION_UNREADABLE)
        snapshot = inlet.reader.document(message.body, message.origin)
        if not _may_be_taken(inlet.intake, snapshot):
            raise SnapshotInvalid(NOT_AGREED)
    except SnapshotInvalid as error:
        _note(inlet, error.code, message.origin, witness)
        return error.code
    run = take(inlet.intake, replace(snapshot, expected_institution=institution), witness)
    return (run.reason or run.result) if run.result in ("refused", "failed") else None


def _may_be_taken(intake: Intake, snapshot: Snapshot) -> bool:
    """Whether there is an agreement for the institution of a document, where the source knows of agreements.

    Raises `SnapshotInvalid` for a document whose beginning cannot be read.
    """
    if not isinstance(intake.source, Subscribes):
        return True
    try:
        head = next(iter(intake.source.parse(snapshot)), None)
    except SnapshotInvalid:
        raise
    except Exception:
        return True  # a bug of the reader, which is told where the whole document is read
    if not isinstance(head, Header):
        raise SnapshotInvalid("no_institution")
    number = head.institution_number
    if intake.institutions is not None and number not in intake.institutions:
        return True  # the guard holds it
    with intake.store.read() as reader:
        return _is_agreed(_row(reader, intake, number), intake)


def _row(reader: Reader, intake: Intake, institution: str) -> Subscription:
    rows = {row.institution: row for row in reader.subscriptions(intake.municipality)}
    return rows.get(institution, Subscription(intake.municipality, institution))


def _is_agreed(row: Subscription, intake: Intake) -> bool:
    """Whether nothing speaks against it: before the first pass nothing is known of those that are configured."""
    return row.agreement == "agreed" or (row.agreement is None and intake.institutions is not None)


# ---------------------------------------------------------------- nudges


def _heed_nudge(inlet: Inlet, body: bytes) -> str | None:
    """Have the institution fetched soon; return why not, if so."""
    institution = _named(body)
    if institution is None:
        return NUDGE_UNREADABLE
    intake = inlet.intake
    if intake.institutions is not None and institution not in intake.institutions:
        return NOT_CONFIGURED
    if isinstance(intake.source, Subscribes):
        with intake.store.write() as uow:
            if not _want(uow, intake, institution):
                return NOT_AGREED
    inlet.bus.nudge(f"intake/{intake.municipality}")
    return None


def _want(uow: UnitOfWork, intake: Intake, institution: str) -> bool:
    """Write down that the institution is wanted now; say no when there is no agreement for it."""
    row = _row(uow, intake, institution)
    # Before the first pass nothing is known of agreements; it forgets whom it finds none for.
    is_known = row.agreement is not None or _row(uow, intake, WHOLE).asked_at is not None
    if is_known and not _is_agreed(row, intake):
        return False
    uow.put_subscriptions([replace(row, wanted_at=intake.now())])
    return True


def _named(body: bytes) -> str | None:
    """The institution of ``{"institution": …}``, or of a CloudEvent with such data; None for anything else."""
    told = _decoded(body)
    for place in (told, told.get("data")):
        number = place.get("institution") if isinstance(place, dict) else None
        if isinstance(number, str) and _INSTITUTION.fullmatch(number):
            return number
    return None


def _decoded(body: bytes) -> dict[str, Any]:
    if len(body) > _NUDGE_BYTES:
        return {}
    try:
        told = msgspec.json.decode(body.removeprefix(_BYTE_ORDER_MARK))
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


# ---------------------------------------------------------------- what is told


def _note(inlet: Inlet, reason: str, origin: str | None, witness: Witness) -> None:
    """A message that is refused leaves a run, so that somebody looks into the dead letters."""
    intake = inlet.intake
    run = Run(intake.new_id(), intake.municipality, None, intake.now(), "refused", reason, origin, None)
    with intake.store.write() as uow:
        uow.add_run(run)
    witness.run_ended(run, None)

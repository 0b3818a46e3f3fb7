"""Nothing is logged that is not named here: every event with its level, every key with its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, TypedDict

Level = Literal["debug", "info", "warning", "error", "critical"]


class LogEvent(StrEnum):
    """Everything that is worth a line, with the level it is written at and what it means to an operator."""

    level: Level
    text: str

    def __new__(cls, name: str, level: Level, text: str) -> LogEvent:
        member = str.__new__(cls, name)
        member._value_ = name
        member.level = level
        member.text = text
        return member

    APP_STARTED = "app.started", "info", "The bridge runs; every loop has begun."
    APP_STOPPING = "app.stopping", "info", "The bridge was asked to stop and finishes what is in flight."
    APP_STOPPED = "app.stopped", "info", "The bridge has stopped cleanly."
    APP_FAILED = "app.failed", "critical", "An error that nobody caught ended the process or a thread."

    SNAPSHOT_RECORDED = "snapshot.recorded", "info", "A snapshot's changes are committed."
    SNAPSHOT_UNCHANGED = "snapshot.unchanged", "debug", "A snapshot holds nothing new."
    SNAPSHOT_HELD = "snapshot.held", "warning", "A snapshot waits for a person's decision; nothing is changed."
    SNAPSHOT_REFUSED = "snapshot.refused", "warning", "A snapshot is refused whole; what is stored stays."
    SOURCE_FAILED = "source.failed", "warning", "A source or an institution could not be fetched (first time)."
    SOURCE_RECOVERED = "source.recovered", "info", "A source that had failed answers again."
    AGREEMENT_MISSING = "agreement.missing", "warning", "The source says that a data agreement is missing."
    AGREEMENT_WITHDRAWN = "agreement.withdrawn", "warning", "A data agreement ended; what is stored stays."

    DELIVERY_REJECTED = "delivery.rejected", "warning", "A target will not take an entity as it is."
    TARGET_PAUSED = "target.paused", "warning", "A target as a whole cannot be used; no attempt is spent."
    TARGET_DRIFTED = "target.drifted", "warning", "A target has something otherwise than it confirmed; it stays."
    TARGET_RESTORED = "target.restored", "info", "What a target had otherwise is being set right."
    TARGET_KEEPS = "target.keeps", "warning", "A target keeps changing something back; it is left so now."
    TARGET_UNREAD = "target.unread", "warning", "A target could not be read back; nothing is concluded from that."
    TARGET_RESUMED = "target.resumed", "info", "A paused target takes deliveries again."

    TARGET_HANDED_OVER = "target.handed_over", "info", "All that a target keeps has left as a whole, as a file."

    SERVING_FAILED = "serving.failed", "error", "What a target serves broke on a request, which got a plain 500."

    HISTORY_COMPACTED = "history.compacted", "info", "Events beyond their retention are gone; living states stay."

    NOTICE_SENT = "notice.sent", "info", "People were told of holds, or that they have waited long."
    NOTICE_FAILED = "notice.failed", "warning", "People cannot be told in one way (first time); it is tried again."
    NOTICE_RECOVERED = "notice.recovered", "info", "A way of telling people that had failed works again."
    NOTICE_REFUSED = "notice.refused", "warning", "The mail server refused some recipients; the others were told."

    QUEUE_MADE = (
        "queue.made",
        "warning",
        "Configured queues were not there: they are made and filled from the log.",
    )

    BUS_LOST = "bus.lost", "warning", "The broker for nudges is away; loops look for themselves meanwhile."
    BUS_RECOVERED = "bus.recovered", "info", "The broker for nudges is back."

    AUDIT_RESOLVED = "audit.resolved", "info", "Attempts that a crash left open were closed as unknown."
    STORE_FAILED = "store.failed", "error", "The store cannot be read or written (first time)."
    LOOP_FAILED = "loop.failed", "error", "A loop's step failed (first time); it goes on trying."
    LEASE_LOST = "lease.lost", "error", "Another process has taken over from this one; it ends."
    LEASE_UNSURE = "lease.unsure", "warning", "The database does not take our sign of life; we stop if that lasts."
    LOOP_HUNG = "loop.hung", "error", "A loop does not come round; the service manager gets no sign of life."
    LOOP_LEFT = "loop.left", "warning", "A loop did not end in time; what it was at is done again after a start."
    LOOP_RECOVERED = "loop.recovered", "info", "A loop that had failed works again."

    WEB_STARTED = "web.started", "info", "The status page answers."
    WEB_STOPPED = "web.stopped", "info", "The status page is gone."
    MONITOR_STARTED = "monitor.started", "info", "Health and metrics of this process answer."
    MONITOR_STOPPED = "monitor.stopped", "info", "Health and metrics of this process are gone."
    THIRD_PARTY = "thirdparty.log", "warning", "A library's own warning: its template, never its values."


class Keys(TypedDict, total=False):
    """What a log line may carry besides ts, level and event. Ids, numbers and codes; never a person's data."""

    municipality: str
    institution: str | None
    target: str | None
    source: str
    run: str
    trace_id: str
    entity: str
    id: str
    hold: int
    subject: str
    loop: str
    count: int
    counts: Mapping[str, int]
    changes: int
    quarantined: int
    attempt: int
    duration_ms: float
    outcome: str
    reason: str | None
    field: str | None
    file: str
    error: str | BaseException
    text: str
    where: str
    cause: str
    sequence: int
    origin: str | None
    role: str
    version: str
    host: str
    port: int
    until: str
    logger: str
    template: str
    way: str


KEY_TEXTS: Mapping[str, str] = {
    "ts": "when it was written, UTC",
    "level": "debug, info, warning, error or critical",
    "event": "the stable name of what happened",
    "municipality": "municipality code",
    "institution": "institution number",
    "target": "target id, <municipality>/<name>",
    "source": "what beside its institutions a source is asked: register",
    "run": "id of the snapshot run",
    "trace_id": "W3C trace id of the run or decision; `skolebro trace --id` tells all of it",
    "entity": "entity kind",
    "id": "canonical id of an entity",
    "hold": "number of a hold",
    "subject": "what a hold is about: snapshot or target",
    "loop": "name of a loop",
    "count": "how many",
    "counts": "how many of each <entity>.<operation>, or of each collection",
    "changes": "changes recorded",
    "quarantined": "records set aside",
    "attempt": "number of the attempt",
    "duration_ms": "how long it took, milliseconds",
    "outcome": "code of what became of it",
    "reason": "code of why",
    "field": "name of a field, never its value",
    "file": "name of a file that was handed over",
    "error": "type name of the error",
    "text": "the error's own text, only where it is one of ours",
    "where": "file and line of the innermost frame of ours",
    "cause": "type name of the error beneath",
    "sequence": "number in a municipality's event log",
    "origin": "where a snapshot came from",
    "role": "which part of the bridge a process plays",
    "version": "version of the bridge",
    "host": "address that is listened on",
    "port": "port that is listened on",
    "until": "a time, UTC",
    "logger": "name of a library's logger",
    "template": "a library's message before its values are filled in",
    "way": "how people are told: mail or webhook",
}
"""Every key that may reach the log; whatever is not here is dropped and counted."""

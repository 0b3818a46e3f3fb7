"""The closed sets that metric labels come from; anything else is "other", so the number of series is bounded."""

from __future__ import annotations

from collections.abc import Collection

from bridge.domain.anomalies import AnomalyCode
from bridge.observe.reasons import WORDS

OTHER = "other"

FETCH_RESULTS = frozenset({"recorded", "unchanged", "held", "refused", "failed"})
OUTCOMES = frozenset({"delivered", "unchanged", "rejected", "deferred", "unknown"})
PUBLISH_RESULTS = frozenset({"ack", "closed", "nack", "timeout", "unreachable", "unroutable"})
AUDIT_KINDS = frozenset(
    {
        "disclosure.handed_over",
        "disclosure.handing_over",
        "disclosure.intent",
        "disclosure.outcome",
        "events.replay",
        "events.replayed",
        "history.read",
        "hold.opened",
        "hold.approval",
        "hold.approval_expired",
        "hold.approved",
        "hold.rejected",
        "hold.released",
        "hold.reopened",
        "hold.superseded",
        "people.shown",
        "person.kept",
        "person.let_go",
        "drift.retried",
        "target.restored",
        "target.rendered",
        "target.resync",
        "report.read",
        "deliveries.retried",
        "roll.withdrawn",
        "target.activated",
        "target.forgotten",
        "target.resumed",
        "target.retired",
        "roll.expected",
        "roll.proposed",
        "deletions.recorded",
        "snapshot.recorded",
        "trace.read",
    }
)
HAND_OVERS = frozenset({"handed_over", "failed"})
NOTICE_KINDS = frozenset({"opened", "reminder", "test"})
NOTICE_RESULTS = frozenset({"sent", "failed"})
AGREEMENTS = frozenset({"agreed", "missing", "withdrawn", "unused"})
ANOMALIES = frozenset(code.value for code in AnomalyCode)
HOLD_SUBJECTS = frozenset({"snapshot", "deletions", "target", "drift"})
HOLD_REASONS = frozenset(
    {
        "empty",
        "from_future",
        "many_created",
        "many_updated",
        "mapping_removes",
        "older",
        "other_system",
        "part_of_a_hold",
        "rest_of_a_part",
        "same_time",
        "school_year",
        "shrunken",
        "target_drifted",
        "target_grows",
        "target_rewritten",
        "target_shrinks",
        "unprotected",
        "wrong_institution",
    }
)
PAUSE_REASONS = frozenset(
    {
        "answer_cut",
        "answer_malformed",
        "answer_too_large",
        "connect_failed",
        "connection_lost",
        "connector_error",
        "contract_broken",
        "gone",
        "retired",
        "shadow",
        "disk_full",
        "file_cut",
        "file_too_large",
        "folder_failed",
        "folder_missing",
        "sftp_failed",
        "many_deferred",
        "status_429",
        "status_502",
        "status_503",
        "status_504",
        "timeout",
        "tls_failed",
        "unauthorised",
        "unavailable",
    }
)
REFUSALS = frozenset(WORDS)


def label(value: str | None, known: Collection[str]) -> str:
    """Return the value where the set has it, else "other"."""
    return str(value) if value in known else OTHER

"""The closed sets that metric labels come from; anything else is "other", so the number of series is bounded."""

from __future__ import annotations

from collections.abc import Collection

from bridge.observe.reasons import WORDS

OTHER = "other"

FETCH_RESULTS = frozenset({"recorded", "unchanged", "held", "refused", "failed"})
OUTCOMES = frozenset({"delivered", "unchanged", "rejected", "deferred", "unknown"})
PUBLISH_RESULTS = frozenset({"ack", "closed", "nack", "timeout", "unreachable", "unroutable"})
AUDIT_KINDS = frozenset(
    {
        "disclosure.intent",
        "disclosure.outcome",
        "hold.opened",
        "hold.approved",
        "hold.rejected",
        "snapshot.recorded",
    }
)
AGREEMENTS = frozenset({"agreed", "missing", "withdrawn", "unused"})
HOLD_SUBJECTS = frozenset({"snapshot", "target"})
HOLD_REASONS = frozenset(
    {"empty", "mapping_removes", "other_system", "from_future", "older", "shrunken", "wrong_institution"}
)
PAUSE_REASONS = frozenset(
    {
        "answer_cut",
        "answer_malformed",
        "answer_too_large",
        "connect_failed",
        "connection_lost",
        "contract_broken",
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

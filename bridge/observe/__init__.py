"""Every metric and every log event of the bridge is named here once, and none can carry personal data."""

from bridge.observe.catalogue import KEY_TEXTS, Keys, LogEvent
from bridge.observe.log import Logger, configure_logging, install_excepthook, log
from bridge.observe.metrics import EXPOSITION_TYPE, Metrics
from bridge.observe.quarantine_reasons import Meaning, meaning_of
from bridge.observe.reasons import AGREEMENT_MISSING, AGREEMENT_WITHDRAWN, explained, in_words, needs_person
from bridge.observe.status import (
    AnomalyStatus,
    HoldStatus,
    InstitutionStatus,
    MunicipalityStatus,
    PublishStatus,
    QuarantinedStatus,
    Status,
    TargetStatus,
    as_json,
)
from bridge.observe.target_reasons import BROKER_WORDS, explained_target

__all__ = [
    "AGREEMENT_MISSING",
    "AGREEMENT_WITHDRAWN",
    "BROKER_WORDS",
    "EXPOSITION_TYPE",
    "KEY_TEXTS",
    "AnomalyStatus",
    "HoldStatus",
    "InstitutionStatus",
    "Keys",
    "LogEvent",
    "Logger",
    "Meaning",
    "Metrics",
    "MunicipalityStatus",
    "PublishStatus",
    "QuarantinedStatus",
    "Status",
    "TargetStatus",
    "as_json",
    "configure_logging",
    "explained",
    "explained_target",
    "in_words",
    "install_excepthook",
    "log",
    "meaning_of",
    "needs_person",
]

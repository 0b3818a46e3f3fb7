"""Every series that a process of the bridge can show, by name, with its labels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.domain.ids import TargetId
from bridge.observe import HoldStatus, InstitutionStatus, Metrics, MunicipalityStatus, Status, TargetStatus
from bridge.observe.status import AnomalyStatus

_NOW = datetime(2026, 11, 26, 6, tzinfo=UTC)
_HOME, _SCHOOL, _TARGET = "0751", "101001", "0751/platform"


def _status() -> Status:
    """One of each thing that a gauge shows."""
    target = TargetStatus(
        TargetId(_TARGET), 1, 1, 0, 1, _NOW, _NOW, "timeout", 1, _NOW, changes={"accepted": 1}, reconciled_at=_NOW
    )
    school = InstitutionStatus(_HOME, _SCHOOL, _NOW, _NOW, "recorded", None, _NOW, 0.0, agreement="agreed")
    hold = HoldStatus(1, _HOME, _SCHOOL, "snapshot", None, ("empty",), {}, _NOW)
    return Status(
        at=_NOW,
        attention=(),
        municipalities=(MunicipalityStatus(_HOME, 1, 1, 1, {"agreed": 1}),),
        institutions=(school,),
        targets=(target,),
        holds=(hold,),
        quarantined=1,
        audit_head="",
        anomalies=(AnomalyStatus(_HOME, _SCHOOL, {"teacher_in_no_group": 1}),),
    )


def _busy() -> Metrics:
    """A process that has done each thing that is counted once."""
    metrics, moment = Metrics("0"), timedelta(seconds=1)
    metrics.refresh(_status())
    metrics.fetched(_HOME, "recorded")
    metrics.refused("older")
    metrics.changed("person", "created")
    metrics.delivered(_TARGET, "delivered")
    metrics.delivery_took(_TARGET, moment)
    metrics.source_took(_HOME, moment)
    metrics.confirmed_after(_TARGET, moment)
    metrics.retried(_TARGET)
    metrics.handed_over(_TARGET, "failed")
    metrics.responded(_TARGET, 200)
    metrics.served(_TARGET, 200)
    metrics.audited("hold.opened")
    metrics.published("ack")
    metrics.noticed("opened", "sent")
    metrics.ticked("watch", _NOW)
    metrics.log_keys_dropped(1)
    return metrics


def all_series() -> dict[str, frozenset[str]]:
    """The labels of each series, by its name; without the times at which counters began."""
    return {
        sample.name: frozenset(sample.labels)
        for family in _busy().registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }

"""Whatever a stage has to tell becomes a log line and a number: once when it goes bad, once when it recovers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from threading import Lock

from bridge.connector import HandedOver
from bridge.domain.errors import StoreError
from bridge.domain.outcomes import Outcome, Rejected
from bridge.domain.tracing import trace_id
from bridge.engine.detect import Detection
from bridge.engine.reconcile import Report
from bridge.observe import AGREEMENT_MISSING, AGREEMENT_WITHDRAWN, LogEvent, Metrics, log
from bridge.ports import Delivery, Notice, NoticeFailed, Run, TargetState

_RUN_EVENTS = {
    "recorded": LogEvent.SNAPSHOT_RECORDED,
    "unchanged": LogEvent.SNAPSHOT_UNCHANGED,
    "held": LogEvent.SNAPSHOT_HELD,
    "refused": LogEvent.SNAPSHOT_REFUSED,
    "failed": LogEvent.SOURCE_FAILED,
}
_Place = tuple[str, str | None, str | None]
_AGREEMENT_EVENTS = {
    AGREEMENT_MISSING: LogEvent.AGREEMENT_MISSING,
    AGREEMENT_WITHDRAWN: LogEvent.AGREEMENT_WITHDRAWN,
}


class Teller:
    """The witness of fetch, deliver and loops. Safe to share between threads."""

    def __init__(self, metrics: Metrics, now: Callable[[], datetime]) -> None:
        self._metrics = metrics
        self._now = now
        self._lock = Lock()
        self._last: dict[_Place, tuple[str, str | None]] = {}

    # -------------------------------------------------------- fetch

    def run_ended(self, run: Run, detection: Detection | None) -> None:
        self._metrics.fetched(run.municipality, run.result)
        if run.result == "refused":
            self._metrics.refused(run.reason or "other")
        if run.result == "recorded" and detection is not None:
            self._count(detection)
        self._tell_run(run)

    def source_recovered(self, municipality: str) -> None:
        with self._lock:
            self._last.pop((municipality, None, None), None)
        log.emit(LogEvent.SOURCE_RECOVERED, municipality=municipality)

    def _count(self, detection: Detection) -> None:
        steps = Counter((change.kind.value, change.operation.value) for change in detection.changes)
        for (entity, operation), number in steps.items():
            self._metrics.changed(entity, operation, number)

    def _tell_run(self, run: Run) -> None:
        """Held, refused and failed are told when they begin and when they end, not at every poll."""
        # What names no institution is of the whole source, or of the file or queue that it came from.
        place: _Place = (run.municipality, run.institution, None if run.institution else run.origin)
        end = (run.result, run.reason)
        with self._lock:
            before = self._last.get(place, ("", None))
            self._last[place] = end
        if before == end and run.result in ("held", "refused", "failed"):
            return
        if before[0] == "failed" != run.result:
            log.emit(
                LogEvent.SOURCE_RECOVERED,
                municipality=run.municipality,
                institution=run.institution,
                trace_id=trace_id(run.id),
            )
        log.emit(
            _AGREEMENT_EVENTS.get(run.reason or "", _RUN_EVENTS[run.result]),
            municipality=run.municipality,
            institution=run.institution,
            run=run.id,
            trace_id=trace_id(run.id),
            reason=run.reason,
            changes=run.changes,
            quarantined=run.quarantined,
            origin=run.origin if run.result == "refused" else None,
        )

    # -------------------------------------------------------- deliver

    def delivered(self, target: str, delivery: Delivery, outcome: Outcome, at: datetime) -> None:
        self._metrics.delivered(target, type(outcome).__name__.lower())
        if delivery.attempts:
            self._metrics.retried(target)
        if isinstance(outcome, Rejected):
            log.emit(
                LogEvent.DELIVERY_REJECTED,
                target=target,
                entity=delivery.kind.value,
                id=delivery.id,
                reason=outcome.reason,
                field=outcome.field,
                trace_id=trace_id(delivery.cause),
            )
        elif delivery.desired is not None:
            self._metrics.confirmed_after(target, at - delivery.updated_at)

    def paused(self, before: TargetState, after: TargetState) -> None:
        """One alert a pause: longer pauses for the same reason are silent."""
        if before.failures and before.pause_reason == after.pause_reason:
            return
        until = after.paused_until.isoformat() if after.paused_until else ""
        log.emit(LogEvent.TARGET_PAUSED, target=after.target, reason=after.pause_reason, until=until)

    def resumed(self, before: TargetState) -> None:
        log.emit(LogEvent.TARGET_RESUMED, target=before.target, attempt=before.failures)

    def handed_over(self, target: str, what: HandedOver) -> None:
        self._metrics.handed_over(target, "handed_over")
        log.emit(LogEvent.TARGET_HANDED_OVER, target=target, file=what.name, counts=dict(what.counts))

    def hand_over_failed(self, target: str) -> None:
        self._metrics.handed_over(target, "failed")

    # -------------------------------------------------------- serve

    def answered(self, target: str, status: int) -> None:
        self._metrics.served(target, status)

    def serving_failed(self, target: str, error: Exception) -> None:
        log.emit(LogEvent.SERVING_FAILED, target=target, error=error)

    # -------------------------------------------------------- reconcile

    def reconciled(self, before: TargetState, report: Report) -> None:
        """What stays as it is is told when its number changes; what is given up, once."""
        if report.mended:
            log.emit(LogEvent.TARGET_RESTORED, target=report.target, count=len(report.mended))
        if report.left and report.left != before.drifted:
            log.emit(LogEvent.TARGET_DRIFTED, target=report.target, count=report.left)
        if report.parked:
            log.emit(LogEvent.TARGET_KEEPS, target=report.target, count=report.parked)

    def unread(self, target: str, reason: str) -> None:
        log.emit(LogEvent.TARGET_UNREAD, target=target, reason=reason)

    def crashed(self, target: str, error: Exception) -> None:
        log.emit(LogEvent.LOOP_FAILED, loop=f"deliver/{target}", target=target, error=error)

    # -------------------------------------------------------- notices

    def notice_sent(self, way: str, notice: Notice) -> None:
        self._metrics.noticed(notice.kind, "sent")
        log.emit(
            LogEvent.NOTICE_SENT,
            way=way,
            municipality=notice.municipality,
            outcome=notice.kind,
            count=len(notice.holds),
        )

    def notice_failed(self, way: str, notice: Notice, error: NoticeFailed, *, is_first: bool) -> None:
        self._metrics.noticed(notice.kind, "failed")
        if is_first:
            log.emit(LogEvent.NOTICE_FAILED, way=way, municipality=notice.municipality, error=error)

    def notice_recovered(self, way: str) -> None:
        log.emit(LogEvent.NOTICE_RECOVERED, way=way)

    # -------------------------------------------------------- loops

    def ticked(self, loop: str) -> None:
        self._metrics.ticked(loop, self._now())

    def failed(self, loop: str, error: Exception) -> None:
        event = LogEvent.STORE_FAILED if isinstance(error, StoreError) else LogEvent.LOOP_FAILED
        log.emit(event, loop=loop, error=error)

    def recovered(self, loop: str) -> None:
        log.emit(LogEvent.LOOP_RECOVERED, loop=loop)

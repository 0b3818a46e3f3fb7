"""The gauges that mirror the store: one status in, one consistent set of series out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bridge.observe.labels import AGREEMENTS, ANOMALIES, HOLD_REASONS, HOLD_SUBJECTS, PAUSE_REASONS, label
from bridge.observe.status import HoldStatus, Status

_Sample = tuple[tuple[str, ...], float]


class StatusGauges(Collector):
    """A collector over the status last shown; swapping the status is one assignment, so no scrape is torn."""

    def __init__(self) -> None:
        self._status: Status | None = None

    def show(self, status: Status) -> None:
        self._status = status

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every gauge; nothing before the first status."""
        if (status := self._status) is None:
            return
        yield from _sources(status)
        yield from _subscriptions(status)
        yield from _targets(status)
        yield from _holds(status.holds)


def _sources(status: Status) -> Iterator[GaugeMetricFamily]:
    yield _gauge(
        "source_last_success_timestamp_seconds",
        "When an institution's data were last known to be the newest.",
        ("municipality", "institution"),
        [((i.municipality, i.name), _time(i.fresh_at)) for i in status.institutions if i.fresh_at],
    )
    yield _gauge(
        "source_snapshot_persons",
        "Living persons.",
        ("municipality",),
        [((m.municipality,), m.persons) for m in status.municipalities],
    )
    yield _gauge(
        "events_unpublished",
        "Events that are not published to the broker yet.",
        ("municipality",),
        [((m.municipality,), m.publish.waiting) for m in status.municipalities if m.publish],
    )
    yield _gauge(
        "quarantined_records",
        "Records set aside.",
        ("municipality",),
        [((m.municipality,), m.quarantined) for m in status.municipalities],
    )
    yield _gauge(
        "anomalies",
        "What a school can mend at the source; a rule that finds nothing has no series.",
        ("municipality", "institution", "code"),
        [
            ((row.municipality, row.institution, label(code, ANOMALIES)), number)
            for row in status.anomalies
            for code, number in row.counts.items()
        ],
    )


def _subscriptions(status: Status) -> Iterator[GaugeMetricFamily]:
    subscribed = [row for row in status.institutions if row.agreement or row.failures]
    yield _gauge(
        "source_agreements",
        "Institutions by the state of their data agreement.",
        ("municipality", "state"),
        [
            ((m.municipality, state), m.agreements.get(state, 0))
            for m in status.municipalities
            for state in sorted(AGREEMENTS)
            if m.agreements
        ],
    )
    yield _gauge(
        "source_failures",
        "Failures in a row, since the last success of an institution, or of the source, its register or the feed.",
        ("municipality", "institution"),
        [((i.municipality, i.name), i.failures) for i in subscribed],
    )


def _targets(status: Status) -> Iterator[GaugeMetricFamily]:
    rows = status.targets
    yield _gauge("outbox_pending", "Entities due.", ("target",), [((t.target,), t.due) for t in rows])
    yield _gauge(
        "outbox_oldest_timestamp_seconds",
        "Since when the oldest due entity waits; 0 when none does.",
        ("target",),
        [((t.target,), _time(t.oldest_due_at)) for t in rows],
    )
    yield _gauge(
        "changes",
        "Changes of the source by where they ended at a target; all but accepted add up to accepted.",
        ("target", "status"),
        [((t.target, name), number) for t in rows for name, number in t.changes.items()],
    )
    lost = sum(t.imbalance for t in rows)
    yield _gauge("conservation_imbalance", "Changes that ended nowhere; must be 0.", (), [((), lost)])
    read = [t for t in rows if t.reconciled_at]
    yield _gauge(
        "drift_entities",
        "Entities that a target has otherwise than it confirmed, and that stay so.",
        ("target",),
        [((t.target,), t.drifted) for t in read],
    )
    yield _gauge(
        "last_reconcile_timestamp_seconds",
        "When all that a target has was last read back.",
        ("target",),
        [((t.target,), _time(t.reconciled_at)) for t in read],
    )
    yield _gauge("dead_letters", "Entities rejected now.", ("target",), [((t.target,), t.rejected) for t in rows])
    yield _gauge(
        "target_paused",
        "1 while the target is paused.",
        ("target", "reason"),
        [((t.target, label(t.pause_reason, PAUSE_REASONS)), 1.0) for t in rows if t.paused_until],
    )


def _holds(holds: tuple[HoldStatus, ...]) -> Iterator[GaugeMetricFamily]:
    pending = Counter(label(hold.subject, HOLD_SUBJECTS) for hold in holds)
    oldest = {subject: _time(_oldest(holds, subject)) for subject in pending}
    stops = {(hold.municipality, label(reason, HOLD_REASONS)) for hold in holds for reason in hold.reasons}
    yield _gauge(
        "approvals_pending", "Open holds.", ("kind",), [((kind,), pending[kind]) for kind in sorted(HOLD_SUBJECTS)]
    )
    yield _gauge(
        "approval_oldest_timestamp_seconds",
        "Since when the oldest open hold waits.",
        ("kind",),
        [((kind,), at) for kind, at in sorted(oldest.items())],
    )
    yield _gauge(
        "safety_stop_engaged",
        "1 while a hold with this reason is open.",
        ("municipality", "kind"),
        [(stop, 1.0) for stop in sorted(stops)],
    )


def _oldest(holds: Iterable[HoldStatus], subject: str) -> datetime:
    return min(hold.opened_at for hold in holds if label(hold.subject, HOLD_SUBJECTS) == subject)


def _gauge(name: str, text: str, labels: tuple[str, ...], samples: Iterable[_Sample]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"bridge_{name}", text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _time(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0

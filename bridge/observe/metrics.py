"""Every number the bridge exposes, under one prefix, with labels from configuration or closed sets only."""

from __future__ import annotations

import platform
from collections.abc import Collection
from datetime import datetime, timedelta
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bridge.domain.changes import Operation
from bridge.domain.entities import PUBLISHED_KINDS
from bridge.observe.gauges import StatusGauges
from bridge.observe.labels import (
    AUDIT_KINDS,
    FETCH_RESULTS,
    HAND_OVERS,
    NOTICE_KINDS,
    NOTICE_RESULTS,
    OUTCOMES,
    PUBLISH_RESULTS,
    REFUSALS,
    label,
)
from bridge.observe.status import Status

EXPOSITION_TYPE = CONTENT_TYPE_LATEST
PREFIX = "bridge"

_CALL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SOURCE_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_LATENCY_BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)


class Metrics:
    """One process's metrics in a registry of their own; safe to use from any thread.

    Counters are told by the engine as things happen. Gauges that mirror the store come from the
    status last given to `refresh`, so a target or institution that is gone leaves no stale series.
    """

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self._status = StatusGauges()
        self.registry.register(self._status)
        self._gauge("build_info", "The running version.", "version", "python").labels(
            version, platform.python_version()
        ).set(1)
        self._fetches = self._counter("source_fetches", "Snapshots asked for.", "source", "result")
        self._refusals = self._counter("source_refusals", "Snapshots refused whole.", "reason")
        self._changes = self._counter("changes_detected", "Changes recorded.", "entity", "op")
        self._deliveries = self._counter("deliveries", "What became of each sent entity.", "target", "outcome")
        self._retries = self._counter("retries", "Attempts after the first.", "target")
        self._hand_overs = self._counter("hand_overs", "All that a target keeps, as a file.", "target", "result")
        self._served = self._counter("served_requests", "Answers to who fetches.", "target", "code_class")
        self._responses = self._counter("http_responses", "Answers by class.", "target", "code_class")
        self._audit = self._counter("audit_records", "Records added to the audit chain.", "kind")
        self._published = self._counter("publish", "Events given to the broker.", "result")
        self._notices = self._counter("notices", "Messages to people that something waits.", "kind", "result")
        self._dropped = self._counter("log_keys_dropped", "Log keys that the catalogue does not have.")
        self._durations = self._histogram("delivery_duration_seconds", "One call.", _CALL_BUCKETS)
        self._source_durations = self._histogram(
            "source_fetch_duration_seconds", "One call to a source.", _SOURCE_BUCKETS, "source"
        )
        self._latency = self._histogram("end_to_end_latency_seconds", "Recorded to confirmed.", _LATENCY_BUCKETS)
        self._ticks = self._gauge("loop_ticks_timestamp_seconds", "When a loop last came round.", "loop")

    def refresh(self, status: Status) -> None:
        """Let the gauges show this status from now on."""
        self._status.show(status)

    def exposition(self) -> bytes:
        """Return everything in the Prometheus text format (`EXPOSITION_TYPE`)."""
        return generate_latest(self.registry)

    def fetched(self, source: str, result: str) -> None:
        """Count a snapshot that was asked for; `result` as in `Run.result`."""
        self._fetches.labels(source, label(result, FETCH_RESULTS)).inc()

    def refused(self, reason: str) -> None:
        self._refusals.labels(label(reason, REFUSALS)).inc()

    def changed(self, entity: str, operation: str, count: int = 1) -> None:
        self._changes.labels(label(entity, PUBLISHED_KINDS), label(operation, tuple(Operation))).inc(count)

    def delivered(self, target: str, outcome: str, count: int = 1) -> None:
        """Count outcomes: delivered, unchanged, rejected, deferred or unknown."""
        self._deliveries.labels(target, label(outcome, OUTCOMES)).inc(count)

    def delivery_took(self, target: str, duration: timedelta) -> None:
        self._durations.labels(target).observe(duration.total_seconds())

    def source_took(self, municipality: str, duration: timedelta) -> None:
        self._source_durations.labels(municipality).observe(duration.total_seconds())

    def confirmed_after(self, target: str, latency: timedelta) -> None:
        """Observe how long a recorded change took until the target confirmed it."""
        self._latency.labels(target).observe(max(0.0, latency.total_seconds()))

    def retried(self, target: str, count: int = 1) -> None:
        self._retries.labels(target).inc(count)

    def handed_over(self, target: str, result: str) -> None:
        """Count an attempt to hand over: handed_over or failed."""
        self._hand_overs.labels(target, label(result, HAND_OVERS)).inc()

    def responded(self, target: str, status: int) -> None:
        """Count an HTTP answer by its class, 1xx to 5xx; 0 or nonsense is "other"."""
        self._responses.labels(target, _code_class(status)).inc()

    def served(self, target: str, status: int) -> None:
        """Count an answer that a target gave to somebody who fetches from it, by its class."""
        self._served.labels(target, _code_class(status)).inc()

    def audited(self, kind: str, count: int = 1) -> None:
        self._audit.labels(label(kind, AUDIT_KINDS)).inc(count)

    def published(self, result: str, count: int = 1) -> None:
        """Count events by result: "ack", or the reason of the `TargetUnavailable` that ended the attempt."""
        self._published.labels(label(result.partition(":")[0], PUBLISH_RESULTS)).inc(count)

    def noticed(self, kind: str, result: str) -> None:
        """Count a message to people; `kind` as in `Notice.kind`, `result` "sent" or "failed"."""
        self._notices.labels(label(kind, NOTICE_KINDS), label(result, NOTICE_RESULTS)).inc()

    def ticked(self, loop: str, at: datetime) -> None:
        self._ticks.labels(loop).set(at.timestamp())

    def log_keys_dropped(self, count: int) -> None:
        self._dropped.inc(count)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Collection[float], of: str = "target") -> Histogram:
        return Histogram(name, text, (of,), namespace=PREFIX, registry=self.registry, buckets=tuple(buckets))


def _code_class(status: int) -> str:
    in_range = HTTPStatus.CONTINUE <= status < 600
    return f"{status // 100}xx" if in_range else "other"

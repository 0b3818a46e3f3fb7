"""Internal ports: what the engine needs of a store, a bus and a clock, and nothing of how they do it."""

from bridge.ports.audit import AuditRow, AuditStore
from bridge.ports.deliveries import (
    STUCK_AFTER,
    URGENT,
    Delivery,
    DeliveryCounts,
    DeliveryStore,
    Desired,
    Ledger,
    TargetState,
)
from bridge.ports.drift import Drift, DriftStore
from bridge.ports.entities import EntityRow, EntityStore
from bridge.ports.events import EventLog
from bridge.ports.intake import (
    FEED,
    PARTS,
    REGISTER,
    WHOLE,
    Approval,
    ExpectedRoll,
    Hold,
    InstitutionState,
    IntakeStore,
    KeptPerson,
    QuarantineRow,
    Run,
    Subject,
    Subscription,
)
from bridge.ports.news import FROM_FEED, Bus, EventPublisher, Feed, FeedMessage
from bridge.ports.store import Reader, Store, UnitOfWork
from bridge.ports.times import Clock, Random

__all__ = [
    "FEED",
    "FROM_FEED",
    "PARTS",
    "REGISTER",
    "STUCK_AFTER",
    "URGENT",
    "WHOLE",
    "Approval",
    "AuditRow",
    "AuditStore",
    "Bus",
    "Clock",
    "Delivery",
    "DeliveryCounts",
    "DeliveryStore",
    "Desired",
    "Drift",
    "DriftStore",
    "EntityRow",
    "EntityStore",
    "EventLog",
    "EventPublisher",
    "ExpectedRoll",
    "Feed",
    "FeedMessage",
    "Hold",
    "InstitutionState",
    "IntakeStore",
    "KeptPerson",
    "Ledger",
    "QuarantineRow",
    "Random",
    "Reader",
    "Run",
    "Store",
    "Subject",
    "Subscription",
    "TargetState",
    "UnitOfWork",
]

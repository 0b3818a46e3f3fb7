"""Internal ports: what the engine needs of a store, a bus and a clock, and nothing of how they do it."""

from bridge.ports.audit import AuditRow, AuditStore
from bridge.ports.deliveries import STUCK_AFTER, Delivery, DeliveryCounts, DeliveryStore, Desired, TargetState
from bridge.ports.entities import EntityRow, EntityStore
from bridge.ports.events import EventLog
from bridge.ports.intake import (
    FEED,
    PARTS,
    REGISTER,
    WHOLE,
    Hold,
    InstitutionState,
    IntakeStore,
    QuarantineRow,
    Run,
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
    "WHOLE",
    "AuditRow",
    "AuditStore",
    "Bus",
    "Clock",
    "Delivery",
    "DeliveryCounts",
    "DeliveryStore",
    "Desired",
    "EntityRow",
    "EntityStore",
    "EventLog",
    "EventPublisher",
    "Feed",
    "FeedMessage",
    "Hold",
    "InstitutionState",
    "IntakeStore",
    "QuarantineRow",
    "Random",
    "Reader",
    "Run",
    "Store",
    "Subscription",
    "TargetState",
    "UnitOfWork",
]

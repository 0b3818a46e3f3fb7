"""One YAML file becomes frozen settings; every mistake is one sentence: file, line, key, what is allowed."""

from bridge.config.load import load_settings
from bridge.config.notices import MailSection, NoticeSettings, WebhookSection
from bridge.config.presets import package_presets
from bridge.config.secrets import credential_reader, explained, read_credential, read_secret, secret_reader
from bridge.config.sections import (
    BrokerSection,
    FeedSection,
    GuardSection,
    MunicipalitySettings,
    QueueSection,
    ScheduleSettings,
    Settings,
    SourceSettings,
    TargetGuardSection,
    TargetSettings,
)
from bridge.config.vendor_queues import queue_name
from bridge.config.vendors import VendorSection, VendorSettings, require_different, token_digest

__all__ = [
    "BrokerSection",
    "FeedSection",
    "GuardSection",
    "MailSection",
    "MunicipalitySettings",
    "NoticeSettings",
    "QueueSection",
    "ScheduleSettings",
    "Settings",
    "SourceSettings",
    "TargetGuardSection",
    "TargetSettings",
    "VendorSection",
    "VendorSettings",
    "WebhookSection",
    "credential_reader",
    "explained",
    "load_settings",
    "package_presets",
    "queue_name",
    "read_credential",
    "read_secret",
    "require_different",
    "secret_reader",
    "token_digest",
]

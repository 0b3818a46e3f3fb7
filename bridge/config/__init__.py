"""One YAML file becomes frozen settings; every mistake is one sentence: file, line, key, what is allowed."""

from bridge.config.load import load_settings
from bridge.config.secrets import explained, read_secret, secret_reader
from bridge.config.sections import MunicipalitySettings, Settings, SourceSettings, TargetSettings

__all__ = [
    "MunicipalitySettings",
    "Settings",
    "SourceSettings",
    "TargetSettings",
    "explained",
    "load_settings",
    "read_secret",
    "secret_reader",
]

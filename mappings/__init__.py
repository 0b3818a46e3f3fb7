"""Mapping presets as data: one folder a platform or protocol, one YAML file a preset."""

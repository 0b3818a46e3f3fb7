"""Skolebro: the bridge between STIL's school data and the platforms that schools use."""

__version__ = "0.1.0"

"""YAML as people who write configurations mean it."""

from __future__ import annotations

import re
from typing import Any

import yaml


class PlainYaml(yaml.SafeLoader):
    """Keys are texts as they are written, and 0751 is a municipality, not the octal number 489."""


def _keyed_by_text(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[str, Any]:
    return {str(key.value): loader.construct_object(value, deep=True) for key, value in node.value}


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    return text if re.fullmatch(r"0\d+", text) else loader.construct_yaml_int(node)


PlainYaml.add_constructor("tag:yaml.org,2002:map", _keyed_by_text)
PlainYaml.add_constructor("tag:yaml.org,2002:int", _number)

"""A vendor's own queue: bound to what its allow-list lets it see, or refused, since a queue can leave nobody out.

Events in queues are pointers: keys of the entity and the names of changed fields. Routing keys know municipality
and kind only, so whoever may see some institutions, or some of a kind, would hear of all of them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bridge.config.fields import once
from bridge.config.sections import QueueSection
from bridge.config.vendors import VendorSettings
from bridge.domain.entities import KEY_FIELDS, PUBLISHED_KINDS, Kind, public_name
from bridge.domain.nearest import did_you_mean
from bridge.mapping import TargetMapping

_INSTEAD = "let it fetch from the HTTP feed, which can (docs/how-to/vendor-feed.md)"


class VendorQueueSection(BaseModel):
    """`kinds` of entities (default: all that the mapping names); the others are those of a queue."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kinds: Annotated[list[str], Field(min_length=1), once("a kind")] | None = None
    delivery_limit: int | None = Field(default=None, ge=1, le=1_000_000)


def queue_name(vendor: str) -> str:
    return f"vendor.{vendor}"


def queue_of(vendor: VendorSettings, section: VendorQueueSection) -> QueueSection:
    """The queue as the broker gets it: no more than the vendor's municipalities and kinds.

    Raises `ValueError` with what a queue would show beyond what the vendor may see.
    """
    if vendor.institutions is not None:
        raise ValueError(f"a queue cannot leave institutions out, and this vendor sees some only: {_INSTEAD}")
    kinds = (
        [_kind(name, vendor.mapping) for name in section.kinds] if section.kinds else _published(vendor.mapping)
    )
    if not kinds:
        raise ValueError(f"its mapping names nothing that is published: {_INSTEAD}")
    for kind in kinds:
        _require_whole(kind, vendor.mapping)
    keys = [f"{code}.{kind}.*" for code in vendor.municipalities for kind in kinds]
    return QueueSection(keys=keys, delivery_limit=section.delivery_limit)


def _published(mapping: TargetMapping) -> list[Kind]:
    return [kind for kind in PUBLISHED_KINDS if kind in mapping.kinds()]


def _kind(name: str, mapping: TargetMapping) -> Kind:
    there = [str(kind) for kind in _published(mapping)]
    if name not in there:
        hint, known = did_you_mean(name, there), ", ".join(there) or "none"
        raise ValueError(f"its mapping names no {name!r}; {hint}there are {known}")
    return Kind(name)


def _require_whole(kind: Kind, mapping: TargetMapping) -> None:
    """The vendor may know of every entity of the kind, and by the keys that events have."""
    but = "; or give `kinds` without it"
    if any(one.when for one in mapping.variants() if one.kind is kind):
        raise ValueError(f"a queue cannot leave some {kind}s out, as its mapping does by `when`: {_INSTEAD}{but}")
    for name in KEY_FIELDS[kind]:
        shown = public_name(name)
        if not mapping.names(kind, shown):
            raise ValueError(
                f"events in a queue hold the {shown} of a {kind}, which its mapping does not name: {_INSTEAD}{but}"
            )

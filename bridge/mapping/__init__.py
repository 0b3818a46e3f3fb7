"""Mapping files are allow-lists: what they do not name never leaves.

A file lists resources in the order in which a target must get them. The `fields` of a resource have the
shape of the body that is sent; each leaf is a rule made of a closed list of verbs, and there are no
expressions:

    from      a field of the entity's view (dots go down; a list yields a value an element)
    const     this very value (never reason enough to send the object around it)
    codes     translate the value by this table; what is not in it is left out
    default   instead of an absent value
    required  true: without a value the entity is not sent at all
    format    "{}" is the value; for texts around it
    when      on a resource: {view field: allowed values}; on a field likewise
    join      several `from` fields, or a list, as one text with this between
    purpose   why the target needs it (for the record of processing)
    legal_basis  needed where the value is a CPR number

A YAML list with one element repeats it for each value that its `from` yields.
"""

from bridge.mapping.load import load_mapping, presets
from bridge.mapping.references import field_names, narrow, references, resolve
from bridge.mapping.rules import Ref, Resource, Rule, TargetMapping, look_up

__all__ = [
    "Ref",
    "Resource",
    "Rule",
    "TargetMapping",
    "field_names",
    "load_mapping",
    "look_up",
    "narrow",
    "presets",
    "references",
    "resolve",
]

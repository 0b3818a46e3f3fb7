"""Mapping files are allow-lists: what they do not name never leaves.

A file lists resources in the order in which a target must get them. The `fields` of a resource have the
shape of the body that is sent; each leaf is a rule made of a closed list of verbs, and there are no
expressions:

    from      a field of the entity's view (dots go down; a list yields a value an element)
    const     this very value (never reason enough to send the object around it)
    codes     translate the value by this table; what is not in it is left out
    default   instead of an absent value
    required  true: without a value the entity is not sent at all
    format    "{}" is the value, "{institution_name}" another field of the view; for texts around them
    when      on a resource or a field: {view field: value or values}, or {view field: {not: value or values}}
    join      several `from` fields, or a list, as one text with this between
    purpose   why the target needs it (for the record of processing); personal data is not sent without
    legal_basis  needed where the value is a CPR number

A YAML list with one element repeats it for each value that its `from` yields.

`extends: scim/core` (a preset or a file) begins with all of another mapping and changes what it names: tables are
gone through key by key, null removes. A rule with `from` or `const` is a whole new rule, any other changes the
verbs that it names. `institutions: {"101001": {resources: ...}}` does the same for what belongs to one school.
"""

from bridge.mapping.load import load_mapping, require_purposes
from bridge.mapping.references import field_names, narrow, references, resolve
from bridge.mapping.rules import Choice, Ref, Resource, Rule, TargetMapping, look_up
from bridge.mapping.schools import of_strangers, strangers
from bridge.mapping.source import presets
from bridge.mapping.view import is_personal

__all__ = [
    "Choice",
    "Ref",
    "Resource",
    "Rule",
    "TargetMapping",
    "field_names",
    "is_personal",
    "load_mapping",
    "look_up",
    "narrow",
    "of_strangers",
    "presets",
    "references",
    "require_purposes",
    "resolve",
    "strangers",
]

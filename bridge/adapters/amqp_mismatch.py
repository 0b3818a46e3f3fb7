"""What RabbitMQ says when something is there already with other arguments, in plain words."""

from __future__ import annotations

import re

_MISMATCH = re.compile(
    r"arg '([\w-]+)' for (queue|exchange) '(.*?)' in vhost .*?: received (.*?) but current is (.*)"
)
_VALUE = re.compile(r"the value (.*) of type '\w+'")


def mismatch(text: str) -> str | None:
    """Return a sentence that names the queue or exchange and the argument, None when the text says neither."""
    found = _MISMATCH.search(text)
    if found is None:
        return None
    wanted, current = (_VALUE.sub(r"\1", value).replace("none", "not set") for value in found.group(4, 5))
    return f"the {found[2]} {found[3]} exists already, its {found[1]} is {current} and should be {wanted}"

"""What leaves here is an id, a number or a code: short, on one line, and never shaped like a CPR number."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime
from traceback import walk_tb
from types import FrameType
from typing import Any

from bridge.domain.errors import BridgeError
from bridge.observe.catalogue import KEY_TEXTS

MAX_TEXT = 300
MAX_ITEMS = 50
_OURS = ("bridge", "connectors")
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_REPLACEMENT_DAY = 60  # replacement numbers (erstatnings-CPR) add 60 to the day
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TRACE_ID = r"\b(?=[0-9]*[a-f])[0-9a-f]{32}\b"
_CPR_SHAPED = re.compile(
    rf"({_UUID}|{_TRACE_ID})|(?<!\d)(\d\d)(\d\d)\d\d(?:[-\s.]|%2D|%20)?\d{{4}}(?!\d)", re.IGNORECASE
)
_EMAIL = re.compile(r"[^\s@/<>\"']+(?:@|%40)[^\s@/<>\"']+")
_MASKED_CPR = "******-****"
_MASKED_EMAIL = "***@***"


def clean_line(line: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the line with allowed keys and safe values only, and how many keys were dropped."""
    kept = {key: clean_value(value) for key, value in line.items() if key in KEY_TEXTS}
    return kept, len(line) - len(kept)


def clean_value(value: Any) -> Any:
    """Return a value that JSON can carry; of an unexpected type only its name."""
    match value:
        case None | bool() | float():
            return value
        case int():
            return _clean_int(value)
        case str():
            return clean_text(value)
        case datetime() | date():
            return value.isoformat()
        case Mapping():
            return {clean_text(str(k)): _clean_int(n) for k, n in _first(value.items()) if isinstance(n, int)}
        case tuple() | list() | frozenset() | set():
            return [clean_text(item) for item in _first(value) if isinstance(item, str)]
        case _:
            return f"<{type(value).__name__}>"


def clean_text(text: str) -> str:
    """Mask, cut and put on one line."""
    masked = _EMAIL.sub(_MASKED_EMAIL, _CPR_SHAPED.sub(_mask, text[: 4 * MAX_TEXT]))
    line = "".join(map(_printable, masked))
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


def describe_error(error: BaseException) -> dict[str, str]:
    """Return what may be told of an error: its type, and its text only where we wrote it ourselves."""
    told = {"error": type(error).__name__}
    if isinstance(error, BridgeError):
        told["text"] = str(error)
    else:
        told["where"] = place(error)
    if error.__cause__ is not None:
        told["cause"] = type(error.__cause__).__name__
    return told


def place(error: BaseException) -> str:
    """Return ``module/path.py:line`` of the innermost frame of ours, else of the innermost; "" if never raised."""
    frames = [(frame, line) for frame, line in walk_tb(error.__traceback__)]
    ours = [(frame, line) for frame, line in frames if _module(frame).split(".")[0] in _OURS]
    if not frames:
        return ""
    frame, line = (ours or frames)[-1]
    return f"{_module(frame).replace('.', '/')}.py:{line}"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "unknown"))


def _first(items: Any) -> list[Any]:
    return list(items)[:MAX_ITEMS]


def _clean_int(value: int) -> int | str:
    return _MASKED_CPR if 10**8 <= value < 10**10 and _is_date(f"{value:010d}") else int(value)


def _mask(found: re.Match[str]) -> str:
    is_person = found[1] is None and _is_date(found[2] + found[3])
    return _MASKED_CPR if is_person else found[0]


def _is_date(digits: str) -> bool:
    day, month = int(digits[:2]), int(digits[2:4])
    day -= _REPLACEMENT_DAY if day > _REPLACEMENT_DAY else 0
    return 1 <= month <= len(_DAYS) and 1 <= day <= _DAYS[month - 1]


def _printable(character: str) -> str:
    if unicodedata.category(character)[0] not in "CZ" or character == " ":
        return character
    return character.encode("unicode_escape").decode()

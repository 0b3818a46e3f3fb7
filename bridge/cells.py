"""Values of CSV files: nothing that a spreadsheet would run, and nothing that a line of CSV cannot hold."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from bridge.connector import Rejected
from bridge.domain.sheets import FORMULA_STARTS

Formulas = Literal["neutralise", "refuse", "keep"]
"""What becomes of free text that begins as a formula: an apostrophe in front, no delivery, or nothing."""

_PHONE = re.compile(r"\+\d[\d ()-]*")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_BREAKS = re.compile(r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a ZIP can hold
_PRIVATE = 0o100600 << 16


def is_formula(text: str) -> bool:
    """Whether a spreadsheet takes this for a formula; a telephone number with its + is none."""
    return text.startswith(FORMULA_STARTS) and not _PHONE.fullmatch(text)


def plain(text: str, formulas: Formulas) -> str:
    """The text as it is written.

    An apostrophe that is there already gets one more, or nobody could tell it from ours.
    """
    return f"'{text}" if formulas == "neutralise" and is_formula(text.lstrip("'")) else text


def refused(
    field: str, values: Iterable[str], formulas: Formulas, *, is_id: bool = False, has_breaks: bool = True
) -> Rejected | None:
    """Say why a field with these values can be in no file.

    An id must come back as it was sent, so one that is a formula is refused where free text is neutralised.
    `has_breaks`: values may have line breaks.
    """
    for text in values:
        if _BREAKS.search(text) and not has_breaks:
            return Rejected("line_break", field)
        if _CONTROLS.search(text):
            return Rejected("control_character", field)
        if is_formula(text) and (formulas == "refuse" or (is_id and formulas == "neutralise")):
            return Rejected("formula", field)
    return None


def table(header: Sequence[str], rows: Iterable[Mapping[str, str]]) -> bytes:
    """A CSV file (RFC 4180) in UTF-8 with these columns in this order; what a row lacks is empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, header, restval="", extrasaction="raise", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def archive(files: Mapping[str, bytes]) -> bytes:
    """A ZIP of these files at its root, the same bytes for the same files."""
    made = io.BytesIO()
    with ZipFile(made, "w") as whole:
        for name, content in files.items():
            entry = ZipInfo(name, _EPOCH)
            entry.compress_type, entry.create_system, entry.external_attr = ZIP_DEFLATED, 3, _PRIVATE
            whole.writestr(entry, content)
    return made.getvalue()

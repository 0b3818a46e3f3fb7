"""What a municipality sets for Microsoft School Data Sync."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from bridge.cells import Formulas
from bridge.shelving import FileConfig, check_name


class SdsConfig(FileConfig):
    """`as` files: five CSV files under the names that the format gives them, as SDS takes them; zip: one archive.

    `name` is that of the archive, and may hold {municipality}, {number} and {date}.
    """

    form: Literal["files", "zip"] = Field("files", alias="as")
    name: str = "sds-{municipality}.zip"
    formulas: Formulas = "neutralise"

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, value: str) -> str:
        return check_name(value)

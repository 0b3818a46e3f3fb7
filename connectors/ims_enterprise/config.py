"""What a municipality sets for itslearning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from bridge.shelving import FileConfig, check_name


class ImsEnterpriseConfig(FileConfig):
    """`source` stands beside every id and names us as `datasource` (default: the code of the municipality).

    `name` may hold {municipality}, {number} and {date}. `recstatus` is written at every person and group where it
    is set (1 add, 2 update): receivers differ in what they want of it in a file that is all there is.
    """

    name: str = "ims-enterprise-{municipality}.xml"
    source: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,32}$")
    recstatus: Literal["1", "2"] | None = None

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, value: str) -> str:
        return check_name(value)

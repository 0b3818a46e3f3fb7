"""What a municipality sets for OneRoster that goes out as files."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from bridge.cells import Formulas
from bridge.connector import Duration
from bridge.shelving import FileConfig, check_name
from connectors.oneroster.config import RosterConfig

Mode = Literal["bulk", "delta"]


class OneRosterCsvConfig(RosterConfig, FileConfig):
    """`mode` bulk: each file is all there is; delta: the first one is, the others tell what changed since.

    `name` may hold {municipality}, {number} and {date}; a delta file's must hold the number, for none may take the
    place of an earlier one that nobody has fetched. `tombstones` is how long what is deleted can still be told: a
    delta file that is later than that is a whole one.
    """

    version: Literal["1.1", "1.2"] = "1.1"
    mode: Mode = "bulk"
    name: str | None = None
    formulas: Formulas = "neutralise"
    tombstones: Duration = Field(timedelta(days=90), ge=timedelta(days=1))

    @property
    def template(self) -> str:
        by_mode = {"bulk": "oneroster-{municipality}.zip", "delta": "oneroster-{municipality}-{number}.zip"}
        return self.name or by_mode[self.mode]

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, value: str | None) -> str | None:
        return value and check_name(value)

    @model_validator(mode="after")
    def _deltas_stay(self) -> Self:
        if self.mode == "delta" and "{number}" not in self.template:
            raise ValueError("a delta file must not take the place of an earlier one: put {number} into its name")
        return self

"""A folder in which the real command works: configuration, secrets, drop folder and state, and a look at each."""

from __future__ import annotations

import base64
import os
import secrets
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from tests.support.process import Result, run

DATA = Path(__file__).parents[1] / "data"
DAYS = (DATA / "day1", DATA / "day2")
MUNICIPALITY = "0751"
RUN_RECORD = frozenset({"runs"})
"""Tables in which every pass may leave a row."""


class World:
    """One configured bridge over `root`. Keys of `sections` replace those of the configuration's top."""

    def __init__(
        self,
        root: Path,
        *,
        targets: Mapping[str, Any] | None = None,
        institutions: Any = "all",
        sections: Mapping[str, Any] | None = None,
    ) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.incoming.mkdir(parents=True)
        self.config = root / "skolebro.yaml"
        self.settings: dict[str, Any] = {
            "state_folder": "state",
            "municipalities": {
                MUNICIPALITY: {
                    "name": "Prøveby",
                    "institutions": institutions,
                    "interval": "1s",
                    "source": {"connector": "stil-folder", "folder": "incoming"},
                    # A leaver is gone at once: what a grace does is told elsewhere.
                    "guard": {"deletion_grace": "0s"},
                    "targets": dict(targets or {}),
                }
            },
            "web": {"listen": None},
            "log": {"format": "json"},
            # A test never waits for a second try: what fails in a pass stays due.
            "retry": {"base": "1h", "ceiling": "6h", "retry_after_cap": "1h"},
            **(sections or {}),
        }
        self.write()

    @property
    def municipality(self) -> dict[str, Any]:
        """The only municipality's section, to be changed before `write`."""
        section: dict[str, Any] = self.settings["municipalities"][MUNICIPALITY]
        return section

    def write(self) -> None:
        """Write the configuration as `settings` says now."""
        self.config.write_text(yaml.safe_dump(self.settings, sort_keys=False, allow_unicode=True), "utf-8")

    def secret(self, name: str, text: str) -> str:
        """Write a private file and return the path that the configuration may name."""
        path = self.root / name
        path.touch(mode=0o600)
        path.write_text(text)
        return name

    def drop(self, *files: Path) -> None:
        """Copy exports into the drop folder, whole at once as a careful sender does."""
        for file in files:
            self.drop_bytes(file.name, file.read_bytes())

    def drop_bytes(self, name: str, content: bytes) -> None:
        """Put one export into the drop folder."""
        draft = self.root / f".{name}"
        draft.write_bytes(content)
        os.replace(draft, self.incoming / name)

    def run(self, *args: str, timeout: int = 300) -> Result:
        """Run a verb over this configuration."""
        return run([*args, "--config", "skolebro.yaml"], self.root, timeout)

    def sync(self, code: int = 0) -> Any:
        """One pass that must end with this code; returns what it says."""
        return self.run("sync", "--json").ended(code).json

    def holds(self, *args: str) -> list[dict[str, Any]]:
        """The holds that wait, or with "--all" every one."""
        found: list[dict[str, Any]] = self.run("holds", "list", "--json", *args).ended(0).json["holds"]
        return found

    # ------------------------------------------------------------ the database, past the command

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read the database of the state folder."""
        with closing(sqlite3.connect(self.root / "state" / "skolebro.db")) as database:
            return database.execute(statement, values).fetchall()

    def edit(self, statement: str, *values: Any) -> None:
        """Change the database behind the command's back."""
        with closing(sqlite3.connect(self.root / "state" / "skolebro.db")) as database:
            database.execute(statement, values)
            database.commit()

    def tables(self, without: frozenset[str] = RUN_RECORD) -> dict[str, Counter[tuple[Any, ...]]]:
        """The whole content of every table but these."""
        names = [name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: Counter(self.rows(f'SELECT * FROM "{name}"')) for name in names if name not in without}  # noqa: S608


def webhook_secret() -> str:
    """A new Standard Webhooks secret."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def scim_target(world: World, url: str, token: str, **more: Any) -> dict[str, Any]:
    """The configuration of a SCIM target, its token in a file."""
    file = world.secret("scim-token", token)
    return {"connector": "scim", "base_url": url, "token_file": file, "leavers": {"retention": "0s"}, **more}


def aula_target(world: World, url: str, secret: str, **more: Any) -> dict[str, Any]:
    """The configuration of Aula in agreement mode, its secret in a file."""
    file = world.secret("aula-secret", secret)
    mode = {"mode": "agreement", "agreement": "none, a stand-in"}
    return {"connector": "aula", **mode, "base_url": url, "secret_file": file, **more}


def exports(day: Path) -> Sequence[Path]:
    """The exports of one day."""
    return sorted(day.glob("*.xml"))

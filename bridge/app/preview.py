"""A preview needs no configuration: folders of exports over a store that is thrown away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from bridge.adapters.clock import SystemClock
from bridge.adapters.store_sql import open_throwaway
from bridge.config import read_credential, read_secret
from bridge.connector import Connector, Http, Services
from bridge.domain.errors import ConfigError
from bridge.engine.audit import AuditBook
from bridge.engine.guard import GuardPolicy
from bridge.engine.intake import Intake
from bridge.engine.plan import Untaken
from bridge.engine.preview import preview

_PREVIEW = "preview"


def preview_folders(folders: Sequence[Path], connectors: Mapping[str, Connector]) -> list[dict[str, Any]]:
    """Preview folders of exports over a store that is thrown away. Raises `SourceError`."""
    clock = SystemClock()
    book = AuditBook(clock.new_key().encode(), "preview", clock.now)
    connector = connectors["stil-folder"]
    assert connector.source is not None  # noqa: S101 - the drop folder is a source
    make = connector.source

    def intake_of(folder: str) -> Intake:
        services = Services(_PREVIEW, None, _no_http, read_secret, clock.now, read_credential)
        # Nobody is writing any more: a file that is not whole will not become so, and is told at once.
        config = connector.config.model_validate({"folder": Path(folder), "settle": timedelta(0)})
        source = Untaken(make(config, services))
        return Intake(_PREVIEW, None, store, source, GuardPolicy(), (), book, clock.now, clock.new_id)

    store = open_throwaway()
    try:
        return preview([str(folder) for folder in folders], intake_of, store, _PREVIEW)
    finally:
        store.close()


def _no_http(base_url: str, **options: Any) -> Http:
    raise ConfigError(f"a preview reads folders only and calls nobody, not {base_url}")

"""The status says what of the log did not reach the broker, and asks for a person only where one is needed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.engine.publish import cursor_name
from bridge.engine.publish_standing import Standing, note_trouble, read_standing, write_standing
from bridge.engine.status import read_status
from bridge.observe import Metrics, Status
from bridge.ports import Store
from tests.support.events import NOW, TOWN, logged

SOON, LATER = timedelta(minutes=5), timedelta(hours=2)


def told(store: Store, after: timedelta = LATER, **options: bool) -> Status:
    with store.write() as uow:  # a municipality is known by what came from its source
        uow.note_asked(TOWN) if hasattr(uow, "note_asked") else None
    return read_status(store, [], NOW + after, publishes=True, expected={TOWN: None}, **options)

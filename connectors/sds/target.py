"""SDS as files: what the bridge tells is kept on the shelf, and leaves as the same set of CSV files each time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from bridge.cells import Formulas, archive, plain, refused, table
from bridge.connector import Capabilities, Command, HandedOver, Outcome, Rejected, Remote, Services
from bridge.shelving import Document, Ids, Ledger, file_name, keep, kept, read_kept, text, texts
from connectors.sds.config import SdsConfig
from connectors.sds.rows import (
    FREE_TEXT,
    HEADERS,
    RESOURCES,
    USER_FIELDS,
    Row,
    roles,
    tables,
)

_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "org": ("identifier", "type"),
    "user": ("username",),
    "class": ("org", "title"),
    "enrollment": ("class", "user", "role"),
}
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "org": ("name", "identifier", "type"),
    "user": USER_FIELDS,
    "class": ("org", "title"),
    "enrollment": ("class", "user"),
}


class SdsTarget:
    """`bridge.connector.Target` that keeps what it is told, `ReadsBack`, and `HandsOver` CSV files."""

    capabilities = Capabilities(references="canonical", max_batch=500, in_order=False)

    def __init__(self, config: SdsConfig, services: Services) -> None:
        self._config, self._services = config, services
        self._shelf, self._drop = services.shelf(), services.drop(config)
        self._ledger = Ledger(config, self._shelf, services.now)

    def apply(self, batch: Sequence[Command]) -> Sequence[Outcome]:
        """Keep the batch in one step. Raises `TargetUnavailable` when the store is away."""
        return keep(self._shelf, batch, RESOURCES, self._refusal)

    def probe(self) -> None:
        """Raises `TargetUnavailable`, `TargetUnauthorised` where no file can be left."""
        self._drop.names()

    def read_back(self, resources: Collection[str]) -> Iterator[Remote]:
        return read_kept(self._shelf, resources, RESOURCES)

    def hand_over(self) -> HandedOver | None:
        """Leave the files if anything in them changed since the last. Raises `TargetError`."""
        if not self._ledger.is_due():
            return None
        there = {name: kept(self._shelf, name) for name in RESOURCES}
        told = tables(there)
        files = {f"{name}.csv": self._file(name, rows) for name, rows in told.items()}
        whole, last = archive(files), self._ledger.last()
        if last is None and not told["users"]:
            return None
        digest = self._ledger.digest(self._config.form.encode() + whole)
        if last is not None and last.digest == digest:
            self._ledger.looked()
            return None
        ids = _ids(told)
        self._ledger.check_loss(ids, _ids(tables(self._ledger.with_taken_out(there))))
        name = self._leave(files, whole)
        self._ledger.note(digest, ids)
        return HandedOver(name, {one: len(rows) for one, rows in told.items()})

    def _leave(self, files: Mapping[str, bytes], whole: bytes) -> str:
        """Leave the files, those first that others refer to, and return by what name they are known."""
        if self._config.form == "zip":
            number, now = self._ledger.next_number(), self._services.now()
            name = file_name(self._config.name, self._services.municipality, number, now)
            self._drop.put(name, whole)
            return name
        for name, content in files.items():
            self._drop.put(name, content)
        return ", ".join(files)

    def _file(self, name: str, rows: Sequence[Row]) -> bytes:
        guarded = (
            {k: plain(v, self._config.formulas) if k in FREE_TEXT else v for k, v in row.items()} for row in rows
        )
        return table(HEADERS[name], guarded)

    def _refusal(self, resource: str, document: Document) -> Rejected | None:
        """Say why a document cannot be in a file as it is."""
        for name in _REQUIRED[resource]:
            if not texts(document.get(name)):
                return Rejected("required_missing", name)
        for name in _FIELDS[resource]:
            if no := _refused(name, [text(document, name)], self._config.formulas):
                return no
        told = {"roles": [word for one in roles(document) for word in one], "role": texts(document.get("role"))}
        found = (_refused(name, words, self._config.formulas) for name, words in told.items())
        return next((no for no in found if no), None)


def _refused(name: str, values: Sequence[str], formulas: Formulas) -> Rejected | None:
    """SDS takes no line breaks in values."""
    return refused(name, values, formulas, is_id=name not in FREE_TEXT, has_breaks=False)


def _ids(told: Mapping[str, Sequence[Row]]) -> Ids:
    """What SDS makes inactive when it is missing; an enrollment has no id but its ends."""
    ids = {name: [row["sourcedId"] for row in told[name]] for name in ("orgs", "users", "classes")}
    return ids | {"enrollments": [" ".join(row.values()) for row in told["enrollments"]]}

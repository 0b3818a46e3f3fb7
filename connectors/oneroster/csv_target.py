"""OneRoster as files: what the bridge tells is kept on the shelf, and leaves as one ZIP of CSV files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from bridge.cells import Formulas, refused
from bridge.connector import (
    Capabilities,
    Command,
    HandedOver,
    Outcome,
    Rejected,
    Remote,
    Services,
    TargetUnavailable,
)
from bridge.domain.errors import StoreError
from bridge.shelving import Ledger, Left, file_name
from connectors.oneroster.csv_config import Mode, OneRosterCsvConfig
from connectors.oneroster.csv_file import Tables, bulk_tables, delta_tables, newest, packed
from connectors.oneroster.csv_roles import changed_roles, keep_roles, roles
from connectors.oneroster.csv_rows import Row
from connectors.oneroster.documents import Document, tables, text, texts
from connectors.oneroster.objects import Roster
from connectors.oneroster.roster import compose
from connectors.oneroster.shapes import Version
from connectors.oneroster.shelving import read_shelf, refusal, shelve

_VERSIONS: dict[str, Version] = {"1.1": "v1p1", "1.2": "v1p2"}
_GUARDED = ("orgs", "classes", "users", "enrollments")
_FREE = ("name", "title", "classCode", "givenName", "familyName", "middleName", "email", "sms", "phone")
_IDS = ("identifier", "username", "userMasterIdentifier")
_LIST_SIGNS = set(",{}")
_DAY = timedelta(days=1)


class OneRosterCsvTarget:
    """`bridge.connector.Target` that keeps what it is told, `ReadsBack`, and `HandsOver` a ZIP."""

    capabilities = Capabilities(
        references="canonical", max_batch=500, in_order=False, inactive={"user": {"enabledUser": False}}
    )

    def __init__(self, config: OneRosterCsvConfig, services: Services) -> None:
        self._config, self._services = config, services
        self._shelf, self._drop = services.shelf(), services.drop(config)
        self._ledger = Ledger(config, self._shelf, services.now)
        self._version = _VERSIONS[config.version]
        self._settings = config.settings(services.municipality, config.tombstones)

    def apply(self, batch: Sequence[Command]) -> Sequence[Outcome]:
        """Keep the batch in one step. Raises `TargetUnavailable` when the store is away."""
        return shelve(self._shelf, batch, self._refusal)

    def probe(self) -> None:
        """Raises `TargetUnavailable`, `TargetUnauthorised` where no file can be left."""
        self._drop.names()

    def read_back(self, resources: Collection[str]) -> Iterator[Remote]:
        return read_shelf(self._shelf, resources)

    def hand_over(self) -> HandedOver | None:
        """Leave a file if anything changed since the last. Raises `TargetError`."""
        if not self._ledger.is_due():
            return None
        try:
            return self._hand_over()
        except StoreError as error:
            raise TargetUnavailable("shelf_unavailable") from error

    def _hand_over(self) -> HandedOver | None:
        now = self._services.now()
        self._shelf.forget_gone(now - self._config.tombstones - _DAY)
        roster, last = compose(self._shelf, self._settings, now), self._ledger.last()
        whole, ids = self._whole(roster)
        digest = self._ledger.digest(packed(whole, self._version, "bulk", self._config.formulas))
        if not any(not user.is_gone for user in roster.users) and last is None:
            return None
        form = " ".join((self._config.version, self._config.mode, *sorted(whole), self._config.system))
        if last is not None and last.digest == digest and last.facts["form"] == form:
            self._ledger.looked()
            return None
        self._ledger.check_loss(ids)
        number = keep_roles(self._shelf, roles(roster, self._settings)) if "roles" in whole else 0
        mode, told = self._told(roster, whole, last, form)
        name = file_name(self._config.template, self._services.municipality, self._ledger.next_number(), now)
        self._drop.put(name, packed(told, self._version, mode, self._config.formulas))
        facts = {"form": form, "since": newest(roster).isoformat(), "roles": str(number)}
        self._ledger.note(digest, ids, facts)
        return HandedOver(name, {file: len(rows) for file, rows in told.items()})

    def _refusal(self, resource: str, document: Document) -> Rejected | None:
        return _refusal(document, self._config.formulas) or refusal(resource, document)

    def _whole(self, roster: Roster) -> tuple[dict[str, list[Row]], dict[str, list[str]]]:
        """What a bulk file has, and the ids that its receiver would miss."""
        whole = bulk_tables(roster, self._version)
        if self._version == "v1p2":
            held = roles(roster, self._settings)
            whole["roles"] = [{"sourcedId": one} | columns for one, columns in held.items()]
        return whole, {name: [one["sourcedId"] for one in whole[name]] for name in _GUARDED}

    def _told(self, roster: Roster, whole: Tables, last: Left | None, form: str) -> tuple[Mode, Tables]:
        """What goes into the file. A delta is told only to whoever got all before it, and not too long ago.

        What is on the roster no more without having gone (who has no role at a school that is sent) is told by a
        whole file only.
        """
        if self._config.mode == "bulk" or last is None or last.facts["form"] != form:
            return "bulk", whole
        if self._services.now() - last.at >= self._config.tombstones:
            return "bulk", whole
        since = datetime.fromisoformat(last.facts["since"])
        delta = delta_tables(roster, self._version, since)
        if "roles" in whole:
            delta["roles"] = list(changed_roles(self._shelf, roster, since, int(last.facts["roles"])))
        known = {name: [row["sourcedId"] for row in (*whole[name], *delta[name])] for name in _GUARDED}
        has_vanished = any(gone for gone, _ in self._ledger.lost(known).values())
        return ("bulk", whole) if has_vanished else ("delta", delta)


def _refusal(document: Document, formulas: Formulas) -> Rejected | None:
    """Say why a document cannot be in a file as it is."""
    for names, is_id in ((_FREE, False), (_IDS, True)):
        for name in names:
            if no := refused(name, [text(document, name) or ""], formulas, is_id=is_id):
                return no
    return _list_refusal(document, formulas) or _demographics_refusal(document, formulas)


def _list_refusal(document: Document, formulas: Formulas) -> Rejected | None:
    """Lists are one value with commas between, and the ids of a user have braces around them."""
    lists = {"grades": texts(document.get("grades"))}
    pairs = [(text(one, "type") or "", text(one, "identifier") or "") for one in tables(document.get("userIds"))]
    lists["userIds"] = tuple(word for pair in pairs for word in pair)
    if any(":" in kind for kind, _ in pairs):
        return Rejected("sign_of_a_list", "userIds")
    for name, values in lists.items():
        if any(_LIST_SIGNS & {*value} for value in values):
            return Rejected("sign_of_a_list", name)
        if no := refused(name, values, formulas, is_id=name == "grades"):
            return no
    return None


def _demographics_refusal(document: Document, formulas: Formulas) -> Rejected | None:
    told = document.get("demographics")
    values = [str(value) for value in told.values()] if isinstance(told, dict) else []
    return refused("demographics", values, formulas, is_id=True)

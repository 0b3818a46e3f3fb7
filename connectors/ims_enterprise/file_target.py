"""itslearning by file: what the bridge tells is kept on the shelf, and leaves as one document of all there is.

What is missing in it is deleted at the other end, so a document that lacks too much never leaves by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from bridge.connector import Capabilities, Command, ContractBroken, HandedOver, Outcome, Remote, Services
from bridge.shelving import Ledger, file_name, keep, kept, read_kept
from connectors.ims_enterprise.config import ImsEnterpriseConfig
from connectors.ims_enterprise.documents import RESOURCES, refusal
from connectors.ims_enterprise.enterprise import Enterprise, Writer


class ImsEnterpriseTarget:
    """`bridge.connector.Target` that keeps what it is told, `ReadsBack`, and `HandsOver` a document."""

    capabilities = Capabilities(references="canonical", max_batch=500, in_order=False)

    def __init__(self, config: ImsEnterpriseConfig, services: Services) -> None:
        self._config, self._services = config, services
        self._shelf, self._drop = services.shelf(), services.drop(config)
        self._ledger = Ledger(config, self._shelf, services.now)
        self._writer = Writer(config.source or services.municipality, config.recstatus)

    def apply(self, batch: Sequence[Command]) -> Sequence[Outcome]:
        """Keep the batch in one step. Raises `TargetUnavailable` when the store is away."""
        return keep(self._shelf, batch, RESOURCES, refusal)

    def probe(self) -> None:
        """Raises `TargetUnavailable`, `TargetUnauthorised` where no file can be left."""
        self._drop.names()

    def read_back(self, resources: Collection[str]) -> Iterator[Remote]:
        return read_kept(self._shelf, resources, RESOURCES)

    def hand_over(self) -> HandedOver | None:
        """Leave a document if anything in it changed since the last.

        Raises `ContractBroken` where it lacks too much of what the last one had, and other `TargetError`.
        """
        if not self._ledger.is_due():
            return None
        told = Enterprise({name: kept(self._shelf, name) for name in RESOURCES})
        body, last = self._writer.body(told), self._ledger.last()
        if last is None and not told.persons:
            return None
        digest = self._ledger.digest(body.encode())
        if last is not None and last.digest == digest:
            self._ledger.looked()
            return None
        if told.doubled:
            raise ContractBroken(_doubled(told.doubled))
        ids = told.ids(self._writer.source)
        spared = Enterprise(self._ledger.with_taken_out(told.kept))
        self._ledger.check_loss(ids, spared.ids(self._writer.source))
        now = self._services.now()
        name = file_name(self._config.name, self._services.municipality, self._ledger.next_number(), now)
        self._drop.put(name, self._writer.document(body, now))
        self._ledger.note(digest, ids)
        return HandedOver(name, {one: len(some) for one, some in ids.items()})


def _doubled(names: Sequence[str]) -> str:
    return (
        f"two of the {' and of the '.join(names)} have the same sourcedId, and the platform would take them for "
        "one. Nothing has left. Let the mapping give each its own: a group id is unique in its school only"
    )

"""itslearning by IMS Enterprise Services: plural calls, and one outcome for each record that was in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import groupby

from bridge.connector import (
    Capabilities,
    Command,
    ContractBroken,
    Deferred,
    Delivered,
    Outcome,
    Rejected,
    TargetUnavailable,
    Unchanged,
    trace_headers,
)
from bridge.domain.changes import Operation
from bridge.shelving import text
from connectors.ims_enterprise.documents import RESOURCES, refusal
from connectors.ims_enterprise.es_records import (
    PERSONS,
    SERVICES,
    ServiceNames,
    deletion,
    reading,
    replacement,
)
from connectors.ims_enterprise.es_wire import Failed, Status, Wire

_NOBODY = "skolebro-probe"
# IMS General Web Services, codeMinor: no other word of a refusal is passed on.
_MINORS = ("invaliddata", "incompletedata", "unknownobject", "idallocinuse", "idallocfail", "unsupported")
_LATER = ("processing", "linkfailure", "targetisbusy", "serverbusy", "server_busy")


class ImsEsTarget:
    """`bridge.connector.Target` for the Person, Group and Membership Management Services.

    Who has been delivered keeps the id it was delivered under: another one would be another person.
    """

    capabilities = Capabilities(references="remote", max_batch=50, in_order=False)

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def apply(self, batch: Sequence[Command]) -> Iterator[Outcome]:
        """Yield one outcome per command, in order.

        Raises `TargetUnavailable` for 408, 429, 502, 503 and 504 and for what is no SOAP, `TargetUnauthorised` for
        401, 403 and security faults, `ContractBroken` for a redirect, a wrong path, and for statuses that are not
        one for each record.
        """
        for (service, is_deletion), some in groupby(batch, _kind):
            if service is None:
                yield from (Rejected("resource_not_configured", command.resource) for command in some)
            else:
                yield from self._run(service, list(some), is_deletion=is_deletion)

    def probe(self) -> None:
        """Read somebody who is not there: who refuses that refuses us. Raises `TargetError`."""
        try:
            self._wire.call(PERSONS, "readPerson", _NOBODY, reading(_NOBODY))
        except Failed as failed:
            if failed.status >= 500:
                raise TargetUnavailable(f"status_{failed.status}") from failed

    def _run(self, service: ServiceNames, commands: list[Command], *, is_deletion: bool) -> Iterator[Outcome]:
        """One plural call for those that can be told at all."""
        found = [None if is_deletion else refusal(one.resource, one.document or {}) for one in commands]
        told = [one for one, no in zip(commands, found, strict=True) if no is None]
        outcomes = iter(self._told(service, told, is_deletion=is_deletion) if told else ())
        yield from (no or next(outcomes) for no in found)

    def _told(self, service: ServiceNames, commands: list[Command], *, is_deletion: bool) -> list[Outcome]:
        """A call that is refused as a whole is made again one by one: a record is why, and nobody says which."""
        try:
            statuses = self._call(service, commands, is_deletion=is_deletion)
        except Failed as failed:
            if len(commands) == 1:
                return [_failed(failed.status)]
            return [self._told(service, [one], is_deletion=is_deletion)[0] for one in commands]
        if len(statuses) != len(commands):
            raise ContractBroken(
                f"{len(statuses)} statuses came for {len(commands)} records of a {service.one} call"
            )
        return [_outcome(one, status) for one, status in zip(commands, statuses, strict=True)]

    def _call(self, service: ServiceNames, commands: list[Command], *, is_deletion: bool) -> list[Status]:
        trace = trace_headers(commands)
        message = sha256(" ".join(one.delivery_key for one in commands).encode()).hexdigest()[:32]
        if is_deletion:
            body = deletion(service, [_identifier(one) for one in commands])
            return self._wire.call(service, service.operation("delete"), message, body, trace)
        records = [(_identifier(one), one.resource, one.document or {}) for one in commands]
        body = replacement(service, records)
        return self._wire.call(service, service.operation("replace"), message, body, trace)


def _kind(command: Command) -> tuple[ServiceNames | None, bool]:
    """Which call a command goes into."""
    service = SERVICES[command.resource] if command.resource in RESOURCES else None
    return service, command.operation is Operation.DELETED or command.document is None


def _identifier(command: Command) -> str:
    """The syncID: that under which it was delivered, else the one that the mapping gives."""
    told = command.document or command.previous or {}
    return command.remote_id or text(told, "sourcedId") or command.id


def _outcome(command: Command, status: Status) -> Outcome:
    is_deletion = command.operation is Operation.DELETED or command.document is None
    if status.major == "success" and status.severity != "error":
        return Delivered(None if is_deletion else _identifier(command))
    if is_deletion and status.minor == "unknownobject":
        return Unchanged()
    if status.major == "processing" or status.minor in _LATER:
        return Deferred("status_later")
    return Rejected(f"refused_{status.minor}" if status.minor in _MINORS else "refused_by_platform")


def _failed(status: int) -> Outcome:
    if status >= 500:
        return Deferred(f"server_error_{status}", status=status)
    return Rejected(f"refused_{status}", status=status)

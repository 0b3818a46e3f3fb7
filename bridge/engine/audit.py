"""The audit chain: every disclosure has an intent before it and an outcome after it, and no link can be swapped.

A link's hash is SHA-256(0x00 ‖ previous hash ‖ canonical JSON of the record). Records hold field names and
keyed references, never a value. The chain alone shows an edit, a deletion and a swap; that its tail was cut
off, or that all of it was written anew, shows only against a head that was noted elsewhere (`expect`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bridge.domain.errors import ConfigError
from bridge.domain.tracing import TraceId, trace_id
from bridge.ports import AuditRow, Reader, UnitOfWork

GENESIS = bytes(32)
_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class AuditBook:
    """Writes links. `key` turns canonical ids into references that nobody can guess back.

    `count` is told the kind and number of the records written, before their transaction commits.
    """

    key: bytes
    actor: str
    now: Callable[[], datetime]
    count: Callable[[str, int], None] = lambda _kind, _number: None
    member: str = ""  # the process, where several write into one chain
    trace: TraceId | None = None  # what all records belong to that do not name their own

    def on(self, cause: str) -> AuditBook:
        """Return the book for what one run, or one decision, writes."""
        return replace(self, trace=trace_id(cause))

    def reference(self, identity: str) -> str:
        """Return the keyed reference that stands for an entity in the chain."""
        return hmac.new(self.key, identity.encode(), hashlib.sha256).hexdigest()[:32]

    def write(self, uow: UnitOfWork, records: Iterable[dict[str, Any]]) -> None:
        """Append records to the chain, in the caller's transaction. `intent` and `closes` tie pairs together."""
        size, head = uow.audit_head()
        rows: list[AuditRow] = []
        kinds: Counter[str] = Counter()
        at = self.now().isoformat()
        by = {"member": self.member} if self.member else {}
        by |= {"trace": self.trace} if self.trace else {}
        for record in records:
            size += 1
            text = canonical({"seq": size, "ts": at, "actor": self.actor, **by, **record})
            digest = link_hash(head, text)
            ties = (record.get("intent"), record.get("closes"), record.get("subject"))
            rows.append(AuditRow(size, text, head, digest, *ties, record.get("trace", self.trace)))
            kinds[record["kind"]] += 1
            head = digest
        if rows:
            uow.append_audit(rows)
        for kind, number in kinds.items():
            self.count(kind, number)

    def close_open(self, uow: UnitOfWork, member: str = "") -> int:
        """Close intents whose outcome nobody saw (a crash): "unknown", and the delivery is tried again.

        Those of one `member`, or of all.
        """
        rows = [row for row in uow.open_intents() if not member or _member(row) == member]
        self.write(
            uow,
            [
                {
                    "kind": "disclosure.outcome",
                    "closes": row.intent,
                    "outcome": "unknown",
                    "reason": "interrupted",
                    **({"trace": row.trace} if row.trace else {}),
                }
                for row in rows
            ],
        )
        return len(rows)


def _member(row: AuditRow) -> str | None:
    told: str | None = json.loads(row.record).get("member")
    return told


def canonical(record: dict[str, Any]) -> str:
    """RFC 8785 JSON of a record of texts, integers and lists of them (where sorted and compact is all it asks)."""
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def link_hash(previous: bytes, record: str) -> bytes:
    return hashlib.sha256(b"\x00" + previous + record.encode()).digest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of the chain found. `head` is "<size>:<hash>", to be noted elsewhere and given to `expect`."""

    ok: bool
    size: int
    head: str
    open_intents: int
    problem: str | None = None


def verify(reader: Reader, expect: str | None = None) -> Verdict:
    """Walk the whole chain; `expect` is a head noted earlier, which must still be a link of it."""
    size, head = 0, GENESIS
    anchor = _anchor(expect)
    while rows := reader.audit_rows(size, _PAGE):
        for row in rows:
            problem = _wrong(row, size, head)
            if problem:
                return Verdict(False, size, f"{size}:{head.hex()}", 0, problem)
            size, head = row.seq, row.hash
            if anchor and anchor[0] == size and anchor[1] != head.hex():
                return Verdict(
                    False, size, f"{size}:{head.hex()}", 0, f"link {size} is not the one that was noted"
                )
    told = reader.audit_head()
    problem = None
    if told != (size, head):
        problem = f"the chain ends at link {size}, but its head says {told[0]}: links were removed"
    elif anchor and anchor[0] > size:
        problem = f"the chain ends at link {size}, but link {anchor[0]} was noted: its tail was cut off"
    return Verdict(problem is None, size, f"{size}:{head.hex()}", len(reader.open_intents()), problem)


def _wrong(row: AuditRow, size: int, head: bytes) -> str | None:
    if row.seq != size + 1:
        return f"link {size + 1} is missing"
    if row.prev != head:
        return f"link {row.seq} does not continue link {size}"
    if row.hash != link_hash(row.prev, row.record):
        return f"link {row.seq} was changed after it was written"
    told = json.loads(row.record)
    ties = ("seq", "intent", "closes", "subject", "trace")
    if tuple(map(told.get, ties)) != (row.seq, row.intent, row.closes, row.subject, row.trace):
        return f"link {row.seq} was changed after it was written"
    return None


def _anchor(expect: str | None) -> tuple[int, str] | None:
    if expect is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", expect)
    if match is None:
        raise ConfigError("--expect: allowed is SIZE:HASH as `skolebro audit verify` prints it")
    return int(match[1]), match[2]

"""No file leaves unwritten: the audit names it before it goes, by its digest, and says afterwards that it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from bridge.domain.errors import TargetError
from bridge.domain.shelf import Drop
from bridge.engine.audit import AuditBook
from bridge.engine.desire import Rendering
from bridge.ports import Store


@dataclass(frozen=True, slots=True)
class AuditedDrop:
    """`bridge.domain.shelf.Drop` over another one."""

    drop: Drop
    rendering: Rendering
    store: Store
    book: AuditBook
    new_id: Callable[[], str]

    def put(self, name: str, content: bytes) -> None:
        intent = self.new_id()
        self._write(
            {
                "kind": "disclosure.handing_over",
                "intent": intent,
                "municipality": self.rendering.scope.municipality,
                "target": self.rendering.target,
                "file": name,
                "size": len(content),
                "digest": sha256(content).hexdigest(),
                "purpose": self.rendering.mapping.purpose,
                "mapping": self.rendering.mapping.digest,
            }
        )
        try:
            self.drop.put(name, content)
        except TargetError as error:
            self._close(intent, outcome="unknown", reason=type(error).__name__)
            raise
        except Exception:
            self._close(intent, outcome="unknown", reason="connector_error")
            raise
        self._close(intent, outcome="delivered")

    def names(self) -> list[str]:
        return self.drop.names()

    def read(self, name: str) -> bytes | None:
        return self.drop.read(name)

    def delete(self, name: str) -> None:
        self.drop.delete(name)

    def _close(self, intent: str, **how: str) -> None:
        self._write({"kind": "disclosure.outcome", "closes": intent, **how})

    def _write(self, record: dict[str, object]) -> None:
        with self.store.write() as uow:
            self.book.write(uow, [record])

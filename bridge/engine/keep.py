"""People who are to stay at every target for now, whatever the sources say: written down, and by whom."""

from __future__ import annotations

from datetime import datetime

from bridge.domain.entities import Kind
from bridge.domain.ids import canonical_id
from bridge.engine.audit import AuditBook
from bridge.ports import KEPT, KeptPerson, Store


def keep(store: Store, book: AuditBook, kept: KeptPerson) -> None:
    """Keep somebody, or change until when."""
    with store.write() as uow:
        uow.put_kept_person(kept)
        book.write(uow, [{"kind": "person.kept", **_about(book, kept.municipality, kept.user_id)}])


def let_go(store: Store, book: AuditBook, municipality: str, user_id: str, now: datetime) -> bool:
    """Keep somebody no longer, so that what waited for it is due now; return whether they were kept."""
    with store.write() as uow:
        if not uow.drop_kept_person(municipality, user_id):
            return False
        for state in uow.target_states():
            uow.wake(state.target, KEPT, now)
        book.write(uow, [{"kind": "person.let_go", **_about(book, municipality, user_id)}])
    return True


def _about(book: AuditBook, municipality: str, user_id: str) -> dict[str, str]:
    reference = book.reference(canonical_id(municipality, Kind.PERSON, (user_id,)))
    return {"municipality": municipality, "subject": reference}

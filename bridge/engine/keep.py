"""People who are to stay at every target for now, whatever the sources say: written down, and by whom."""

from __future__ import annotations

from datetime import datetime

from bridge.domain.entities import Kind
from bridge.domain.errors import ConfigError
from bridge.domain.ids import canonical_id
from bridge.engine.audit import AuditBook
from bridge.engine.trace import other_spelling
from bridge.ports import KEPT, KeptPerson, Reader, Store


def keep(store: Store, book: AuditBook, kept: KeptPerson) -> None:
    """Keep somebody, or change until when. Raises `ConfigError` where nobody was ever known by that user id."""
    with store.write() as uow:
        _require_known(uow, kept.municipality, kept.user_id)
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


def _require_known(reader: Reader, municipality: str, user_id: str) -> None:
    """No target has anybody whom no institution told of, so a word about them is a slip of the pen."""
    if reader.entities(municipality, Kind.PERSON, [(user_id,)]):
        return
    other = other_spelling(reader, municipality, user_id)
    hint = f"; there is {other}: small and capital letters and blanks count" if other is not None else ""
    raise ConfigError(
        f"{user_id}: nobody is known by that in municipality {municipality}{hint}; nothing was changed"
    )


def _about(book: AuditBook, municipality: str, user_id: str) -> dict[str, str]:
    reference = book.reference(canonical_id(municipality, Kind.PERSON, (user_id,)))
    return {"municipality": municipality, "subject": reference}

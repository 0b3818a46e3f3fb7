"""What every store promises to whoever tells a vendor of itself, or sends it something once more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bridge.domain.ids import CanonicalId
from bridge.engine.audit import canonical
from bridge.ports import REPLAYED, AuditRow, Delivery, Store, UnitOfWork
from bridge.testing.store_samples import NOW, OTHER_TARGET, TARGET, desired, identity_of, later


def _told(seq: int, *, intent: str | None = None, closes: str | None = None, **more: Any) -> AuditRow:
    record = canonical({"seq": seq, **more})
    return AuditRow(seq, record, bytes([seq - 1]) * 32, bytes([seq]) * 32, intent, closes)


def _confirmed(uow: UnitOfWork, name: str) -> Delivery:
    row = uow.delivery(TARGET, identity_of(name))
    assert row is not None
    uow.put_deliveries([replace(row, confirmed=row.desired, confirmed_body=row.desired and b"{}", in_doubt=False)])
    return row


def _row(uow: UnitOfWork, name: str) -> Delivery:
    row = uow.delivery(TARGET, identity_of(name))
    assert row is not None
    return row


class VendorConformance:
    def test_what_names_a_vendor_is_read_alone_and_in_pages(self, store: Store) -> None:
        rows = [
            _told(1, vendor="books"),
            _told(2, vendor="book"),
            _told(3),
            _told(4, vendor="books", about={"vendor": "book"}),
            _told(5, text='"vendor":"books"'),
            _told(6, vendor="books", text="æ'\\u0000"),
            _told(7, about={"vendor": "books"}),
            _told(8, text="\x00 cannot be looked into, and is written"),
        ]
        with store.write() as uow:
            uow.append_audit(rows)
        with store.read() as reader:
            assert reader.audit_for("books", 0, 10) == [rows[0], rows[3], rows[5]]
            assert reader.audit_for("books", 1, 1) == [rows[3]]
            assert reader.audit_for("books", 6, 10) == reader.audit_for("Books", 0, 10) == []
            assert reader.audit_for("book", 0, 10) == [rows[1]]

    def test_what_closes_intents_is_found_by_them(self, store: Store) -> None:
        rows = [_told(1, intent="a"), _told(2, intent="b"), _told(3, closes="b"), _told(4, closes="a"), _told(5)]
        with store.write() as uow:
            uow.append_audit(rows)
        with store.read() as reader:
            assert sorted(row.seq for row in reader.audit_closing(["a", "b", "c"])) == [3, 4]
            assert reader.audit_closing(["b"]) == [rows[2]]
            assert reader.audit_closing([]) == []

    def test_only_what_is_settled_can_be_told_again(self, store: Store) -> None:
        names = ("due", "doubt", "refused", "waits", "there", "gone", "unsent")
        with store.write() as uow:
            uow.put_desired([desired(name) for name in names] + [desired("there", target=OTHER_TARGET)], NOW)
            for name in ("doubt", "waits", "there", "gone"):
                _confirmed(uow, name)
            uow.put_desired([desired(name, None) for name in ("gone", "waits", "unsent")], NOW)
            uow.put_deliveries([replace(_row(uow, "gone"), confirmed=None, confirmed_body=None)])
            uow.put_deliveries([replace(_row(uow, "refused"), state="rejected")])
            uow.begin_attempts(TARGET, [identity_of("doubt")])
            before = {name: _row(uow, name) for name in names}
        ids = [*map(identity_of, names), CanonicalId("nobody")]
        with store.write() as uow:
            assert {row.id for row in uow.settled(TARGET, ids)} == {
                identity_of(name) for name in ("there", "gone", "unsent")
            }
            uow.tell_again(TARGET, {identity: later(60) for identity in ids})
            for name in ("due", "doubt", "refused", "waits"):
                assert _row(uow, name) == before[name]
            other = uow.delivery(OTHER_TARGET, identity_of("there"))
            assert other is not None
            assert other.version == 1

    def test_what_is_told_again_is_a_new_version_that_is_due_in_its_time(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("there"), desired("gone")], NOW)
            for name in ("there", "gone"):
                _confirmed(uow, name)
            uow.put_desired([desired("gone", None)], NOW)
            uow.put_deliveries([replace(_row(uow, "gone"), confirmed=None, confirmed_body=None)])
            before = {name: _row(uow, name) for name in ("there", "gone")}
            ids = {identity_of("there"): later(60), identity_of("gone"): later(90)}
            uow.tell_again(TARGET, ids)
        with store.write() as uow:
            there, gone = _row(uow, "there"), _row(uow, "gone")
            assert [there.version, gone.version] == [before[name].version + 1 for name in ("there", "gone")]
            assert (there.confirmed, there.confirmed_body, there.in_doubt) == (None, b"{}", False)
            assert (gone.desired, gone.confirmed, gone.in_doubt) == (None, None, True)
            assert [there.is_cleared, gone.is_cleared] == [True, True], "they passed every limit when told first"
            assert uow.due(TARGET, later(59), 10) == []
            assert uow.due(TARGET, later(60), 10) == [there]
            uow.put_desired([desired("there", b"hash-2")], NOW)
            assert not _row(uow, "there").is_cleared, "what is new passes every limit anew"
            assert _row(uow, "there").reason is None, "and waits no longer"

    def test_what_is_told_again_comes_behind_all_else(self, store: Store) -> None:
        names = [f"again-{n}" for n in range(3)]
        with store.write() as uow:
            uow.put_desired([desired(name) for name in (*names, "gone")], NOW)
            for name in (*names, "gone"):
                _confirmed(uow, name)
            uow.tell_again(TARGET, {identity_of(name): NOW for name in names})
            uow.put_desired([desired("gone", None)], later(30))
        with store.write() as uow:
            assert [row.id for row in uow.due(TARGET, later(30), 10)] == [identity_of("gone")]
            _confirmed(uow, "gone")
            assert {row.id for row in uow.due(TARGET, later(30), 10)} == {identity_of(name) for name in names}

    def test_nothing_but_its_own_name_ends_the_pace_of_what_is_told_again(self, store: Store) -> None:
        with store.write() as uow:
            uow.put_desired([desired("there")], NOW)
            _confirmed(uow, "there")
            uow.tell_again(TARGET, {identity_of("there"): later(60)})
        with store.write() as uow:
            assert uow.wake(TARGET, None, NOW) == 0
            assert uow.next_due_at(TARGET) == later(60)
            assert uow.delivery_counts(TARGET, NOW).resting == 1
            assert uow.wake(TARGET, REPLAYED, NOW) == 1

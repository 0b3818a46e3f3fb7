"""Who works on a state that several processes share: each says that it is there, and what must be single is one's.

A member's lease has a fencing number that every write of it carries (`Fenced`). One that is silent for longer than
its lease is put out by any other: what it had is free, and whatever it still wants to write is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from threading import Lock

from bridge.domain.errors import StaleLease, StoreUnavailable
from bridge.engine.audit import AuditBook
from bridge.ports import Lease, Reader, SharedStore, Store, UnitOfWork

INGEST, PUBLISH, DELIVER, WEB = "ingest", "publish", "deliver", "web"
ROLES = frozenset({INGEST, PUBLISH, DELIVER, WEB})
"""What a process may do of all that there is to do."""

_MEMBER, _SINGLE, _PASS = "member/", "single/", "pass/"
_LAST = "last_member"
_WITHOUT = {
    INGEST: "nothing is fetched, and nothing that a person decides is carried out",
    PUBLISH: "no event goes to the broker",
    DELIVER: "nothing is sent to any target",
    WEB: "there is no status page, and nobody can fetch",
}
_GONE = (
    "another process has taken over from this one, which was silent for longer than its lease; nothing was "
    "changed: it ends, and may be started again"
)


@dataclass(frozen=True, slots=True)
class Member:
    """One process. `number` is its fencing number, `roles` what it does."""

    id: str
    number: int
    roles: frozenset[str]

    @property
    def lease(self) -> str:
        return _MEMBER + self.id

    @property
    def holder(self) -> str:
        return f"{self.id} {','.join(sorted(self.roles))}"

    @classmethod
    def read(cls, lease: Lease) -> Member:
        identity, _, roles = lease.holder.partition(" ")
        return cls(identity, lease.number, frozenset(roles.split(",")))


def members(reader: Reader) -> list[Member]:
    """Those who are there: their leases are not over."""
    return _members(reader, is_silent=False)


def _members(reader: Reader, *, is_silent: bool) -> list[Member]:
    now = reader.store_time()
    return [Member.read(lease) for lease in reader.leases(_MEMBER) if (lease.until < now) is is_silent]


def vacancies(reader: Reader, needed: Collection[str]) -> Iterator[str]:
    """Yield plain sentences for what nobody does of what is `needed`, where there are, or were, processes."""
    there = {role for member in members(reader) for role in member.roles}
    silent = reader.leases(_MEMBER)
    if not there and silent:
        last = max(lease.until for lease in silent)
        yield (
            f"No process of the bridge is there any more; the last was heard of before {last:%Y-%m-%d %H:%M} UTC. "
            "Nothing is fetched or sent: start them."
        )
    elif there:
        for role in sorted({*needed} - there):
            told = f"No process with the role {role} is there: {_WITHOUT[role]}."
            yield f"{told} Start `skolebro run --role {role}`."


def join(store: Store, identity: str, roles: Collection[str], ttl: timedelta, book: AuditBook) -> Member:
    """Become a member, after those who are gone have been put out. Raises `StoreUnavailable`."""
    with store.write() as uow:
        put_out(uow, book)
        number = int(uow.property(_LAST) or 0) + 1
        uow.set_property(_LAST, str(number))
        member = Member(identity, number, frozenset(roles))
        uow.put_leases([Lease(member.lease, member.holder, number, uow.store_time() + ttl)])
    return member


def put_out(uow: UnitOfWork, book: AuditBook) -> int:
    """Free what those had who have been silent for too long; return how many these are."""
    gone = _members(uow, is_silent=True)
    for member in gone:
        dismiss(uow, member, book)
    return len(gone)


def dismiss(uow: UnitOfWork, member: Member, book: AuditBook) -> None:
    """Free what a member had. What it had begun at a target has an unknown outcome, and is tried again."""
    uow.drop_lease(member.lease)
    uow.release_claims(member.id)
    uow.put_leases([_handed(uow, one.name, "") for one in uow.leases(_SINGLE) if one.holder == member.id])
    for one in uow.leases(_PASS):
        if one.holder == member.id:
            uow.drop_lease(one.name)
    book.close_open(uow, member.id)


def _handed(reader: Reader, name: str, holder: str) -> Lease:
    """What must be single in another hand, or in none; it belongs to a member, so it has no time of its own."""
    before = reader.lease(name)
    return Lease(name, holder, before.number + 1 if before is not None else 1, reader.store_time())


class Fenced:
    """A store whose writes a member may do only as long as it is one."""

    def __init__(self, store: Store, member: Member) -> None:
        self._store = store
        self._member = member
        self.read = store.read
        self.check = store.check
        self.close = store.close

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        """Raises `StaleLease`, before anything is done, where somebody has put this member out."""
        with self._store.write() as uow:
            require(uow, self._member)
            yield uow


def require(reader: Reader, member: Member) -> None:
    """Raises `StaleLease` for who is no member any more."""
    lease = reader.lease(member.lease)
    if lease is None or lease.number != member.number:
        raise StaleLease(_GONE)


@dataclass(slots=True)
class Crew:
    """One process among those that share a state: its lease, and which of the `singles` of its roles are its own.

    `monotonic` is a clock in seconds that goes on while the process is stopped.
    """

    store: SharedStore
    member: Member
    ttl: timedelta
    book: AuditBook
    monotonic: Callable[[], float]
    singles: Mapping[str, str] = field(default_factory=dict)  # name: role
    _valid_until: float = field(default=0.0, init=False)
    _mine: set[str] = field(default_factory=set, init=False)
    _busy: set[str] = field(default_factory=set, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def beat(self) -> None:
        """Say that this member is there. Raises `StaleLease` where it has been put out."""
        seconds, began = self.ttl.total_seconds(), self.monotonic()
        if not self.store.beat(self.member.lease, self.member.holder, seconds):
            self._valid_until = 0.0
            raise StaleLease(_GONE)
        self._valid_until = began + seconds

    def require(self) -> None:
        """Raises `StoreUnavailable` where nobody can know whether this is a member still: nothing may be sent."""
        if self.monotonic() >= self._valid_until:
            raise StoreUnavailable(
                "the database has not taken our sign of life for longer than our lease; nothing was sent: it goes "
                "on when the database is back"
            )

    def tend(self) -> int:
        """Put out who is gone, and take a fair share of what must be single; return how much is new here.

        Writes only where there is something to do: it is asked for every few seconds, by every process.
        """
        with self.store.read() as reader:
            require(reader, self.member)
            if not (_members(reader, is_silent=True) or any(self._shares(reader))):
                return 0
        with self.store.write() as uow:
            require(uow, self.member)
            put_out(uow, self.book)
            free, surplus = self._shares(uow)
            hands = dict.fromkeys(free, self.member.id) | dict.fromkeys(self._let_go(surplus), "")
            uow.put_leases([_handed(uow, _SINGLE + name, holder) for name, holder in hands.items()])
        with self._lock:
            self._mine |= set(free)
        return len(free)

    def _shares(self, reader: Reader) -> tuple[list[str], list[str]]:
        """What is nobody's and would make this process's share whole, and what it has above its share."""
        there = members(reader)
        holders = {one.name.removeprefix(_SINGLE): one.holder for one in reader.leases(_SINGLE)}
        free: list[str] = []
        surplus: list[str] = []
        for role in sorted(self.member.roles):
            names = sorted(name for name, of in self.singles.items() if of == role)
            share = ceil(len(names) / max(1, sum(role in one.roles for one in there)))
            mine = [name for name in names if holders.get(name) == self.member.id]
            free += [name for name in names if not holders.get(name)][: max(0, share - len(mine))]
            surplus += mine[share:]
        return free, surplus

    def _let_go(self, names: Iterable[str]) -> list[str]:
        """Those of these that nothing is being done for now; from here on nothing will be."""
        with self._lock:
            idle = [name for name in names if name not in self._busy]
            self._mine -= set(idle)
        return idle

    @contextmanager
    def single(self, name: str) -> Iterator[bool]:
        """Whether this process may do what must be single, for as long as the block takes."""
        with self._lock:
            may = name in self._mine
            if may:
                self._busy.add(name)
        try:
            yield may
        finally:
            with self._lock:
                self._busy.discard(name)

    def leave(self) -> None:
        """Go in good order: what this member had is free at once. Raises `StoreUnavailable`."""
        with self.store.write() as uow:
            require(uow, self.member)
            dismiss(uow, self.member, self.book)


class Passes:
    """Which municipalities are being read by any process: deletions wait for the end of a pass."""

    def __init__(self, store: Store, member: Member) -> None:
        self._store = store
        self._member = member

    def add(self, code: str) -> None:
        with self._store.write() as uow:
            uow.put_leases([Lease(self._name(code), self._member.id, 1, uow.store_time())])

    def discard(self, code: str) -> None:
        with self._store.write() as uow:
            uow.drop_lease(self._name(code))

    def __contains__(self, code: object) -> bool:
        with self._store.read() as reader:
            return bool(reader.leases(f"{_PASS}{code}/"))

    def _name(self, code: str) -> str:
        return f"{_PASS}{code}/{self._member.id}"

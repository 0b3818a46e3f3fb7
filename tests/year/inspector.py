"""Whoever looks closely, every day: at what each target holds, at each step that led there, and at the books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bridge.domain.entities import Kind
from bridge.domain.ids import Key, TargetId
from bridge.engine.audit import verify
from bridge.ports import Reader, Store
from tests.support.rig import assert_same
from tests.year.expected import Body, Truth
from tests.year.systems import AulaInProcess, Platform, Step, Wire

RETENTION = 30
"""Days that an account sleeps at the platform before it is deleted, as by default."""
_GRACE = 2  # on the second day without them, a day has passed since the first
_PAGE = 1000


@dataclass(slots=True)
class Seen:
    """When each of these had to be there for the last time, and for how many days they were not in between."""

    last: dict[str, int] = field(default_factory=dict)
    gaps: Counter[int] = field(default_factory=Counter)

    def note(self, there: Iterable[str], day: int) -> None:
        for one in there:
            absent = day - self.last.get(one, day - 1) - 1
            if absent:
                self.gaps[absent] += 1
            self.last[one] = day


class Inspector:
    """Asserts that a day ended well, and that the year did.

    `slack` is how many days a leaver may stay longer: no grace ends while a snapshot is held.
    """

    def __init__(
        self, store: Store, municipality: str, platform: Platform, aula: AulaInProcess, slack: int = 0
    ) -> None:
        self._store, self._municipality, self._slack = store, municipality, slack
        self._platform, self._aula = platform, aula
        self._targets = [TargetId(f"{municipality}/{name}") for name in ("platform", "aula")]
        self._looked_at = {id(wire): 0 for wire in self._wires}
        self._remote_ids: dict[str, str] = {}
        self._versions: dict[tuple[Kind, Key], int] = {}
        self._sequence = 0
        self._heads: list[str] = []
        self.users, self.people = Seen(), Seen()

    @property
    def _wires(self) -> tuple[Wire, Wire]:
        return self._platform.wire, self._aula.wire

    def check(self, day: int, truth: Truth) -> list[Step]:
        """Look at everything that happened since the last look; returns what was removed at targets."""
        removed = self._check_steps(day, truth)
        self.users.note(truth.users, day)
        self.people.note(truth.people, day)
        self._check_platform(day, truth)
        self._check_aula(day, truth)
        with self._store.read() as reader:
            for target in self._targets:
                self._check_lane(reader, target)
            self._check_log(reader)
        return removed

    def check_books(self) -> None:
        """The chain holds from its first link over every head that was noted, and no version ever fell."""
        with self._store.read() as reader:
            for head in (None, *self._heads[-1:]):
                verdict = verify(reader, head)
                assert verdict.ok and not verdict.open_intents, verdict.problem
            self._heads.append(verdict.head)
            for kind in Kind:
                self._check_versions(reader, kind)

    def check_the_end(self, truth: Truth) -> None:
        """Nobody is on the way out any more: each target holds the truth and nothing else."""
        users, groups = _held_by(self._platform)
        assert_same(users, dict(truth.users))
        assert_same(groups, dict(truth.groups))
        assert_same(self._aula.receiver.objects, dict(truth.objects))
        self.check_books()

    # ------------------------------------------------------------ steps

    def _check_steps(self, day: int, truth: Truth) -> list[Step]:
        """Nothing that is there was removed, and nobody before their time."""
        removed: list[Step] = []
        for wire in self._wires:
            new = wire.steps[self._looked_at[id(wire)] :]
            self._looked_at[id(wire)] = len(wire.steps)
            removed += [step for step in new if step.operation in ("delete", "sleep")]
        for step in removed:
            self._check_removal(day, step, truth)
        return removed

    def _check_removal(self, day: int, step: Step, truth: Truth) -> None:
        match step.kind:
            case "Users":
                is_there, last = step.id in truth.users, self.users.last[step.id]
                least = _GRACE + (RETENTION if step.operation == "delete" else 0)
            case "person":
                is_there, last, least = step.id in truth.people, self.people.last[step.id], _GRACE
            case "Groups":
                is_there, last, least = step.id in truth.groups, day, 0
            case kind:
                is_there, last, least = f"{kind}/{step.id}" in truth.objects, day, 0
        assert not is_there, f"day {day}: removed though it is there: {step}"
        assert day - last >= least, f"day {day}: removed after {day - last} days without them: {step}"

    # ------------------------------------------------------------ what they hold

    def _check_platform(self, day: int, truth: Truth) -> None:
        users, groups = _held_by(self._platform)
        leaving = {name: users.pop(name) for name in users.keys() - truth.users.keys()}
        assert_same(users, dict(truth.users))
        assert_same(groups, dict(truth.groups))
        for name, user in leaving.items():
            absent = day - self.users.last[name]
            longest = _GRACE + self._slack
            assert absent <= RETENTION + longest, f"day {day}: {name} is still there after {absent} days"
            assert user["active"] or absent >= _GRACE, f"day {day}: {name} sleeps after {absent} days"
            assert not user["active"] or absent < longest, f"day {day}: {name} is awake after {absent} days"
        self._check_remote_ids()

    def _check_remote_ids(self) -> None:
        """An account is the same account for as long as it was not deleted in its time."""
        now = {user["externalId"]: remote for remote, user in self._platform.resources["Users"].items()}
        made = Counter(s.id for s in self._wires[0].steps if s.kind == "Users" and s.operation == "create")
        ended = Counter(s.id for s in self._wires[0].steps if s.kind == "Users" and s.operation == "delete")
        twice = [name for name in now if made[name] != ended[name] + 1]
        assert not twice, f"created again though not deleted: {twice[:5]}"
        other = [n for n in now.keys() & self._remote_ids.keys() if now[n] != self._remote_ids[n] and not ended[n]]
        assert not other, f"another account though never deleted: {other[:5]}"
        self._remote_ids = now

    def _check_aula(self, day: int, truth: Truth) -> None:
        objects = self._aula.receiver.objects
        leaving = objects.keys() - truth.objects.keys()
        for name in leaving:
            del objects[name]
        assert_same(objects, dict(truth.objects))
        for name in leaving:
            kind, _, person = name.partition("/")
            longest = _GRACE + self._slack
            absent = day - self.people.last[person] if kind == "person" else longest
            assert absent < longest, f"day {day}: Aula still has {name}"
        assert self._aula.receiver.stale == 0

    # ------------------------------------------------------------ the books

    def _check_lane(self, reader: Reader, target: TargetId) -> None:
        """Nothing is lost, refused, or left lying that does not rest on purpose."""
        ledger = reader.ledger(target)
        assert ledger.imbalance == 0, f"{target}: {ledger}"
        counts = reader.delivery_counts(target, reader.target_state(target).last_success_at)
        assert not counts.rejected, f"{target}: {counts}"
        assert counts.due == counts.resting, f"{target}: {counts}"

    def _check_log(self, reader: Reader) -> None:
        last = reader.last_sequence(self._municipality)
        new = reader.events(self._municipality, self._sequence, max(1, last - self._sequence))
        assert [event.sequence for event in new] == list(range(self._sequence + 1, last + 1))
        for event in new:
            kind = Kind(event.subject.partition("/")[0])
            before = self._versions.get((kind, event.key), 0)
            assert event.version == before + 1, f"{kind} falls or jumps from {before} to {event.version}"
            self._versions[kind, event.key] = event.version
        self._sequence = last

    def _check_versions(self, reader: Reader, kind: Kind) -> None:
        """What is stored has the version that was told last."""
        after: Key | None = None
        while page := reader.scan(self._municipality, kind, after, _PAGE) if kind is not Kind.CONTRIBUTION else []:
            for row in page:
                assert row.version == self._versions[kind, row.key], f"{kind} {row.version}"
            after = page[-1].key


def _held_by(platform: Platform) -> tuple[dict[str, Body], dict[str, Body]]:
    """Users and groups by externalId, members by theirs."""
    users, groups = platform.resources["Users"], platform.resources["Groups"]
    names = {remote: user["externalId"] for remote, user in users.items()}
    found = {user["externalId"]: _bare(user) for user in users.values()}
    return found, {
        group["externalId"]: {
            "displayName": group["displayName"],
            "members": sorted(names[member["value"]] for member in group.get("members", [])),
        }
        for group in groups.values()
    }


def _bare(resource: dict[str, Any]) -> Body:
    return {name: value for name, value in resource.items() if name not in ("id", "meta", "schemas")}

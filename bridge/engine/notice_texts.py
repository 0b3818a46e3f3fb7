"""What people are told of holds: why, how much, what is safe and what to do, in plain sentences and no names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.engine.guard import REASON_TEXTS
from bridge.observe.redact import clean_text
from bridge.ports import Hold, HoldFacts, Notice
from bridge.ports.notices import OPENED, REMINDER, TEST

_NOUNS: Mapping[Kind, tuple[str, str]] = {
    Kind.PERSON: ("person", "people"),
    Kind.GROUP: ("group", "groups"),
    Kind.AFFILIATION: ("affiliation", "affiliations"),
    Kind.MEMBERSHIP: ("membership", "memberships"),
    Kind.GUARDIANSHIP: ("guardianship", "guardianships"),
    Kind.INSTITUTION: ("institution", "institutions"),
}
_VERBS = {Operation.DELETED: "deleted", Operation.CREATED: "created", Operation.UPDATED: "changed"}
_COUNTED = {f"{kind}.{what}" for kind in _NOUNS for what in (*Operation, "stored")}
_LISTED = 40
_SAFE = (
    "Nothing is deleted until you decide, and nothing of what waits is changed or sent.",
    "Everything else goes on.",
)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes notices. `names` are the configured municipalities by code, `console` is where the status page is."""

    names: Mapping[str, str]
    console: str | None = None

    def opened(self, municipality: str, holds: Sequence[Hold], now: datetime) -> Notice:
        """Tell of new holds of one municipality."""
        head = f"{_number(holds)} for a decision in {self._place(municipality)}"
        return self._notice(OPENED, municipality, holds, now, head, ())

    def reminder(self, municipality: str, holds: Sequence[Hold], now: datetime, age: timedelta) -> Notice:
        """Tell of holds that have waited for longer than `age`."""
        head = f"Reminder: {_number(holds)} for a decision in {self._place(municipality)}"
        return self._notice(REMINDER, municipality, holds, now, head, (_since(age), ""))

    def test(self, municipality: str, identity: str, now: datetime) -> Notice:
        """Tell that telling works. `identity` is another for each test."""
        subject = f"Skolebro: test of notices for {self._place(municipality)}"
        lines = ["This is a test, asked for by `skolebro notices test`: nothing waits for it.", *self._end()]
        return Notice(identity, TEST, municipality, now, subject, _text(lines))

    def _notice(
        self,
        kind: str,
        municipality: str,
        holds: Sequence[Hold],
        now: datetime,
        head: str,
        first: Sequence[str],
    ) -> Notice:
        lines = [f"{head}.", "", *first]
        for hold in holds[:_LISTED]:
            lines += [*_about(hold), ""]
        if len(holds) > _LISTED:
            lines += [f"And {len(holds) - _LISTED} more: skolebro holds list", ""]
        lines += [*_SAFE, *self._end()]
        facts = tuple(map(_facts, holds))
        return Notice(_identity(kind, facts), kind, municipality, now, f"Skolebro: {head}", _text(lines), facts)

    def _place(self, code: str) -> str:
        name = clean_text(self.names.get(code, ""))
        return f"{name} ({code})" if name else f"municipality {code}"

    def _end(self) -> Iterator[str]:
        if self.console is not None:
            yield f"Console: {self.console}"


def _number(holds: Sequence[Hold]) -> str:
    return "1 hold waits" if len(holds) == 1 else f"{len(holds)} holds wait"


def _since(age: timedelta) -> str:
    hours = age / timedelta(hours=1)
    return f"You were told {hours:g} {'hour' if hours == 1 else 'hours'} ago or more; you are not reminded again."


def _about(hold: Hold) -> Iterator[str]:
    facts = _facts(hold)
    yield f"Hold {hold.id}: {_concerns(facts)}, since {hold.opened_at:%Y-%m-%d %H:%M} UTC"
    for reason in facts.reasons:
        yield f"  Why: {REASON_TEXTS.get(reason, reason.replace('_', ' '))}"
    if much := "; ".join(_amounts(facts.counts)):
        yield f"  How much: {much}"
    yield f"  Look at it: skolebro holds show {hold.id}"
    yield f"  Decide: skolebro holds approve {hold.id}, or skolebro holds reject {hold.id}"


def _concerns(facts: HoldFacts) -> str:
    place = f"target {facts.target}" if facts.target else f"institution {facts.institution}"
    match facts.subject:
        case "deletions":
            return f"deletions at {place}"
        case "target":
            return f"a changed mapping of {place}"
        case "drift":
            return f"differences found at {place}"
        case _:
            return f"a snapshot of {place}"


def _amounts(counts: Mapping[str, int]) -> Iterator[str]:
    """ "214 of 800 people deleted", from {person.deleted: 214, person.stored: 800}."""
    for operation, verb in _VERBS.items():
        for kind, (one, many) in _NOUNS.items():
            number = counts.get(f"{kind}.{operation}", 0)
            stored = counts.get(f"{kind}.stored", 0) if operation is not Operation.CREATED else 0
            if number:
                of = f" of {stored}" if stored else ""
                yield f"{number}{of} {one if number == 1 and not of else many} {verb}"


def _facts(hold: Hold) -> HoldFacts:
    """What is safe to tell: counts of known kinds, and of what a source may have written nothing unmasked."""
    return HoldFacts(
        hold=hold.id,
        subject=hold.subject,
        institution=clean_text(hold.institution),
        target=hold.target,
        reasons=tuple(map(clean_text, hold.reasons)),
        counts={label: number for label, number in hold.counts.items() if label in _COUNTED},
        opened_at=hold.opened_at,
    )


def _identity(kind: str, holds: Sequence[HoldFacts]) -> str:
    """The same for the same holds of the same bridge: their numbers alone begin anew with each state folder."""
    told = f"{kind}|" + "|".join(f"{one.hold}@{one.opened_at.timestamp()}" for one in holds)
    return sha256(told.encode()).hexdigest()[:32]


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"

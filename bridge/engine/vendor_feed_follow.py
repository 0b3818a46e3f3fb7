"""One vendor's journal: what it may see of a municipality, and in which order that came to be so.

It is brought up to date in the transaction in which it is read, so what is rendered then is what it says. It holds
keys and hashes; no field of a body is kept for a vendor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from bridge.domain.entities import DERIVED, Kind
from bridge.domain.events import event_subject
from bridge.domain.ids import Key
from bridge.domain.shelf import Entry, Shelved, step_time
from bridge.engine.codec import identity_fields
from bridge.engine.desire import REFERRERS_LAST, Rendered, Rendering, pages, render
from bridge.engine.referrers import referrers
from bridge.engine.scan import CLOCKS, last_before, living_rows
from bridge.engine.vendor_feed_cursor import CursorPast
from bridge.engine.vendor_feed_touched import Touched, note_causes, touched, words_of
from bridge.mapping import Ref
from bridge.ports import Reader, UnitOfWork

JOURNAL = "journal"
_FOLLOWED, _MARKS = "skolebro/followed", "skolebro/marks"
_PAGE = 1_000
_MARK_EVERY = timedelta(days=1)
_FIRST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Place:
    """How far a journal has come: by which mapping and scope, in the log, and at each institution."""

    digest: str
    sequence: int
    runs: Mapping[str, str]
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """At `at` the journal's last number was `number`; up to the first mark what is gone is forgotten."""

    at: datetime
    number: int


def follow(uow: UnitOfWork, rendering: Rendering, retention: timedelta, now: datetime) -> int:
    """Bring a journal up to what is stored now; return how many entities began, changed or ceased to be seen.

    What is gone is forgotten when that is longer ago than the retention.
    """
    seen, here = _place(uow, rendering), _here(uow, rendering)
    if seen is not None and not _is_behind(seen, here):
        return 0
    home, target = rendering.scope.municipality, rendering.target
    spoken = words_of(uow, home, here.runs, seen.runs if seen else {}, seen.words if seen else {})
    if seen is None or seen.digest != here.digest or seen.sequence < uow.log_floor(home):
        found = _everything(uow, rendering)
        note_causes(uow, home, found)
    else:
        changed = {number for number, sign in spoken.items() if seen.words.get(number) != sign}
        found = touched(uow, home, seen.sequence, changed, _of_people(uow, rendering, changed))
    before = uow.shelf_version(target)
    _bring(uow, rendering, found, now)
    _forget_old(uow, rendering, before, retention, now)
    place = Place(here.digest, here.sequence, here.runs, spoken)
    uow.set_shelf_note(target, _FOLLOWED, msgspec.json.encode(place).decode())
    return uow.shelf_version(target) - before


def is_followed(reader: Reader, rendering: Rendering) -> bool:
    """Whether the journal says what is stored now."""
    seen = _place(reader, rendering)
    return seen is not None and not _is_behind(seen, _here(reader, rendering))


def floor_of(reader: Reader, rendering: Rendering) -> int:
    """Whoever has come as far as this number, or begins at none, misses nothing that is gone."""
    marks = _marks(reader, rendering)
    return marks[0].number if marks else 0


def number_at(reader: Reader, rendering: Rendering, moment: datetime) -> int:
    """The number behind which the journal has all that changed at this moment or later, and perhaps a little more.

    Times grow with the numbers but for what clocks differ by (`CLOCKS`), so a few looks find it. Raises
    `CursorPast` for a time of which the gone are forgotten.
    """
    marks = _marks(reader, rendering)
    if marks and step_time(moment, None) < marks[0].at:  # as the shelf writes times
        raise CursorPast
    at = step_time(max(moment, _FIRST + CLOCKS) - CLOCKS, None)

    def following(number: int) -> Shelved | None:
        return next(iter(reader.shelved_after(rendering.target, JOURNAL, number, 1)), None)

    end = reader.shelf_version(rendering.target)
    before = last_before(end, following, lambda one: one.number, lambda one: one.changed_at < at)
    floor = marks[0].number if marks else 0
    # Behind the place there may be nothing any more up to where the gone are forgotten: then that is the place.
    first = following(before)
    return before if first is not None and first.number <= floor else max(before, floor)


def bodies(reader: Reader, rendering: Rendering, entries: Iterable[Shelved]) -> dict[str, Rendered]:
    """Render those of these entries that are not gone, by their ids, as they may be seen now."""
    keys: dict[Kind, list[Key]] = {}
    for one in entries:
        if not one.is_gone:
            keys.setdefault(Kind(one.document["kind"]), []).append(tuple(one.document["key"]))
    found: dict[str, Rendered] = {}
    for kind, some in keys.items():
        for key, made in _render(reader, rendering, kind, some).items():
            found[_subject(rendering, kind, key)] = made
    return found


# ---------------------------------------------------------------- what is to be looked at


def _everything(reader: Reader, rendering: Rendering) -> Touched:
    """All that lives of the kinds that the mapping sends, and all that the journal names."""
    home, found = rendering.scope.municipality, Touched()
    for kind in rendering.mapping.kinds():
        living = [row.key for row in living_rows(reader, home, DERIVED.get(kind, kind))]
        found.add(kind, [(home,)] if kind is Kind.MUNICIPALITY else living)
    for one in _entries(reader, rendering):
        found.add(Kind(one.document["kind"]), [tuple(one.document["key"])])
    return found


def _of_people(reader: Reader, rendering: Rendering, institutions: Collection[str]) -> set[str]:
    """The people in the journal of whom one of these institutions said anything."""
    if not institutions:
        return set()
    people = (one for one in _entries(reader, rendering) if not one.is_gone and one.document["kind"] == "person")
    return {one.document["key"][0] for one in people if set(institutions).intersection(one.document["at"])}


def _entries(reader: Reader, rendering: Rendering) -> Iterator[Shelved]:
    after = 0
    while page := reader.shelved_after(rendering.target, JOURNAL, after, _PAGE):
        yield from page
        after = page[-1].number


# ---------------------------------------------------------------- rendering and keeping


def _bring(uow: UnitOfWork, rendering: Rendering, found: Touched, now: datetime) -> None:
    """What others refer to comes first, and who begins or ceases to be seen brings along what refers to them."""
    home, kinds = rendering.scope.municipality, rendering.mapping.kinds()
    named = {Kind(one) for one in found.subjects} | kinds
    for kind in (kind for kind in REFERRERS_LAST if kind in named):
        flipped: set[Key] = set()
        for page in pages(sorted(found.subjects.get(kind, ()))):
            flipped |= _keep(uow, rendering, kind, page, found, now)
        for other, keys in referrers(uow, home, rendering.mapping, kind, flipped).items():
            found.add(other, keys)


def _keep(
    uow: UnitOfWork, rendering: Rendering, kind: Kind, keys: list[Key], found: Touched, now: datetime
) -> set[Key]:
    """Write down how these look; return those that began or ceased to be seen."""
    names = {key: _subject(rendering, kind, key) for key in keys}
    before = uow.shelved(rendering.target, JOURNAL, list(names.values()))
    made = _render(uow, rendering, kind, keys) if kind in rendering.mapping.kinds() else {}
    version, flipped, entries = uow.shelf_version(rendering.target), set(), []
    for key, name in names.items():
        was = before.get(name)
        is_there = was is not None and not was.is_gone
        if key in made:
            cause = found.cause(kind, key)
            entries += _living(kind, key, name, made[key], was if is_there else None, version, cause)
        elif was is not None and is_there:
            shown = {**was.document, "cause": found.cause(kind, key)}
            told = {one: shown[one] for one in ("kind", "key", "shown", "institution", "cause")}
            entries.append(Entry(JOURNAL, name, told, is_gone=True))
        if (key in made) is not is_there:
            flipped.add(key)
    uow.put_on_shelf(rendering.target, entries, now)
    return flipped


def _living(
    kind: Kind, key: Key, name: str, made: Rendered, was: Shelved | None, version: int, cause: str
) -> list[Entry]:
    """The entry of what is seen, none where it was so before; `began` is the number before it was seen first."""
    hashed = made.hash.hex()
    shown = {field: value for field, value in identity_fields(kind, key).items() if made.body.get(field) == value}
    told = {"hash": hashed, "shown": shown, "institution": made.institution, "at": list(made.institutions)}
    if was is not None and all(was.document[name] == value for name, value in told.items()):
        return []
    began = was.document["began"] if was is not None else version
    return [Entry(JOURNAL, name, {"kind": kind, "key": key, "began": began, "cause": cause, **told})]


def _render(reader: Reader, rendering: Rendering, kind: Kind, keys: Collection[Key]) -> dict[Key, Rendered]:
    def there(wanted: Collection[Ref]) -> set[str]:
        ids = {event_subject(ref.kind, ref.id): ref.id for ref in wanted}
        known = reader.shelved(rendering.target, JOURNAL, list(ids))
        return {ids[name] for name, one in known.items() if not one.is_gone}

    return render(reader, rendering, kind, keys, there)


def _subject(rendering: Rendering, kind: Kind, key: Key) -> str:
    return event_subject(kind, rendering.scope.id(kind, key))


# ---------------------------------------------------------------- how far it has come


def _here(reader: Reader, rendering: Rendering) -> Place:
    home = rendering.scope.municipality
    last = (run for run in reader.last_runs() if run.municipality == home and run.institution)
    runs = {run.institution: run.id for run in last if run.institution}
    return Place(rendering.digest, reader.last_sequence(home), runs)


def _is_behind(seen: Place, here: Place) -> bool:
    return (seen.digest, seen.sequence, seen.runs) != (here.digest, here.sequence, here.runs)


def _place(reader: Reader, rendering: Rendering) -> Place | None:
    told = reader.shelf_note(rendering.target, _FOLLOWED)
    return msgspec.json.decode(told, type=Place) if told else None


def _marks(reader: Reader, rendering: Rendering) -> list[Mark]:
    told = reader.shelf_note(rendering.target, _MARKS)
    return msgspec.json.decode(told, type=list[Mark]) if told else []


def _forget_old(uow: UnitOfWork, rendering: Rendering, number: int, retention: timedelta, now: datetime) -> None:
    """Note once a day where the journal stood, and forget what was gone at the last such moment that is too old.

    The first mark is where nothing is forgotten yet; `number` is where the journal stood before this step.
    """
    at = step_time(now, None)  # as the shelf writes times
    marks = _marks(uow, rendering) or [Mark(at - retention, 0)]
    if at - marks[-1].at >= _MARK_EVERY:
        marks.append(Mark(at, number))
    old = [mark for mark in marks if mark.at <= at - retention]
    if len(old) > 1:
        uow.forget_gone(rendering.target, old[-1].at)
        marks = marks[len(old) - 1 :]
    uow.set_shelf_note(rendering.target, _MARKS, msgspec.json.encode(marks).decode())

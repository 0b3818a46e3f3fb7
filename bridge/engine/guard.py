"""Before anything is written: would this snapshot do harm that only a person should allow?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bridge.domain.changes import Operation
from bridge.domain.entities import Kind
from bridge.domain.records import Header
from bridge.engine.detect import Detection
from bridge.engine.normalise import Normalised
from bridge.ports import ExpectedRoll, InstitutionState

WRONG_INSTITUTION = "wrong_institution"
OLDER = "older"
SAME_TIME = "same_time"
EMPTY = "empty"
SHRUNKEN = "shrunken"
GROWN = "many_created"
REWRITTEN = "many_updated"
UNPROTECTED = "unprotected"
SCHOOL_YEAR = "school_year"
FROM_FUTURE = "from_future"
MAPPING_REMOVES = "mapping_removes"
OTHER_SYSTEM = "other_system"
TARGET_SHRINKS = "target_shrinks"
TARGET_GROWS = "target_grows"
TARGET_REWRITTEN = "target_rewritten"
TARGET_DRIFTED = "target_drifted"
OF_THE_TIME = frozenset({OLDER, FROM_FUTURE, SAME_TIME})
"""Why the very content may be good at another time: it says nothing of the content."""
REJECTED = "rejected"
"""Why a snapshot is refused that a person has rejected: nobody needs to be told again."""

_ABSURD = timedelta(days=730)  # generous: a rehearsal of whole school years must pass

REASON_TEXTS: Mapping[str, str] = {
    WRONG_INSTITUTION: "the snapshot is of another institution than was asked for or configured",
    OLDER: "the snapshot is older than the last one that was recorded",
    SAME_TIME: "the snapshot says that it is as old as the last one, and says something else",
    EMPTY: "the snapshot has no persons at all, but the institution had some",
    SHRUNKEN: "more would be deleted than the threshold allows",
    GROWN: "more would be created than the threshold allows",
    REWRITTEN: "more would be changed than the threshold allows",
    UNPROTECTED: "more people would lose the protection of their name and address than the threshold allows",
    SCHOOL_YEAR: "a new school year begins: classes move up, some people leave and others start",
    FROM_FUTURE: "the snapshot says that it was made years from now: after it every real one would be older",
    OTHER_SYSTEM: "the target is another system now: everything would be sent to it anew",
    MAPPING_REMOVES: "the changed mapping or scope would remove more from the target than the threshold allows",
    TARGET_SHRINKS: "more would be deleted at the target than its threshold allows",
    TARGET_GROWS: "more would be created at the target than its threshold allows",
    TARGET_REWRITTEN: "more would be changed at the target than its threshold allows",
    "rest_of_a_part": "another part of it was approved; what is left waits for a person, however little it is",
    "part_of_a_hold": "a part of another hold, which was approved and carried out by itself",
    TARGET_DRIFTED: "much of what the target has differs from what it confirmed",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be created, updated and deleted at once of one kind.

    More than `max_..._percent` of what is stored, and at least `min_...`, is too much; so is more than `max_...`,
    whatever is stored. None: no such limit. `max_unprotected`: how many people may lose their protection.
    """

    max_deleted_percent: float | None = 25.0
    min_deleted: int = 3
    max_deleted: int | None = None
    max_created_percent: float | None = 50.0
    min_created: int = 25
    max_created: int | None = None
    max_updated_percent: float | None = 60.0
    min_updated: int = 50
    max_updated: int | None = None
    max_unprotected: int | None = 5

    def exceeded_by(self, number: int, stored: int, operation: Operation = Operation.DELETED) -> bool:
        """Whether so many of `stored` are too many."""
        percent, least, most = self._of(operation)
        if most is not None and number > most:
            return True
        return percent is not None and number >= least and number * 100 > percent * stored

    def is_limited(self, operation: Operation) -> bool:
        percent, _, most = self._of(operation)
        return percent is not None or most is not None

    def _of(self, operation: Operation) -> tuple[float | None, int, int | None]:
        match operation:
            case Operation.CREATED:
                return self.max_created_percent, self.min_created, self.max_created
            case Operation.UPDATED:
                return self.max_updated_percent, self.min_updated, self.max_updated
            case Operation.DELETED:
                return self.max_deleted_percent, self.min_deleted, self.max_deleted


# New teaching groups, and who is in them, come in any number on any day: unless a municipality says otherwise,
# it is people that are counted.
_PEOPLE = ("affiliation.student", "affiliation.employee", "affiliation.external")
_STAFF = ("affiliation.employee", "affiliation.external")
_WITH_PUPILS = ("affiliation.student", "contribution", "guardianship")
# Everybody's class and level changes with the year, but not who they are.
_NOT_BY_A_ROLL = {Operation.CREATED: frozenset(_PEOPLE), Operation.UPDATED: frozenset({"contribution"})}
_COUNTED = {
    Operation.CREATED: frozenset(_PEOPLE),
    Operation.UPDATED: frozenset((*_PEOPLE, "contribution")),
}


@dataclass(frozen=True, slots=True)
class GuardPolicy(Limits):
    """The limits of one municipality, institution or target.

    `kinds` are limits of their own for a kind, or for a kind and role ("affiliation.student"); `institutions` are
    policies of their own. Deletions within `window` count together, so that many small steps are seen as the large
    one that they make. An expected roll passes by itself unless more than `max_roll_leavers_percent` of the
    students leave. `people_needed` must approve a hold, each within `approval_lifetime`. Nobody is deleted at
    a target before `deletion_grace` has passed since the last institution let them go.
    """

    kinds: Mapping[str, Limits] = field(default_factory=dict)
    institutions: Mapping[str, GuardPolicy] = field(default_factory=dict)
    window: timedelta = timedelta(hours=24)
    max_roll_leavers_percent: float = 35.0
    people_needed: int = 1
    approval_lifetime: timedelta = timedelta(hours=24)
    deletion_grace: timedelta = timedelta(0)

    def of_institution(self, number: str) -> GuardPolicy:
        return self.institutions.get(number, self)

    def limits(self, label: str) -> Limits:
        return self.kinds.get(label) or self.kinds.get(label.partition(".")[0]) or self

    def counts(self, label: str, operation: Operation) -> bool:
        """Whether a limit is kept for that: deletions of every kind, the rest of people and of what is named."""
        is_named = label in self.kinds or label.partition(".")[0] in self.kinds
        return operation is Operation.DELETED or is_named or label in _COUNTED[operation]


@dataclass(frozen=True, slots=True)
class Situation:
    """What the guard knows beside the snapshot.

    `last` is the last that was recorded of the institution, None for the first. `expected` was asked for,
    `configured` may come at all (None: any). `earlier` counts what was deleted within the window before, and who
    lost a protection (`UNPROTECTED`).
    """

    now: datetime
    digest: str
    expected: str | None = None
    configured: frozenset[str] | None = None
    last: InstitutionState | None = None
    earlier: Mapping[str, int] = field(default_factory=dict)
    rolls: Sequence[ExpectedRoll] = ()


def held_for(policy: GuardPolicy, found: Normalised, detection: Detection, given: Situation) -> tuple[str, ...]:
    """Return the reasons to hold this snapshot, none when it may pass.

    The first snapshot of an institution is exempt from every comparison, as there is nothing to compare with; but
    not in what it says anew of people whom other institutions have told of.
    """
    number = found.header.institution_number
    reasons = []
    if not _is_wanted(number, given):
        reasons.append(WRONG_INSTITUTION)
    if given.last is not None and is_older(found.header, given.last):
        reasons.append(OLDER)
    if given.last is not None and _is_another_word(found.header, given.last, given.digest):
        reasons.append(SAME_TIME)
    if any(
        is_from_future(at, given.now) for at in (found.header.export_time, *found.header.source_times.values())
    ):
        reasons.append(FROM_FUTURE)
    if not found.has_people and (detection.gone["contribution"] or any(detection.stored[of] for of in _PEOPLE)):
        reasons.append(EMPTY)
    if given.last is None:
        return (*reasons, *_of_others(policy.of_institution(number), detection, given.earlier))
    is_roll = rolls(found.header, given.last)
    if is_roll and _is_expected(number, given) and _is_next(found.header, given.last):
        return (*reasons, *_roll_limits(policy.of_institution(number), detection, given.earlier))
    return (
        *reasons,
        *([SCHOOL_YEAR] if is_roll else ()),
        *_counts(policy.of_institution(number), detection, given),
    )


def _is_wanted(number: str, given: Situation) -> bool:
    is_asked_for = given.expected in (None, number)
    return is_asked_for and (given.configured is None or number in given.configured)


def is_older(header: Header, last: InstitutionState) -> bool:
    """Whether the export, or any of its import sources, goes back in time."""
    return header.export_time < last.export_time or any(
        time < last.source_times.get(name, time) for name, time in header.source_times.items()
    )


def _is_another_word(header: Header, last: InstitutionState, digest: str) -> bool:
    """Whether an export of the very same moment says something else: one of the two cannot be true.

    A state without a digest asks to be read anew.
    """
    return header.export_time == last.export_time and bool(last.digest) and digest != last.digest


def is_from_future(made_at: datetime, now: datetime) -> bool:
    """Whether an export, or what is in it, was made so late that after it every real one would be older."""
    return made_at > now + _ABSURD


# ---------------------------------------------------------------- numbers


def _counts(policy: GuardPolicy, detection: Detection, given: Situation) -> list[str]:
    found = []
    if exceeded(policy, detection, given.earlier):
        found.append(SHRUNKEN)
    found += _grown_or_rewritten(policy, detection)
    return [*found, *_exposed(policy, detection, given.earlier)]


def _grown_or_rewritten(
    policy: GuardPolicy, detection: Detection, only: Mapping[Operation, Collection[str]] | None = None
) -> list[str]:
    found = []
    for operation, reason in ((Operation.CREATED, GROWN), (Operation.UPDATED, REWRITTEN)):
        numbers = detection.created if operation is Operation.CREATED else detection.updated
        counted = {label: n for label, n in numbers.items() if only is None or label in only[operation]}
        if any(_is_too_much(policy, operation, label, n, detection.stored) for label, n in counted.items()):
            found.append(reason)
    return found


def _of_others(policy: GuardPolicy, detection: Detection, earlier: Mapping[str, int]) -> list[str]:
    label, operation = Kind.PERSON.value, Operation.UPDATED
    is_too_much = policy.limits(label).exceeded_by(detection.updated[label], detection.stored[label], operation)
    return [*([REWRITTEN] if is_too_much else []), *_exposed(policy, detection, earlier)]


def _exposed(policy: GuardPolicy, detection: Detection, earlier: Mapping[str, int]) -> list[str]:
    most, number = policy.max_unprotected, detection.unprotected + earlier.get(UNPROTECTED, 0)
    return [UNPROTECTED] if most is not None and detection.unprotected and number > most else []


def exceeded(policy: GuardPolicy, detection: Detection, earlier: Mapping[str, int]) -> frozenset[str]:
    """The labels of which more would be deleted than may be, what went before within the window included."""
    return frozenset(label for label in detection.gone if _goes(policy, label, detection, earlier))


def _goes(policy: GuardPolicy, label: str, detection: Detection, earlier: Mapping[str, int]) -> bool:
    before = earlier.get(label, 0)
    gone, stored = detection.gone[label], detection.stored[label]
    return gone > 0 and policy.limits(label).exceeded_by(gone + before, stored + before)


def _is_too_much(policy: GuardPolicy, operation: Operation, label: str, number: int, stored: Counter[str]) -> bool:
    return policy.counts(label, operation) and policy.limits(label).exceeded_by(number, stored[label], operation)


# ---------------------------------------------------------------- school years


def rolls(header: Header, last: InstitutionState) -> bool:
    """Whether any import source tells of another school year than it, or for a new one than any, did."""
    known = {name: _year(year) for name, year in last.school_years.items()}
    newest = max(known.values(), default="")
    told = {name: _year(source.school_year) for name, source in header.newest.items() if source.school_year}
    return bool(known) and any(
        year != known[name] if name in known else year > newest for name, year in told.items()
    )


def _is_next(header: Header, last: InstitutionState) -> bool:
    """Whether every import source that tells of another school year tells of the one after it."""
    known = {name: _year(year) for name, year in last.school_years.items()}
    newest = max(known.values(), default="")
    told = [(_year(source.school_year), known.get(name, newest)) for name, source in header.newest.items()]
    return all(year in ("", before) or _follows(year, before) for year, before in told)


def _follows(year: str, before: str) -> bool:
    return int(year) == int(before) + 1 if year.isdecimal() and before.isdecimal() else year > before


def _year(text: str) -> str:
    """The year in which a school year begins, however it is written."""
    match = re.search(r"\d{4}", text)
    return match[0] if match else text


def _is_expected(number: str, given: Situation) -> bool:
    return any(
        roll.institution in ("", number) and roll.opens_at <= given.now <= roll.closes_at for roll in given.rolls
    )


def _roll_limits(policy: GuardPolicy, detection: Detection, earlier: Mapping[str, int]) -> list[str]:
    """What even an expected roll may not do, what went before within the window included.

    Classes and who is in them go as a whole. Pupils leave, and what belongs to them goes along.
    """
    with_pupils = replace(policy, kinds={}, max_deleted_percent=policy.max_roll_leavers_percent, max_deleted=None)
    is_exodus = any(_goes(with_pupils, label, detection, earlier) for label in _WITH_PUPILS)
    is_staff_gone = any(_goes(policy, label, detection, earlier) for label in _STAFF)
    found = [
        *([SHRUNKEN] if is_exodus or is_staff_gone else ()),
        *_grown_or_rewritten(policy, detection, _NOT_BY_A_ROLL),
        *_exposed(policy, detection, earlier),
    ]
    return [SCHOOL_YEAR, *found] if found else []


def is_part(reasons: Collection[str]) -> bool:
    """Whether only the deletions are in doubt, so that everything else may be recorded."""
    return set(reasons) == {SHRUNKEN}

"""Whatever a municipality says, the book finds what somebody finds who looks at everything anew, by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.domain.anomalies import Anomaly, AnomalyCode
from bridge.domain.entities import Affiliation, Code, Contribution, Group, Kind, Membership, Role
from bridge.domain.records import AffiliationRecord, PersonRecord, Quarantined, Record
from bridge.engine.anomalies import AnomalyBook
from bridge.engine.guard import GuardPolicy
from tests.support.engine import (
    LEADER,
    MAIN,
    MORNING,
    OTHER_SCHOOL,
    PUPIL,
    SCHOOL,
    TEACHER,
    TOWN,
    Bench,
    group,
    header,
    parent,
    pupil,
    teacher,
)

TODAY = "2026-08-11"
DAYS = ("2025-07-31", "2026-08-10", TODAY, "2026-08-12", "2027-07-31")
SCHOOLS = (SCHOOL, OTHER_SCHOOL, "101003")
FREE = GuardPolicy(
    max_deleted_percent=None, max_created_percent=None, max_updated_percent=None, max_unprotected=None
)
MANY = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))

users = st.sampled_from([f"user{number}" for number in range(7)])
groups = st.sampled_from(["1A", "1B", "A", "SFO"])
numbers = st.none() | st.sampled_from(["0101101234", "0202101234", "0303101234"])


@st.composite
def people(draw: st.DrawFn) -> PersonRecord | Quarantined:
    user, inside = draw(users), draw(st.lists(groups, max_size=3))
    fields: dict[str, Any] = {"civil_registration_number": draw(numbers), "protected": draw(st.booleans())}
    match draw(st.sampled_from(["pupil", "homeless", "teacher", "leader", "aside"])):
        case "pupil":
            contacts = [
                parent(one, civil_registration_number=draw(numbers)) for one in draw(st.lists(users, max_size=1))
            ]
            level = draw(st.none() | st.just("1"))
            record = pupil(user, draw(groups), inside, contacts=contacts, level=level, **fields)
            assert record.affiliation is not None
            if draw(st.booleans()):
                return record
            return replace(record, affiliation=replace(record.affiliation, roles=(Code("child", "Barn"),)))
        case "homeless":
            record = pupil(user, "1A", **fields)
            return replace(record, affiliation=AffiliationRecord(Role.STUDENT, (PUPIL,), group_ids=tuple(inside)))
        case "aside":
            return Quarantined(f"Person[{user}]", "missing_main_group", user_id=user)
        case made:
            return teacher(user, inside, roles=[TEACHER if made == "teacher" else LEADER], **fields)


def declared() -> st.SearchStrategy[Record]:
    day = st.none() | st.sampled_from(DAYS)
    kinds = st.sampled_from([MAIN, Code("teaching", "Hold")])
    return st.builds(
        lambda identity, name, first, last, kind: replace(
            group(identity, name, from_date=first, to_date=last), type=kind
        ),
        groups,
        st.sampled_from(["a", "A ", "b"]),
        day,
        day,
        kinds,
    )


days = st.lists(
    st.tuples(st.sampled_from(SCHOOLS), st.lists(declared(), max_size=4), st.lists(people(), max_size=7)),
    min_size=1,
    max_size=5,
)


# ---------------------------------------------------------------- by hand


@dataclass(frozen=True)
class Desk:
    """All that is stored of a municipality, looked through one after the other."""

    groups: Sequence[Group]
    roles: Sequence[Affiliation]
    members: Sequence[Membership]
    words: Sequence[Contribution]
    aside: Sequence[tuple[str, str]]

    def of_pupils(self) -> Iterator[tuple[str, Anomaly]]:
        for one in self.roles:
            if one.role is not Role.STUDENT:
                continue
            at, user = one.institution_number, (one.user_id,)
            inside = {m.group_id for m in self.members if (m.institution_number, m.user_id) == (at, one.user_id)}
            if one.main_group is None and (at, one.user_id) not in self.aside:
                yield at, Anomaly(AnomalyCode.PUPIL_IN_NO_CLASS, users=user)
            if one.main_group is not None and one.main_group not in inside:
                yield at, Anomaly(AnomalyCode.PUPIL_MISSING_FROM_OWN_CLASS, (one.main_group,), user)
            classes = sorted(g.group_id for g in self.today(at) if is_class(g) and g.group_id in inside)
            if len(classes) >= 2:
                yield at, Anomaly(AnomalyCode.PUPIL_IN_SEVERAL_CLASSES, tuple(classes), user)
            if not one.level and "Elev" in [role.source for role in one.roles]:
                yield at, Anomaly(AnomalyCode.PUPIL_WITHOUT_LEVEL, users=user)
        for at, user_id in set(self.aside):
            yield at, Anomaly(AnomalyCode.PUPIL_IN_NO_CLASS, users=(user_id,))

    def of_staff(self) -> Iterator[tuple[str, Anomaly]]:
        for one in self.roles:
            is_teacher = one.role is Role.EMPLOYEE and "Lærer" in [role.source for role in one.roles]
            here = (one.institution_number, one.user_id)
            if is_teacher and here not in [(m.institution_number, m.user_id) for m in self.members]:
                yield one.institution_number, Anomaly(AnomalyCode.TEACHER_IN_NO_GROUP, users=(one.user_id,))

    def of_numbers(self) -> Iterator[tuple[str, Anomaly]]:
        held = {
            (w.person.civil_registration_number, w.user_id, w.institution_number)
            for w in self.words
            if w.person.civil_registration_number
        }
        for number, at in {(number, at) for number, _, at in held}:
            here = {user for n, user, place in held if (n, place) == (number, at)}
            if len({user for n, user, _ in held if n == number}) > 1:
                there = {p for n, user, p in held if n == number and p != at and user not in here}
                hidden = {w.user_id for w in self.words if w.person.protected}
                if any(n == number and user in hidden for n, user, _ in held):
                    there = set()
                found = Anomaly(
                    AnomalyCode.CPR_OF_SEVERAL_USERS, users=tuple(sorted(here)), also_at=tuple(sorted(there))
                )
                yield at, found

    def of_groups(self) -> Iterator[tuple[str, Anomaly]]:
        for one in self.groups:
            at, this = one.institution_number, (one.group_id,)
            inside = {m.user_id for m in self.members if (m.institution_number, m.group_id) == (at, one.group_id)}
            pupils = {r.user_id for r in self.roles if r.role is Role.STUDENT and r.institution_number == at}
            classed = {r.user_id for r in self.roles if (r.institution_number, r.main_group) == (at, one.group_id)}
            if is_class(one) and one in self.today(at) and not inside & pupils:
                yield at, Anomaly(AnomalyCode.CLASS_WITHOUT_PUPILS, this)
            if classed and one.type is not None and not is_class(one):
                yield at, Anomaly(AnomalyCode.MAIN_GROUP_OF_ANOTHER_TYPE, this, tuple(sorted(classed)))
            if one.type is None:
                yield at, Anomaly(AnomalyCode.GROUP_NOT_DECLARED, this, tuple(sorted(inside)))
            if one.to_date and one.to_date < TODAY and inside:
                yield at, Anomaly(AnomalyCode.ENDED_GROUP_WITH_MEMBERS, this, tuple(sorted(inside)))
            if one.from_date and one.to_date and one.from_date > one.to_date:
                yield at, Anomaly(AnomalyCode.GROUP_DATES_REVERSED, this)
            alike = sorted(g.group_id for g in self.today(at) if bare(g) == bare(one))
            if one in self.today(at) and len(alike) > 1 and alike[0] == one.group_id:
                yield at, Anomaly(AnomalyCode.GROUP_NAME_REPEATED, tuple(alike))

    def today(self, at: str) -> list[Group]:
        return [
            g
            for g in self.groups
            if g.institution_number == at
            and not (g.from_date and g.from_date > TODAY)
            and not (g.to_date and g.to_date < TODAY)
        ]


def is_class(one: Group) -> bool:
    return one.type is not None and one.type.source == "Hovedgruppe"


def bare(one: Group) -> str:
    return one.name.strip().lower()


def by_hand(bench: Bench) -> list[tuple[str, Anomaly]]:
    def all_of(kind: Kind) -> Iterable[Any]:
        return list(bench.entities(kind).values())

    with bench.store.read() as reader:
        rows = reader.quarantine(10_000, "quarantined")
    desk = Desk(
        *(list(all_of(kind)) for kind in (Kind.GROUP, Kind.AFFILIATION, Kind.MEMBERSHIP, Kind.CONTRIBUTION)),
        aside=[(row.institution, row.user_id or "") for row in rows if row.reason == "missing_main_group"],
    )
    return sorted([*desk.of_pupils(), *desk.of_staff(), *desk.of_numbers(), *desk.of_groups()])


@MANY
@given(days)
def test_the_book_finds_what_is_found_by_hand_after_every_snapshot(
    lived: list[tuple[str, list[Record], list[Record]]],
) -> None:
    bench, book = Bench(policy=FREE), AnomalyBook(b"key")
    for number, (school, some, everybody) in enumerate(lived):
        bench.clock.forward(hours=1)
        head = header(school, at=bench.clock.at, times={"KMD": MORNING})
        unique = {one.group_id: one for one in some}  # type: ignore[attr-defined]
        bench.take(*unique.values(), *everybody, head=head, expected=school)
        if number % 2 == 0:  # sometimes several snapshots lie between two looks
            book.look(bench.store, TOWN, TODAY)
    book.look(bench.store, TOWN, TODAY)
    found = [(one.institution, each) for one in book.found.get(TOWN, ()) for each in one.anomalies]
    assert sorted(found) == by_hand(bench)

"""The checks by single events: each says what it sends, what it wants and what to do where it is not so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from bridge.connector import Command
from bridge.domain.entities import Kind
from bridge.testing.certify.cast import TEXTS, Cast
from bridge.testing.certify.forgeries import Send, another, forgeries
from bridge.testing.certify.receiver import TO_COME, Receiver, body_of, is_taken, subject_of
from bridge.testing.certify.verdicts import Judgement, Verdict
from bridge.webhooks import RECOMMENDED_BYTES, Signer

_ROOM = 1_000
_BURST = 100
_A_WHILE = timedelta(seconds=30)


@dataclass(slots=True)
class Scene:
    """One receiver, a school for it, the subjects that the check under way is about, and what it found beside."""

    receiver: Receiver
    cast: Cast
    subjects: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def tell(self, *commands: Command) -> list[str]:
        """Send events that count, in order."""
        self.about(*commands)
        return [self.receiver.tell(one) for one in commands]

    def about(self, *commands: Command) -> None:
        self.subjects |= set(map(subject_of, commands))

    def again(self, *commands: Command) -> list[str]:
        """Send events that are to have no effect."""
        self.about(*commands)
        return [self.receiver.try_on(one) for one in commands]

    def person(self) -> Command:
        """Somebody whom the receiver has just been told of."""
        person = self.cast.person()
        self.tell(person)
        return person


Run = Callable[[Scene], list[str]]


@dataclass(frozen=True, slots=True)
class Check:
    """`run` returns the answers that are judged; where `is_refusal`, each has to be a refusal."""

    name: str
    sent: str
    run: Run
    advice: str
    is_refusal: bool = False


def judge(check: Check, receiver: Receiver, cast: Cast) -> Verdict:
    """Put a receiver through one check. Raises `HeldUnreadable` and `FellSilent`."""
    scene = Scene(receiver, cast)
    answers = check.run(scene)
    wanted = is_refused if check.is_refusal else is_taken
    found = verdict(check.name, check.sent, answers, wanted, receiver, scene.subjects, check.advice)
    return replace(found, problems=[*found.problems, *scene.problems])


def verdict(
    name: str,
    sent: str,
    answers: Sequence[str],
    is_right: Callable[[str], bool],
    receiver: Receiver,
    subjects: Collection[str],
    advice: str,
) -> Verdict:
    """Judge the answers, and what the receiver holds of these subjects. Raises `HeldUnreadable`."""
    wrong = sorted({one for one in answers if not is_right(one)})
    wish = "a refusal (400, 401 or 403)" if is_right is is_refused else "a 2xx"
    problems = [f"answered {', '.join(wrong)} where {wish} was due"] if wrong else []
    answered = _judged(wrong) if answers else Judgement.NOT_JUDGED
    differences = receiver.differences(subjects) if subjects else None
    held = Judgement.NOT_JUDGED if differences is None else _judged(differences)
    put_off = receiver.line.take_put_off()
    return Verdict(name, sent, answers, answered, held, [*problems, *(differences or ())], advice, put_off)


def _judged(problems: Sequence[str]) -> Judgement:
    return Judgement.FAILED if problems else Judgement.PASSED


def is_refused(answer: str) -> bool:
    return answer in ("400", "401", "403")


# ---------------------------------------------------------------- what each does


def _each_kind(scene: Scene) -> list[str]:
    cast = scene.cast
    school, group, person, contact = cast.institution(), cast.group("1A"), cast.person(), cast.person()
    linked = [cast.affiliation(person), cast.guardianship(person, contact), cast.membership(person, group)]
    made = [one for one in (school, group, person, contact, *linked) if one.kind in cast.kinds]
    other: dict[str, dict[str, Any]] = {
        Kind.INSTITUTION: {"name": "Testskolen, ny"},
        Kind.GROUP: {"name": "1A, ny"},
        Kind.PERSON: {"family_name": "Nyt Navn"},
        Kind.AFFILIATION: {"main_group": "1B"},
        Kind.GUARDIANSHIP: {"custody": False},
    }
    changed = [cast.changed(one, **other[one.kind]) if one.kind in other else cast.resent(one) for one in made]
    return scene.tell(*made) + scene.tell(*changed) + scene.tell(*map(cast.deleted, reversed(changed)))


def _repeat(scene: Scene) -> list[str]:
    person, receiver = scene.person(), scene.receiver
    changed = scene.cast.changed(person, family_name="Gift")
    scene.about(changed)
    before = receiver.now() - _A_WHILE
    same = Signer(receiver.secret, lambda: before)
    answers = [receiver.tell(changed, same), receiver.try_on(changed, same)]
    return answers + scene.again(scene.cast.tried_again(changed))


def _late_repeat(scene: Scene) -> list[str]:
    person = scene.person()
    scene.tell(scene.cast.changed(person, family_name="Gift"))
    return scene.again(person)


def _older(scene: Scene) -> list[str]:
    person = scene.person()
    newer = scene.cast.changed(person, by=3, family_name="Nyest")
    return scene.tell(newer) + scene.again(scene.cast.changed(person, by=2, family_name="Gammel"))


def _gap(scene: Scene) -> list[str]:
    return scene.tell(scene.cast.changed(scene.person(), by=40, family_name="Efter mange"))


def _orphan(scene: Scene) -> list[str]:
    if Kind.MEMBERSHIP not in scene.cast.kinds:
        return []
    person, group = scene.cast.person(), scene.cast.group("2B")
    return scene.tell(scene.cast.membership(person, group), person, group)


def _unknown_deletion(scene: Scene) -> list[str]:
    return scene.tell(scene.cast.deleted(scene.cast.person()))


def _created_twice(scene: Scene) -> list[str]:
    return scene.tell(scene.cast.created(scene.person(), family_name="Igen"))


def _unknown_update(scene: Scene) -> list[str]:
    return scene.tell(scene.cast.changed(scene.cast.person(), family_name="Aldrig oprettet"))


def _deletion(scene: Scene) -> list[str]:
    person = scene.person()
    gone = scene.cast.deleted(person)
    return scene.tell(gone) + scene.again(gone)


def _stays_gone(scene: Scene) -> list[str]:
    person = scene.person()
    late = scene.cast.changed(person, family_name="For sent")
    scene.tell(scene.cast.deleted(late))
    return scene.again(late, person)


def _comes_back(scene: Scene) -> list[str]:
    gone = scene.cast.deleted(scene.person())
    scene.tell(gone)
    return scene.tell(scene.cast.created(gone))


def _protected(scene: Scene) -> list[str]:
    return scene.tell(scene.cast.protected(scene.person()))


def _texts(scene: Scene) -> list[str]:
    answers = []
    for what, text in TEXTS.items():
        (answer,) = scene.tell(scene.cast.person(family_name=text))
        answers.append(answer)
        if not is_taken(answer):
            scene.problems.append(f"answered {answer} to a name with: {what}")
    return answers


def _large(scene: Scene) -> list[str]:
    room = RECOMMENDED_BYTES - _ROOM - len(body_of(scene.cast.person()))
    return scene.tell(scene.cast.person(family_name="y" * room))


def _more_fields(scene: Scene) -> list[str]:
    return scene.tell(scene.cast.person(**{TO_COME: {"of": ["any", "form"]}}))


def _burst(scene: Scene) -> list[str]:
    person = scene.person()
    answers = []
    for number in range(_BURST):
        person = scene.cast.changed(person, family_name=f"Nr. {number}")
        answers += scene.tell(person)
    return answers


def _forged(send: Send) -> Run:
    """Send an event that would count, if its signature held."""

    def run(scene: Scene) -> list[str]:
        person = scene.person()
        forged = scene.cast.changed(person, by=7, family_name="Forfalsket")
        other = scene.cast.changed(person, by=8, family_name="Anden")
        scene.receiver.may_know(other)
        return list(send(scene.receiver, forged, other))

    return run


def _two_signatures(scene: Scene) -> list[str]:
    changed = scene.cast.changed(scene.person(), family_name="Rettet")
    scene.about(changed)
    receiver = scene.receiver
    return [receiver.tell(changed, receiver.signer(secrets=f"{another(receiver.secret)}\n{receiver.secret}"))]


def checks() -> Iterator[Check]:
    """All of them, in the order in which they are made."""
    put = "Put what `data.object` says, and keep `entityversion` of each subject"
    drop = "Answer 2xx and do nothing where `entityversion` is not higher than the one that you hold"
    yield Check("each kind", "one of each kind: created, updated, deleted", _each_kind, put)
    yield Check(
        "repeat", "an event three times under one webhook-id, the third as at another attempt", _repeat, drop
    )
    yield Check("late repeat", "an older event again, after a newer one", _late_repeat, drop)
    yield Check("older version", "a version that is older than the one before", _older, drop)
    yield Check("gap", "a version that is far ahead of the last", _gap, f"Versions have gaps. {put}")
    yield Check(
        "reference ahead",
        "a membership before its pupil and its class",
        _orphan,
        "Keep it until both are there; a refusal would set it aside until it changes",
    )
    yield Check(
        "unknown deletion",
        "a deletion of somebody you never had",
        _unknown_deletion,
        "What is not there is deleted already: answer 2xx",
    )
    yield Check("created again", "created, for what you have", _created_twice, f"{put}, created or updated")
    yield Check("unknown update", "updated, for what you never had", _unknown_update, f"{put}, created or updated")
    yield Check("deletion", "a deletion, twice", _deletion, "Remove it, and keep its version")
    yield Check(
        "stays gone",
        "older events of somebody who was deleted",
        _stays_gone,
        "Keep the version of what is gone: an older event must not bring anybody back",
    )
    yield Check("comes back", "created, after a deletion", _comes_back, "A higher version counts, gone or not")
    yield Check(
        "protection",
        "a pupil becomes protected",
        _protected,
        "Put all of what is told, so that no name from before stays anywhere",
    )
    yield Check("texts", "names of all kinds", _texts, "Text is Unicode in UTF-8: keep it as it is")
    yield Check("large event", "an event of 19 kB", _large, "Take bodies of up to 20 kB")
    yield Check("more fields", "a field that you do not know", _more_fields, "Fields may be added: ignore others")
    yield Check(
        "burst",
        f"{_BURST} events as fast as you answer",
        _burst,
        "Answer 2xx once it is stored; 429 or 503 asks for patience, best with Retry-After",
    )
    refuse = "Verify `webhook-signature` over id, timestamp and body, and answer 401 before anything else"
    for one in forgeries():
        yield Check(one.name, one.sent, _forged(one.send), refuse, is_refusal=True)
    yield Check(
        "two signatures",
        "two signatures, the second one right",
        _two_signatures,
        "While a secret is changed a message has two signatures: one that holds is enough",
    )


CHECKS = tuple(checks())

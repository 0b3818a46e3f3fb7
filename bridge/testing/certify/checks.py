"""The checks by single events: each says what it sends, what it wants and what to do where it is not so."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bridge.connector import Command
from bridge.testing.certify.cast import Cast
from bridge.testing.certify.receiver import TO_COME, Message, Receiver
from bridge.testing.certify.verdicts import Judgement, Verdict

_LARGE, _ROOM = 20_000, 1_000
_BURST = 100
_FAR = timedelta(minutes=10)
_TEXTS = (
    "Åse Øjvind Ægidius", "O'Neill \"Bob\"", "=1+1", "-2+3 <b>&amp;</b>", "naïve\N{COMBINING ACUTE ACCENT}",
    "\N{FAMILY}\N{ZERO WIDTH JOINER}\N{GIRL}", "\N{RIGHT-TO-LEFT OVERRIDE}evil", "zero\N{ZERO WIDTH SPACE}width",
    "null", "Robert'); DROP TABLE students;--", "x" * 200, "日本語",
)  # fmt: skip


@dataclass(slots=True)
class Scene:
    """One receiver, a school for it, and the subjects that the check under way is about."""

    receiver: Receiver
    cast: Cast
    subjects: set[str]

    def tell(self, *commands: Command) -> list[str]:
        """Send events that count, in order."""
        self.about(*commands)
        return [self.receiver.tell(one) for one in commands]

    def about(self, *commands: Command) -> None:
        self.subjects |= {f"{one.kind}/{one.id}" for one in commands}

    def again(self, *commands: Command) -> list[str]:
        """Send events that are to have no effect."""
        self.about(*commands)
        return [self.receiver.send(Message.of(one)) for one in commands]

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
    """Put a receiver through one check. Raises `HeldUnreadable`."""
    scene = Scene(receiver, cast, set())
    answers = check.run(scene)
    wanted = is_refused if check.is_refusal else is_taken
    return verdict(check.name, check.sent, answers, wanted, receiver, scene.subjects, check.advice)


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
    differences = receiver.differences(subjects)
    held = Judgement.NOT_JUDGED if differences is None else _judged(differences)
    return Verdict(name, sent, answers, _judged(wrong), held, [*problems, *(differences or ())], advice)


def _judged(problems: Sequence[str]) -> Judgement:
    return Judgement.FAILED if problems else Judgement.PASSED


def is_taken(answer: str) -> bool:
    """Whether an event counts as arrived: any 2xx, but not a web page in its place."""
    return len(answer) == 3 and answer.startswith("2")


def is_refused(answer: str) -> bool:
    return answer in ("400", "401", "403")


# ---------------------------------------------------------------- what each does


def _each_kind(scene: Scene) -> list[str]:
    cast = scene.cast
    school, group, person = cast.institution(), cast.group("1A"), cast.person()
    made = [school, group, person, cast.affiliation(person), cast.membership(person, group)]
    answers = scene.tell(*made)
    changed = [cast.changed(school, name="Testskolen, ny"), cast.changed(person, family_name="Nyt Navn")]
    answers += scene.tell(*changed)
    latest = {one.id: one for one in [*made, *changed]}
    return answers + scene.tell(*(cast.deleted(one) for one in reversed(latest.values())))


def _repeat(scene: Scene) -> list[str]:
    person = scene.person()
    changed = scene.cast.changed(person, family_name="Gift")
    return scene.tell(changed) + scene.again(changed, changed)


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
    person, group = scene.cast.person(), scene.cast.group("2B")
    return scene.tell(scene.cast.membership(person, group), person, group)


def _unknown_deletion(scene: Scene) -> list[str]:
    return scene.tell(scene.cast.deleted(scene.cast.person()))


def _created_twice(scene: Scene) -> list[str]:
    person = scene.person()
    return scene.tell(scene.cast.created(scene.cast.changed(person, family_name="Igen")))


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
    person = scene.person()
    return scene.tell(scene.cast.changed(person, given_name="Navn", family_name="Beskyttet", protected=True))


def _texts(scene: Scene) -> list[str]:
    return scene.tell(*(scene.cast.person(family_name=text) for text in _TEXTS))


def _large(scene: Scene) -> list[str]:
    person = scene.cast.person()
    room = _LARGE - _ROOM - len(Message.of(person).body)
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


def _forged(make: Callable[[Receiver, Message, Message], str]) -> Run:
    """Send an event that would count, if its signature held."""

    def run(scene: Scene) -> list[str]:
        person = scene.person()
        forged = Message.of(scene.cast.changed(person, by=7, family_name="Forfalsket"))
        return [make(scene.receiver, forged, Message.of(scene.cast.changed(person, by=8, family_name="Anden")))]

    return run


def _two_signatures(scene: Scene) -> list[str]:
    person = scene.person()
    changed = scene.cast.changed(person, family_name="Rettet")
    scene.about(changed)
    scene.receiver.note(changed)
    receiver = scene.receiver
    both = f"{_another(receiver.secret)}\n{receiver.secret}"
    return [receiver.send(Message.of(changed), receiver.signed_by(both))]


def _another(secret: str) -> str:
    """Another secret of the same kind."""
    return f"{secret.split()[0].partition('_')[0]}_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def checks() -> Iterator[Check]:
    """All of them, in the order in which they are made."""
    put = "Put what `data.object` says, and keep `entityversion` of each subject"
    drop = "Answer 2xx and do nothing where `entityversion` is not higher than the one that you hold"
    yield Check("each kind", "a school, a class, a pupil: created, changed, deleted", _each_kind, put)
    yield Check("repeat", "an event three times under one webhook-id", _repeat, drop)
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
        "Answer 2xx once it is stored; 429 or 503 with Retry-After asks for patience",
    )
    refuse = "Verify `webhook-signature` over id, timestamp and body, and answer 401 before anything else"
    for name, sent, make in _FORGERIES:
        yield Check(name, sent, _forged(make), refuse, is_refusal=True)
    yield Check(
        "two signatures",
        "two signatures, the second one right",
        _two_signatures,
        "While a secret is changed a message has two signatures: one that holds is enough",
    )


_FORGERIES: Sequence[tuple[str, str, Callable[[Receiver, Message, Message], str]]] = (
    (
        "wrong secret",
        "an event signed by another secret",
        lambda receiver, forged, _: receiver.send(forged, receiver.signed_by(_another(receiver.secret))),
    ),
    (
        "changed body",
        "an event whose body is not the one that was signed",
        lambda receiver, forged, other: receiver.send(forged, body=other.body),
    ),
    ("no signature", "an event without a signature", lambda receiver, forged, _: receiver.send(forged, _unsigned)),
    (
        "other id",
        "an event whose webhook-id is not the one that was signed",
        lambda receiver, forged, other: receiver.send(
            forged, lambda _: {**receiver.signed(forged), "webhook-id": other.id}
        ),
    ),
    (
        "old timestamp",
        "an event signed ten minutes ago",
        lambda receiver, forged, _: receiver.send(forged, receiver.signed_at(-_FAR)),
    ),
    (
        "future timestamp",
        "an event signed in ten minutes",
        lambda receiver, forged, _: receiver.send(forged, receiver.signed_at(_FAR)),
    ),
)


def _unsigned(message: Message) -> dict[str, str]:
    return {"webhook-id": message.id}


CHECKS = tuple(checks())

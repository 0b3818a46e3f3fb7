"""What was found of a receiver, check by check, without a word of what it answered beyond its status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Judgement(StrEnum):
    """What came of one side of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_JUDGED = "not judged"


NO_ANSWER, NOT_SENT, PAGE = "no complete answer", "not sent", "a web page"

Answers = Sequence[str]
"""What came back, an entry a request: the status, or `NO_ANSWER`, or a status and `PAGE`, or `NOT_SENT`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check. `answered` judges the statuses, `held` what the receiver says that it holds.

    `problems` are plain sentences; `advice` says what to do where there are any. `put_off` is how often it asked
    for patience, which is no fault.
    """

    name: str
    sent: str
    answers: Answers
    answered: Judgement
    held: Judgement
    problems: Sequence[str] = ()
    advice: str = ""
    put_off: int = 0

    @property
    def is_passed(self) -> bool:
        return Judgement.FAILED not in (self.answered, self.held)

    @property
    def is_judged(self) -> bool:
        """Whether anything was sent for it: a mapping may not tell what a check is about."""
        return bool(self.answers) or self.held is not Judgement.NOT_JUDGED

    @property
    def counted(self) -> str:
        """The answers, as "204 (12), 400 (1)"."""
        return ", ".join(f"{answer} ({number})" for answer, number in sorted(Counter(self.answers).items()))


@dataclass(frozen=True, slots=True)
class Certificate:
    """All checks of one run; `seed` makes the same people again."""

    seed: int
    events: int
    verdicts: Sequence[Verdict]

    @property
    def is_passed(self) -> bool:
        return all(one.is_passed for one in self.verdicts)

    @property
    def is_held_judged(self) -> bool:
        return any(one.held is not Judgement.NOT_JUDGED for one in self.verdicts)

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": self.is_passed,
            "seed": self.seed,
            "events": self.events,
            "checks": [
                {
                    "check": one.name,
                    "passed": one.is_passed,
                    "sent": one.sent,
                    "answers": dict(sorted(Counter(one.answers).items())),
                    "answered": one.answered,
                    "held": one.held,
                    "put_off": one.put_off,
                    "problems": list(one.problems),
                    "advice": one.advice if not one.is_passed else "",
                }
                for one in self.verdicts
            ],
        }

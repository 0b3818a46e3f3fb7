"""Whether two words under one user id can be of one human being: a corrected record is, a re-used id is not."""

from __future__ import annotations

from unicodedata import normalize

from bridge.domain.entities import Person


def are_two(one: Person, other: Person) -> bool:
    """Whether two words under one user id speak of two human beings.

    They do where what nobody has two of differs (the CPR number; the day of birth, where one of them tells no
    number) and nothing else shows the same human: neither the whole name, nor day of birth and gender.
    A CPR number may change for good reason (stil.md §4), so alone it shows nothing.
    """
    return _contradict(one, other) and not (_have_same_name(one, other) or _have_same_birth(one, other))


def _contradict(one: Person, other: Person) -> bool:
    numbers = [_digits(person.civil_registration_number) for person in (one, other)]
    if all(numbers):
        return numbers[0] != numbers[1]
    return bool(one.birth_date and other.birth_date) and one.birth_date != other.birth_date


def _have_same_name(one: Person, other: Person) -> bool:
    return _name(one) == _name(other)


def _have_same_birth(one: Person, other: Person) -> bool:
    return one.birth_date is not None and (one.birth_date, one.gender) == (other.birth_date, other.gender)


def _digits(number: str | None) -> str:
    """The CPR number without the hyphen that some systems write."""
    return "".join(filter(str.isalnum, number or ""))


def _name(person: Person) -> str:
    return normalize("NFC", f"{person.given_name} {person.family_name}").casefold()

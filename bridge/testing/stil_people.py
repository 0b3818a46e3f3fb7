"""Made-up people: nobody twice, and nobody who can exist."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import count
from typing import Literal, TypeVar

T = TypeVar("T")
Gender = Literal["M", "K"]
GENDERS: tuple[Gender, ...] = ("K", "M")

GIVEN_NAMES: dict[Gender, tuple[str, ...]] = {
    "K": ("Ida", "Freja", "Alma", "Asta", "Karla", "Åse", "Østa", "Sørine", "Ella", "Maja", "Liv", "Signe"),
    "M": ("Søren", "Bjørn", "Åge", "Jørgen", "Lucas", "Oliver", "Emil", "Viggo", "Aksel", "Torbjørn", "Noah"),
}  # fmt: skip
FAMILY_NAMES = (
    "Østergaard", "Møller", "Åkjær", "Jørgensen", "Sørensen", "Nygård", "Hansen", "Nielsen", "Kjær", "Bæk",
    "O'Brien", "Holm-Ærø", "Christensen", "Lund", "Schmidt", "Skov", "Vestergaard", "Dam", "Toft", "Bødker",
)  # fmt: skip
STREETS = ("Nørregade", "Kirkestræde", "Åboulevarden", "Strandvejen", "Skolegade", "Østre Allé", "Ærøvej")
DISTRICTS = (("2760", "Måløv"), ("3650", "Ølstykke"), ("2740", "Skovlunde"), ("3320", "Skævinge"))
MARK = re.compile(r" Q\d{7}\b")
"""What makes a name or a street of a marked municipality the only one of its kind."""
ASCII = str.maketrans({"æ": "ae", "ø": "oe", "å": "aa"})


@dataclass(frozen=True, slots=True)
class Address:
    street: str
    postal_code: str
    postal_district: str
    municipality_code: str


@dataclass(frozen=True, slots=True)
class Phone:
    number: str
    is_protected: bool


@dataclass(frozen=True, slots=True)
class Alias:
    given_name: str
    family_name: str


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the authority's export knows them; with an alias they are protected."""

    user_id: str
    given_name: str
    family_name: str
    cpr: str
    birth_date: date
    gender: str
    email: str | None
    address: Address
    mobile_phone: Phone | None
    alias: Alias | None


class MadeUpPeople:
    """Everyone there has been, by user id; all chance comes from `rng`.

    With `is_marked` each family name and each street ends in a mark that no other has, and no phone is had twice.
    """

    def __init__(
        self, rng: random.Random, municipality_code: str, protected_percent: float, *, is_marked: bool = False
    ) -> None:
        self._random = rng
        self._marks = count(1) if is_marked else None
        self._municipality_code = municipality_code
        self._protected_percent = protected_percent
        self._people: dict[str, Person] = {}
        self._cprs: set[str] = set()
        self._numbers: set[str] = set()

    def __getitem__(self, user_id: str) -> Person:
        return self._people[user_id]

    def create(
        self,
        born: int,
        gender: Gender | None = None,
        family_name: str | None = None,
        address: Address | None = None,
    ) -> Person:
        """Make a person born in the year `born`; what is not given is left to chance."""
        chosen: Gender = self._random.choice(GENDERS) if gender is None else gender
        given_name = self._random.choice(GIVEN_NAMES[chosen])
        user_id = _unused(lambda: self._make_user_id(given_name), self._people)
        birth_date = date(born, 1, 1) + timedelta(days=self._random.randrange(365))
        person = Person(
            user_id=user_id,
            given_name=given_name,
            family_name=self._marked(family_name or self._random.choice(FAMILY_NAMES)),
            cpr=_unused(lambda: self._make_cpr(birth_date, chosen), self._cprs),
            birth_date=birth_date,
            gender=chosen,
            email=f"{user_id}@skole.example" if self._happens(90) else None,
            address=self._marked_address(address or self._make_address()),
            mobile_phone=self._make_phone() if self._happens(80) else None,
            alias=self._make_alias() if self._happens(self._protected_percent) else None,
        )
        self._cprs.add(person.cpr)
        self._people[user_id] = person
        return person

    def change_details(self, user_id: str, day: int) -> None:
        """Give a person another e-mail address, phone or family name."""
        person = self._people[user_id]
        match self._random.choice(("email", "mobile_phone", "family_name")):
            case "email":
                changed = replace(person, email=f"{user_id}.{day}@post.example")
            case "mobile_phone":
                changed = replace(person, mobile_phone=self._make_phone(unlike=person.mobile_phone))
            case _:
                others = [name for name in FAMILY_NAMES if name != person.family_name]
                changed = replace(person, family_name=self._marked(self._random.choice(others)))
        self._people[user_id] = changed

    def toggle_protection(self, user_id: str) -> None:
        """Protect a person who was not, or the other way round."""
        person = self._people[user_id]
        self._people[user_id] = replace(person, alias=None if person.alias else self._make_alias())

    def _happens(self, percent: float) -> bool:
        return self._random.random() * 100 < percent

    def _make_user_id(self, given_name: str) -> str:
        # UNI-Login has two forms: henr276q, and since it ran short of those 1000013b36.
        if self._happens(20):
            return f"1000{self._random.randrange(16**6):06x}"
        letters = given_name.lower().translate(ASCII).ljust(4, "x")[:4]
        return f"{letters}{self._random.randrange(1000):03d}{self._random.choice(string.ascii_lowercase)}"

    def _make_cpr(self, birth_date: date, gender: Gender) -> str:
        # Sixty is added to the day, as in the source's own test users: such a number belongs to nobody.
        century = self._random.choice((4, 9)) if birth_date.year >= 2000 else self._random.randrange(4)
        last = self._random.randrange(0, 10, 2) + (gender == "M")
        serial = f"{century}{self._random.randrange(100):02d}{last}"
        return f"{birth_date.day + 60:02d}{birth_date:%m%y}{serial}"

    def _make_address(self) -> Address:
        street = f"{self._random.choice(STREETS)} {self._random.randrange(1, 200)}"
        return Address(street, *self._random.choice(DISTRICTS), self._municipality_code)

    def _make_phone(self, unlike: Phone | None = None) -> Phone:
        taken = {*({unlike.number} if unlike else ()), *self._numbers}
        number = _unused(lambda: str(self._random.randrange(20_000_000, 100_000_000)), taken)
        if self._marks is not None:
            self._numbers.add(number)
        return Phone(number, is_protected=self._happens(5))

    def _marked(self, text: str) -> str:
        """The text with a new mark instead of the one that it may have."""
        return text if self._marks is None else f"{MARK.sub('', text)} Q{next(self._marks):07d}"

    def _marked_address(self, address: Address) -> Address:
        return replace(address, street=self._marked(address.street)) if self._marks is not None else address

    def _make_alias(self) -> Alias:
        return Alias("Navne", f"Beskyttet {self._random.randrange(1000)}")


def _unused(make: Callable[[], T], taken: Container[T]) -> T:
    value = make()
    while value in taken:
        value = make()
    return value

"""Families and staff of a made-up municipality: siblings share their parents, and some parents teach."""

from __future__ import annotations

import random

from bridge.testing.stil_calendar import School
from bridge.testing.stil_makeup import LAST_SFO, LEVELS, OCCUPATIONS, Makeup
from bridge.testing.stil_people import MadeUpPeople, Person
from bridge.testing.stil_records import Contact, Employee


class Households:
    """Who lives with whom, and who works; all chance comes from `rng`. Adults are as old as in `year`."""

    def __init__(self, rng: random.Random, people: MadeUpPeople, makeup: Makeup, year: int) -> None:
        self._random, self._people, self._makeup, self._year = rng, people, makeup, year
        self._families: list[tuple[Contact, ...]] = []

    def family(self) -> tuple[Contact, ...]:
        """The contacts of a pupil: those of a sibling, or new ones."""
        if self._families and self._happens(self._makeup.sibling_percent):
            return self._random.choice(self._families)
        born = self._year - self._random.randrange(30, 50)
        mother = self._people.create(born, "K")
        contacts = [self._contact(mother, "Mor")]
        if not self._happens(self._makeup.single_contact_percent):
            father = self._people.create(born - 2, "M", mother.family_name, mother.address)
            contacts.append(self._contact(father, "Far" if self._happens(95) else "Officielt tilknyttet person"))
        self._families.append(tuple(contacts))
        return self._families[-1]

    def child(self, born: int, contacts: tuple[Contact, ...]) -> Person:
        """A new child that lives with the first of these contacts."""
        home = self._people[contacts[0].user_id]
        return self._people.create(born, family_name=home.family_name, address=home.address)

    def worker(self) -> Person:
        """Somebody to employ, who may be a parent."""
        parents = self._random.choice(self._families) if self._happens(self._makeup.parent_percent) else ()
        return self._people[parents[0].user_id] if parents else self.adult()

    def adult(self) -> Person:
        """Somebody new who is no parent."""
        return self._people.create(self._year - self._random.randrange(22, 67))

    def extra_groups(self, level: str) -> tuple[str, ...]:
        """What a pupil of this level belongs to beside the class."""
        groups = [f"AARG{level}"]
        if int(level) <= LAST_SFO and self._happens(60):
            groups.append("SFO")
        if self._makeup.teaching_groups and self._happens(20):
            groups.append(f"HOLD{self._random.randrange(self._makeup.teaching_groups)}")
        return tuple(groups)

    def employment(self, school: School, person: Person, staff_role: str) -> Employee:
        """What somebody does at a school, in up to three of its classes."""
        roles = (staff_role, "Konsulent") if staff_role == "Lærer" and self._happens(5) else (staff_role,)
        ending = school.staff_ending
        classes = {self.some_class(ending): None for _ in range(self._random.randrange(4))}
        short_name = (person.given_name[:2] + person.family_name[:2]).upper()
        return Employee(roles, short_name, OCCUPATIONS[staff_role], tuple(classes))

    def some_class(self, ending: str) -> str:
        """Any class of a school whose class ids have this ending."""
        return self._random.choice(LEVELS) + self._random.choice(self._makeup.tracks) + ending

    def staff_role(self) -> str:
        """A role that staff may have, the common ones more often."""
        return self._random.choices(("Lærer", "Pædagog", "TAP", "Vikar", "Ledelse"), (70, 15, 8, 5, 2))[0]

    def _contact(self, person: Person, relation: str) -> Contact:
        has_custody = self._happens(95)
        return Contact(person.user_id, relation, has_custody, access_level=int(has_custody))

    def _happens(self, percent: float) -> bool:
        return self._random.random() * 100 < percent

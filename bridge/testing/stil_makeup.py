"""How a made-up municipality is put together, and how much happens there in a day."""

from __future__ import annotations

from dataclasses import dataclass

LEVELS = tuple(str(level) for level in range(10))
LAST_SFO = 3
NAMES = (
    "Højvangskolen",
    "Åbyskolen",
    "Sønderskov Skole",
    "Nørremarksskolen",
    "Ærøvejens Skole",
    "Egebækskolen",
)
# The ampersand and the angle brackets are there to be escaped.
SUBJECTS = ("Tysk 7-9", "Matematik & It <valgfag>", "Håndværk og design", "Fransk", "Billedkunst", "Kor")
OCCUPATIONS = {
    "Lærer": "Lærer", "Pædagog": "Pædagog", "Vikar": "Lærervikar", "Leder": "Skoleleder",
    "Ledelse": "Afdelingsleder", "TAP": "Teknisk serviceleder", "Konsulent": "Læsevejleder",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Makeup:
    """How the municipality is put together; what ends in `_percent` is a share of those it can befall.

    With `is_marked` no two people share a family name, a street or a phone: each can be found in any text.
    Raises `ValueError` for a single track, which leaves no class to move to.
    """

    tracks: str = "ABC"
    teaching_groups: int = 3  # a school
    pupils_per_employee: int = 9
    externals: int = 2  # a school
    manual_users: int = 2  # a school
    sibling_percent: float = 40
    single_contact_percent: float = 20
    protected_percent: float = 2
    two_schools_percent: float = 6  # of the staff
    parent_percent: float = 10  # of the staff
    is_marked: bool = False

    def __post_init__(self) -> None:
        if len(set(self.tracks)) < 2:
            raise ValueError("a municipality needs two tracks, so that a pupil can change class")


@dataclass(frozen=True, slots=True)
class Churn:
    """How much happens in a day, in per cent; a share above nought befalls at least one.

    `moves` are pupils who change school, and may be at neither or at both for a day. `returners` are of the pupils
    who leave; they come back after a number of days between the two of `away`.
    """

    joiners: float = 0.3
    leavers: float = 0.3
    class_moves: float = 0.5
    contact_details: float = 1.0
    protection: float = 0.1
    staff_roles: float = 0.5
    moves: float = 0.0
    returners: float = 0.0
    away: tuple[int, int] = (14, 60)

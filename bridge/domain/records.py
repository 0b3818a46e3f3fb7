"""What a source hands over: records in the field's vocabulary, before identity and merge.

A source translates its own codes (Danish enumerations) while it parses; who a person is
and what has changed is decided later, by the engine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bridge.domain.entities import Code, Person, Role
from bridge.domain.privacy import Protection


@dataclass(frozen=True, slots=True)
class ImportSource:
    """One administrative system behind a snapshot (wsiEKSPORT v7 ImportSource)."""

    name: str
    time: datetime
    school_year: str


@dataclass(frozen=True, slots=True)
class Header:
    """The first record of every snapshot. `export_time` is aware.

    `states_protection`: whether the document can say who is protected. One that cannot says nothing of it:
    what is stored of a person's protection stays.
    """

    institution_number: str
    institution_name: str | None
    export_time: datetime
    sources: tuple[ImportSource, ...] = ()
    states_protection: bool = True

    @property
    def newest(self) -> dict[str, ImportSource]:
        """The import sources by name; of several with one name the newest."""
        return {source.name: source for source in sorted(self.sources, key=lambda source: source.time)}

    @property
    def source_times(self) -> dict[str, datetime]:
        """When each import source was last read."""
        return {name: source.time for name, source in self.newest.items()}


@dataclass(frozen=True, slots=True)
class GroupRecord:
    path: str
    group_id: str
    name: str | None
    type: Code
    level: str | None = None
    line: str | None = None
    from_date: str | None = None
    to_date: str | None = None


@dataclass(frozen=True, slots=True)
class ContactRecord:
    path: str
    person: Person
    relation: Code
    custody: bool
    access_level: int


@dataclass(frozen=True, slots=True)
class AffiliationRecord:
    """The one role that a person record carries; `group_ids` includes the main group of a student."""

    role: Role
    roles: tuple[Code, ...] = ()
    level: str | None = None
    main_group: str | None = None
    group_ids: tuple[str, ...] = ()
    student_number: str | None = None
    location: str | None = None
    short_name: str | None = None
    occupation: str | None = None
    contacts: tuple[ContactRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class PersonRecord:
    path: str
    source: str
    local_person_id: str | None
    person: Person
    affiliation: AffiliationRecord | None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that cannot be used: it stops itself and shields what is stored of the same person or group.

    `protected` says that the record states a protection of its person, and `stating` are the people whom it names
    with what it states of them, by user id: that much of it is believed.
    `path` is the place in the document, `reason` a stable snake_case code; neither holds a value of the person.
    """

    path: str
    reason: str
    source: str | None = None
    local_person_id: str | None = None
    user_id: str | None = None
    group_id: str | None = None
    protected: bool = False
    stating: tuple[tuple[str, Protection], ...] = ()


@dataclass(frozen=True, slots=True)
class Noted:
    """Something odd that was understood all the same (an unknown code, an unknown element)."""

    path: str
    reason: str


Record = Header | GroupRecord | PersonRecord | Quarantined | Noted


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One institution's export as it came.

    `digest` is of what the export says, its envelope and time of export aside: the same content has the
    same digest. `origin` says where it came from, for people. `expected_institution` is what was asked for
    (None when the source cannot know);
    `handle` is the source's own mark, given back to `SnapshotSource.taken`. `export_time` is when the export says
    it was made (aware), where that can be known without reading all of it.
    """

    body: bytes = field(repr=False)
    digest: str
    origin: str
    expected_institution: str | None = None
    handle: str | None = None
    export_time: datetime | None = None

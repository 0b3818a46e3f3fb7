"""The names and codes of wsiEKSPORT v7, each with the word that Skolebro has for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.domain.entities import Code
from connectors.stil.gate import SEPARATOR
from connectors.stil.services import EXPORTS, SHARED, SizeName

SERVICE = EXPORTS.namespace
COMMON = f"{SERVICE}/common"


REGNR = re.compile(r"[A-Za-z0-9]{1,6}")


def qualified(namespace: str, name: str) -> str:
    """Return a name as the stream writes it."""
    return f"{namespace}{SEPARATOR}{name}"


def _common(*names: str) -> Mapping[str, str]:
    """Map element names in the common namespace, written "Element field", to our field names."""
    pairs = (name.split() for name in names)
    return {qualified(COMMON, element): field for element, field in pairs}


@dataclass(frozen=True, slots=True)
class Size:
    """The names that one export size has of its own: an element lives where its type is declared.

    `states_protection`: every person is said to be protected or not; `names_aliases`: beside the real name.
    """

    name: SizeName
    root: str
    institution: str
    record: str
    person: str
    student: str
    contact: str
    person_texts: Mapping[str, str]
    states_protection: bool
    names_aliases: bool


def _size(
    size: SizeName, namespace: str, root: str, *, states_protection: bool = False, names_aliases: bool = False
) -> Size:
    def own(name: str) -> str:
        return qualified(f"{SERVICE}/{namespace}", name)

    return Size(
        name=size,
        root=own(root),
        institution=own("Institution"),
        record=own("InstitutionPerson"),
        person=own("Person"),
        student=own("Student"),
        contact=own("ContactPerson"),
        person_texts={
            **_PERSON_TEXTS,
            own("AliasFirstName"): "alias_given_name",
            own("AliasFamilyName"): "alias_family_name",
        },
        states_protection=states_protection,
        names_aliases=names_aliases,
    )


_PERSON_TEXTS = _common(
    "UserId user_id",
    "FirstName given_name",
    "FamilyName family_name",
    "CivilRegistrationNumber civil_registration_number",
    "CivilRegistrationNumberType civil_registration_number_type",
    "EmailAddress email",
    "BirthDate birth_date",
    "Gender gender",
    "PhotoId photo_id",
)

SIZES = {
    size.root: size
    for size in (
        _size("lille", "small", "UNILoginExportSmall"),
        _size("mellem", "medium", "UNILoginExportMedium"),
        _size("fuld", "full", "UNILoginExportFull", states_protection=True),
        _size(
            "fuldmyndighed",
            "fullmyndighed",
            "UNILoginExportFullMyndighed",
            states_protection=True,
            names_aliases=True,
        ),
    )
}
"""The payload documents by the name of their root."""

NAMESPACES = frozenset(
    {SHARED, COMMON, *(f"{SERVICE}/{size}" for size in ("small", "medium", "full", "fullmyndighed"))}
)
"""Every namespace of the contract's payloads."""

IMPORT_SOURCE = qualified(COMMON, "ImportSource")
INSTITUTION_NUMBER = qualified(COMMON, "InstitutionNumber")
USER_ID = qualified(COMMON, "UserId")
INSTITUTION_NAME = qualified(COMMON, "InstitutionName")
GROUP = qualified(COMMON, "Group")
EMPLOYEE = qualified(COMMON, "Employee")
EXTERNAL = qualified(COMMON, "Extern")
ROLE = qualified(COMMON, "Role")
GROUP_REFERENCE = qualified(SHARED, "GroupId")
ADDRESS = qualified(COMMON, "Address")
PHONES = _common("HomePhoneNumber home_phone", "WorkPhoneNumber work_phone", "MobilePhoneNumber mobile_phone")

GROUP_TEXTS = _common(
    "GroupId group_id",
    "GroupName name",
    "GroupType type",
    "GroupLevel level",
    "Line line",
    "FromDate from_date",
    "ToDate to_date",
)
RECORD_TEXTS = {qualified(SHARED, "LocalPersonId"): "local_person_id"}
STUDENT_TEXTS = _common(
    "Role role", "StudentNumber student_number", "Level level", "Location location", "MainGroupId main_group"
)
EMPLOYEE_TEXTS = _common("ShortName short_name", "Occupation occupation", "Location location")
EXTERNAL_TEXTS = _common("Role role")
ADDRESS_TEXTS = _common(
    "StreetAddress street",
    "PostalCode postal_code",
    "PostalDistrict postal_district",
    "CountryCode country_code",
    "MunicipalityCode municipality_code",
    # Known and passed over: they only spell out the two codes.
    "Country country",
    "MunicipalityName municipality_name",
)


def _codes(**values: str) -> Mapping[str, Code]:
    return {source: Code(value, source) for value, source in values.items()}


GROUP_TYPES = _codes(
    main="Hovedgruppe",
    year="Årgang",
    stream="Retning",
    teaching="Hold",
    after_school="SFO",
    team="Team",
    other="Andet",
)
RELATIONS = _codes(mother="Mor", father="Far", other="Andet", official="Officielt tilknyttet person")
STUDENT_ROLES = _codes(child="Barn", pupil="Elev", student="Studerende")
EMPLOYEE_ROLES = _codes(
    teacher="Lærer",
    pedagogue="Pædagog",
    substitute="Vikar",
    leader="Leder",
    management="Ledelse",
    technical_administrative="TAP",
    consultant="Konsulent",
)
EXTERNAL_ROLES = _codes(trainee="Praktikant", external="Ekstern")
GENDERS = frozenset({"M", "K"})
NUMBER_TYPES = frozenset({"CPR_VERIFIED", "CPR_UNVERIFIED", "CPR_REPLACEMENT_ID", "CPR_UNKNOWN_TYPE"})
LEVELS = frozenset({"DT", *map(str, range(11)), "U1", "U2", "U3", "U4", "VU", "Andet"})
SCHOOL_YEAR = re.compile(r"(\d{4})-(\d{4})")
COUNTRY_CODE = re.compile(r"[A-Z]{2}")
MANUAL_SOURCE = "HUGO Brugeradministrationen"
"""The source of users that somebody made at STIL by hand; no import has it (stil.md §3.3)."""
XSI = f"http://www.w3.org/2001/XMLSchema-instance{SEPARATOR}"
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}

"""Codes of deliveries, holds and rules in the words of somebody who answers a school on the telephone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from bridge.domain.entities import Kind
from bridge.domain.ids import Key
from bridge.domain.outcomes import status_in

_CODE = re.compile(r"[A-Za-z0-9_.:\-]{1,80}")

REASONS: Mapping[str, str] = {
    "waiting_for_reference": "it refers to something that the platform has not confirmed yet",
    "grace": "the deletion is put off, because the person may turn up at another institution",
    "deactivated": "it is deactivated at the platform, and deleted there when its time has come",
    "kept_alive": "somebody decided that the person is kept",
    "deletions_held": "a hold stops deletions at this platform until somebody decides",
    "replayed": "the platform confirmed it, and its vendor asked to be told once more, behind all else",
    "held": "a hold at this platform stops it until somebody allows it",
    "drift_parked": (
        "the platform keeps changing it back, so it is left alone until somebody asks for it with "
        "`skolebro deliveries retry`"
    ),
    "changed_meanwhile": "somebody changed it at the platform at the same moment",
    "answer_not_scim": "the platform answered with something that is no SCIM",
    "bulk_unanswered": "the platform did not say what became of it among many sent at once",
    "answer_is_a_page": "a web page answered in place of the platform: a login or maintenance page",
    "event_too_large": "its event is larger than max_event_bytes of the target allows",
    "many_deferred": "the platform put off one entity after the other",
    "interrupted": "the bridge was stopped before the answer came",
    "taken_by_other": "the platform has somebody else under the same name, whom another system owns",
    "ambiguous_match": "the platform has it more than once, so nobody knows which one is meant",
    "forbidden": "the platform forbids it for this entity alone",
    "formula": "a spreadsheet would run the value as a formula",
    "control_character": "the value has a sign that no file of this form can carry",
    "not_in_xml": "the value has a sign that no XML document can carry",
    "line_break": "the value has a line break, which the platform does not take",
    "sign_of_a_list": "the value has a sign that divides lists in the file",
    "required_missing": "the platform requires a value that there is not",
    "too_long": "the value is longer than the platform takes",
    "unknown_role": "the mapping gives a role that the platform does not have",
    "unknown_type": "the mapping gives a type that the platform does not have",
    "refused_by_platform": "the platform refuses it as it is",
    "status_later": "the platform says that it does it later",
    "resource_not_configured": "the target's configuration has no such resource",
    "connector_error": "the connector has a bug with this entity: report it with the log",
    "unavailable": "the platform is away or asks to wait",
    "unauthorised": "the platform refuses our credential: renew it, then `skolebro sync` or a retry tries again",
    "shadow": "it is in shadow: nothing is sent until a person switches it on",
    "retired": "it is retired: nothing is sent any more",
    "gone": "the receiver wants no more events (410): nothing is sent until a person resumes the target",
    "contract_broken": "the platform speaks otherwise than its protocol says: ask its vendor",
    "connect_failed": "the platform cannot be reached",
    "connection_lost": "the connection to the platform broke",
    "timeout": "the platform did not answer in time",
    "tls_failed": "there is no secure connection to the platform",
    "TargetUnavailable": "the platform is away or asks to wait",
    "TargetUnauthorised": "the platform refuses our credential",
    "TargetGone": "the receiver wants no more events (410)",
    "ContractBroken": "the platform speaks otherwise than its protocol says",
}
_STATUSES: Mapping[str, str] = {
    "refused": "the platform refuses it as it is",
    "server_error": "the platform failed with it",
    "status": "the platform is away or asks to wait",
}
_STEPS = {"created": "creation", "updated": "update", "deleted": "deletion"}


def in_plain_words(reason: str | None) -> str:
    """Return what a reason means, its code behind it; nothing that is no code is quoted."""
    if reason is None:
        return "it has not been its turn yet"
    if shown_code(reason) is None:
        return "for a reason that is no code and is not shown"
    code, _, field = reason.partition(":")
    told = REASONS.get(code)
    if told is None and (status := status_in(code)) is not None:
        told = _STATUSES.get(code.removesuffix(f"_{status}"))
    about = f", field {field}" if field else ""
    return f"{told}{about} ({code})" if told else reason


def shown_code(reason: str | None) -> str | None:
    """Return a reason that is a code; a text, which a connector should not write, might quote somebody."""
    return reason if reason is not None and _CODE.fullmatch(reason) else None


def step_name(operation: str) -> str:
    return _STEPS.get(operation, operation)


def moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def listed(words: Iterable[str]) -> str:
    """Join words; none is "nothing"."""
    return ", ".join(words) or "nothing"


def is_about(kind: Kind, key: Key, user_id: str) -> bool:
    """Whether an entity is this person or one of the person's ties."""
    match kind:
        case Kind.PERSON:
            return key[0] == user_id
        case Kind.AFFILIATION | Kind.CONTRIBUTION:
            return key[1] == user_id
        case Kind.MEMBERSHIP:
            return key[2] == user_id
        case Kind.GUARDIANSHIP:
            return user_id in key[1:]
        case _:
            return False


def label(kind: Kind, key: Key, user_id: str) -> str:
    """Name the person or one of their ties without naming anybody else."""
    match kind:
        case Kind.PERSON:
            return "the person"
        case Kind.AFFILIATION:
            return f"the affiliation as {key[2]} at {key[0]}"
        case Kind.MEMBERSHIP:
            return f"the membership of group {key[1]} at {key[0]}"
        case Kind.GUARDIANSHIP:
            return f"the tie to a {'contact' if key[1] == user_id else 'child'} at {key[0]}"
        case Kind.CONTRIBUTION:
            return f"what {key[0]} says of the person"
        case Kind.GROUP:
            return f"group {key[1]} at {key[0]}"
        case Kind.TEACHING:
            return f"the teaching of group {key[1]} at {key[0]}"
        case _:
            return f"{kind} {key[0]}"

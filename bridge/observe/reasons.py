"""Every code that a source may fail with, in words that tell what happened and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bridge.domain.errors import SnapshotInvalid, SourceError, SourceUnauthorised

AGREEMENT_MISSING = "agreement_missing"
AGREEMENT_WITHDRAWN = "agreement_withdrawn"

_BETWEEN = "something between the source and us changes messages: call your network people and the source"
_CLOCK = "see whether this machine's clock is right"
_MENDED = "it is tried again"
_ANEW = "have the document made anew"
_ASK = "ask the source"
_DEAD = "it is among the dead letters"
_SENDER = f"{_DEAD}: mend its sender"

_UNAUTHORISED: Mapping[str, str] = {
    "broker_refused": "the broker refuses us: see user, password, virtual host and rights",
    "credential_refused": "the source refuses our credential: ask it which access this service takes",
    "http_refused": "the source, or a proxy before it, refuses us: see client certificate and base_url",
    "own_certificate_expired": "our own certificate has expired: renew that of certificate_file",
    "own_timestamp_refused": f"the source finds our message too old; {_CLOCK}",
    "own_certificate_not_yet_valid": f"our own certificate is not valid yet; {_CLOCK}",
    "connection_agreement_missing": "the source knows no connection agreement of ours for this service",
    "provider_system_unknown": "the source does not know our provider system: see udbydersystem_id",
    "queue_mismatch": "the queue, or that of its dead letters, cannot be used as it was made: name another",
    "register_refused": (
        "the register of institutions refuses us: it takes a connection agreement for wsiINST; get one, or take "
        "institution_data_interval out"
    ),
    "request_unsigned": "the source takes signed messages only: set certificate_file",
    "signature_refused": (
        "the source refuses our signature: register our certificate on the provider system that udbydersystem_id "
        "names"
    ),
}
"""The source refuses us as a whole, or would; asking again changes nothing."""

_UNBELIEVED: Mapping[str, str] = {
    "algorithm_refused": f"the answer is signed by a method that is too weak or unknown; {_ASK}",
    "certificate_expired": f"the certificate of the answer has expired; {_CLOCK}, then {_ASK}",
    "certificate_not_yet_valid": f"the certificate of the answer is not valid yet; {_CLOCK}, then {_ASK}",
    "certificate_untrusted": (
        "the certificate of the answer is not under oces_ca_files: is the file of the issuing CA missing, or is "
        "there a new authority?"
    ),
    "digest_wrong": f"the answer was changed after it was signed; {_BETWEEN}",
    "part_unsigned": f"a part of the answer is not signed; {_BETWEEN}",
    "signature_malformed": f"the signature of the answer cannot be read; {_ASK}",
    "signature_missing": f"the answer is not signed; {_BETWEEN}",
    "signature_wrapped": f"the signature of the answer belongs to something else; {_BETWEEN}",
    "signature_wrong": f"the signature of the answer does not hold; {_BETWEEN}",
    "signer_unexpected": "the answer is signed by another than `signer` says: ask the source before you change it",
    "timestamp_from_future": f"the answer says it was made later than now; {_CLOCK}",
    "timestamp_missing": f"the answer does not say when it was made; {_ASK}",
    "timestamp_stale": f"the answer is too old to be believed; {_CLOCK}",
    "token_missing": f"the answer brings no certificate; {_ASK}",
    "token_unreadable": f"the certificate of the answer cannot be read; {_ASK}",
    "wrong_relates_to": f"the answer belongs to another question; {_BETWEEN}",
}
"""The answer came, and cannot be believed."""

_UNREADABLE: Mapping[str, str] = {
    "bad_institution_number": f"the document bears no proper institution number; {_ASK}",
    "doctype": f"the document holds a DOCTYPE, which is never read; {_ASK}",
    "empty_answer": f"the answer is empty; {_MENDED}",
    "engine_error": "the document finds a bug in the bridge; report the line that the log names",
    "incomplete": f"the document is not whole; {_ANEW}",
    "misplaced_element": f"the document is not built as its schema says; {_ASK}",
    "missing_school_year": f"the document does not say which school year it is of; {_ASK}",
    "missing_source": f"the document does not say where its records come from; {_ASK}",
    "no_institution": f"the document names no institution; {_ANEW}",
    "not_a_regular_file": "there is something else than a plain file in the folder; take it out",
    "not_soap": "the answer is not of the service, a login page perhaps; see base_url and the proxy",
    "not_utf8": f"the document is not in UTF-8; {_ANEW}",
    "not_well_formed": f"the document is broken XML; {_ANEW}",
    "processing_instruction": f"the document holds a processing instruction, which is never read; {_ASK}",
    "protected_names_unset": "this size of export may hold protected names: set protected_names",
    "reader_error": "the document finds a bug in our reader; report the line that the log names",
    "record_too_large": f"one person or group in the document has absurdly many parts; {_ASK}",
    "rejected": "a person rejected this very document",
    "repeated_element": f"the document says the same thing twice; {_ASK}",
    "schema": f"the document is not as its schema says; {_ASK}",
    "several_institutions": f"the document is of more than one institution; {_ANEW}",
    "signature": f"the signature of the answer does not hold; {_BETWEEN}",
    "text_too_long": f"a text in the document is absurdly long; {_ASK}",
    "token_too_long": f"a word in the document is absurdly long; {_ASK}",
    "too_deep": f"the document is nested absurdly deep; {_ASK}",
    "too_large": "the document is larger than is ever read; see whether it is of one institution",
    "too_many_attributes": f"an element of the document has absurdly many attributes; {_ASK}",
    "too_many_names": f"the document has absurdly many names of elements and attributes; {_ASK}",
    "too_many_elements": f"the document has absurdly many elements; {_ASK}",
    "truncated": f"the document was cut off before its end; {_MENDED}",
    "unexpected_answer": f"the answer is to another question than ours; {_MENDED}",
    "unknown_namespace": f"the document is of a version that we do not know; {_ASK}, or update the bridge",
    "unknown_root": "the document is not an export; see what puts it there",
    "unreadable_export_time": f"the document does not say when it was made; {_ASK}",
    "unreadable_file_name": "a file has a name that cannot be read; rename it",
    "unreadable_source_time": f"the document does not say how old its data are; {_ASK}",
    "wrong_institution": f"the document is of another institution than was asked for; {_ASK}",
    "wrong_size": f"the document is of another size of export than was asked for; {_ASK}",
    "xml_version": f"the document is not XML 1.0; {_ANEW}",
}
"""The document came, and cannot be used."""

_UNSENT: Mapping[str, str] = {
    "encoding_not_supported": f"a message is compressed or in another character set; {_SENDER}",
    "institution_not_agreed": f"a message names an institution without a data agreement; {_DEAD}",
    "institution_not_configured": f"a message names an institution that is not configured; {_DEAD}",
    "institution_unreadable": f"the header of a message names no institution; {_SENDER}",
    "nudge_unreadable": f"a message names no institution; {_SENDER}",
    "poison_message": f"a message ended our process again and again; {_DEAD}: report it with the log",
    "unknown_message": f"a message is neither a document nor a nudge; {_SENDER}",
}
"""What the feed put to the dead letters."""

_UNAVAILABLE: Mapping[str, str] = {
    "answer_cut": "the answer was cut off",
    "answer_malformed": "the answer is not HTTP; see base_url and the proxy",
    "answer_too_large": "the answer is larger than is ever read",
    "cannot_move_file": "a file cannot be moved out of the folder; see the rights of the folder",
    "broker_lost": "the connection to the broker broke",
    "broker_silent": "the broker does not answer in time",
    "broker_unreachable": "the broker cannot be reached; see network and firewall",
    "connect_failed": (
        "the source cannot be reached; see address and port in the configuration, whether the name is resolved, "
        "and whether the firewall or a proxy lets this machine out to it"
    ),
    "dead_letters_refused": "the queue of dead letters is full or gone; the message stays where it was",
    "connection_lost": "the connection to the source broke",
    "file_unreadable": "a file in the folder cannot be read; see its rights",
    "folder_unreadable": "the folder cannot be read; see its rights",
    "queue_gone": "somebody deleted the queue; it is declared anew",
    "request_refused": "the source did not take our request as it was",
    "service_fault": "the source failed",
    "source_unavailable": "the source does not answer",
    "timeout": "the source did not answer in time",
    "tls_failed": "there is no secure connection to the source; see its certificate and ca_file",
}
"""No answer came; it is tried again by itself."""

_AGREEMENTS: Mapping[str, str] = {
    AGREEMENT_MISSING: "the data agreement is missing, and the institution or its municipality has to approve it",
    AGREEMENT_WITHDRAWN: "the data agreement has ended",
}

WORDS: Mapping[str, str] = {
    **_UNAUTHORISED,
    **_UNBELIEVED,
    **_UNREADABLE,
    **_UNSENT,
    **_UNAVAILABLE,
    **_AGREEMENTS,
}
_STATUS = re.compile(r"(?:http|status)_(\d{3})")


def in_words(code: str | None) -> str:
    """Return what a code means, with the code behind it; a code that is not known here as it is."""
    if code is None:
        return "the reason is not known"
    if (answered := _STATUS.fullmatch(code)) is not None:
        return f"the source answered with HTTP status {answered[1]} ({code})"
    return f"{WORDS[code]} ({code})" if code in WORDS else code


def explained(error: SourceError) -> str:
    """Return what an error of a source means, with what it says itself, in one line."""
    if isinstance(error, SnapshotInvalid):
        return in_words(error.code)
    code, _, rest = str(error).partition(": ")
    is_told = code in WORDS and not isinstance(error, SourceUnauthorised)  # which says what to do itself
    return f"{in_words(code)}: {rest}" if is_told else str(error)


def needs_person(code: str | None) -> bool:
    """Say whether a failure stays until somebody mends credential or registration."""
    return code in _UNAUTHORISED

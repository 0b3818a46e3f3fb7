"""What we sign, others accept; what others sign, we accept; whatever else comes is refused by its own name."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from bridge.connector import ConfigError, SnapshotInvalid, SourceUnauthorised
from bridge.testing.stil_authority import StilAuthority
from bridge.testing.stil_forgery import FORGERIES, WRAPPINGS
from bridge.testing.stil_sealing import PREFIXES, canonical, parse
from bridge.testing.stil_soap import CallRefused
from connectors.stil.wsse import Trust, load_identity
from tests.support.wsse import (
    NOW,
    SYSTEM,
    answer,
    authority,
    provider,
    request,
    sealing,
    security,
    signed_again,
    signed_by_signxml,
    signed_by_xmlsec1,
    stil,
    verify_by_signxml,
    verify_by_xmlsec1,
)

CONFIRMATION = "{http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd}SignatureConfirmation"
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def code_of(message: bytes) -> str:
    """Why our side refuses a message; "" when it believes it."""
    try:
        security().open(message)
    except SnapshotInvalid as error:
        return error.code
    return ""


# ---------------------------------------------------------------- what we send


def test_the_simulator_takes_our_request() -> None:
    sealed = security().seal(request())
    assert sealing().unseal(sealed) == sealed


def test_signxml_finds_the_parts_of_our_request_signed() -> None:
    sealed = security().seal(request())
    parts = verify_by_signxml(sealed, provider(), 5)
    assert canonical(parse(sealed).findall("soap:Body", PREFIXES)[0]) in parts


def test_xmlsec1_accepts_our_request(tmp_path: Path) -> None:
    said = verify_by_xmlsec1(security().seal(request()), provider(), tmp_path)
    assert "SignedInfo References (ok/all): 5/5" in said


def test_a_request_that_is_sent_again_is_refused_by_the_simulator() -> None:
    sealed, service = security().seal(request()), sealing()
    service.unseal(sealed)
    with pytest.raises(CallRefused) as refused:
        service.unseal(sealed)
    assert refused.value.error_type == "Signatur"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        (lambda sealed: request(), "SignaturMangler"),
        (lambda sealed: sealed.replace(SYSTEM.encode(), b"AB999999"), "Signatur"),
        (lambda sealed: sealed.replace(SYSTEM.encode(), b""), "UdbydersytemIdMangler"),
        (lambda sealed: sealed.replace(b'wsu:Id="Body"', b'wsu:Id="Other"'), "Signatur"),
        (
            lambda sealed: sealed.replace(b'URI="#BinarySecurityToken" ValueType', b'URI="#nope" ValueType'),
            "Signatur",
        ),
        (lambda sealed: re.sub(rb"<ds:KeyInfo>.*</ds:KeyInfo>", b"", sealed), "Signatur"),
        (lambda _: security(NOW - 3 * 60 * MINUTE).seal(request()), "Signatur"),
        (lambda _: security(NOW + 3 * 60 * MINUTE).seal(request()), "Signatur"),
    ],
)
def test_the_simulator_refuses_a_request_as_the_contract_says(changed: object, error: str) -> None:
    assert callable(changed)
    with pytest.raises(CallRefused) as refused:
        sealing().unseal(changed(security().seal(request())))
    assert (refused.value.error_type, refused.value.status) == (error, 400)


def test_nothing_is_signed_with_a_certificate_that_has_expired() -> None:
    with pytest.raises(SourceUnauthorised, match="own_certificate_expired"):
        security(NOW + 800 * DAY).seal(request())


# ---------------------------------------------------------------- what we are sent


def test_an_answer_of_the_simulator_is_believed() -> None:
    signed = sealing().seal(answer())
    assert security().open(signed) == signed


def test_an_answer_that_signxml_signed_is_believed() -> None:
    assert code_of(signed_by_signxml(answer())) == ""


def test_an_answer_that_xmlsec1_signed_is_believed(tmp_path: Path) -> None:
    assert code_of(signed_by_xmlsec1(answer(), tmp_path)) == ""


def test_xmlsec1_agrees_with_the_simulators_signature(tmp_path: Path) -> None:
    assert "(ok/all): 5/5" in verify_by_xmlsec1(sealing().seal(answer()), stil(), tmp_path)


REFUSALS = {
    "unsigned": {"signature_missing"},
    "wrong_digest": {"digest_wrong"},
    "wrong_signature": {"signature_wrong"},
    "stale_timestamp": {"timestamp_stale"},
    "future_timestamp": {"timestamp_from_future"},
    "foreign_certificate": {"certificate_untrusted"},
    "expired_certificate": {"certificate_expired"},
    "future_certificate": {"certificate_not_yet_valid"},
    "wrapped_body_in_object": {"signature_malformed"},
    **{name: {"signature_wrapped"} for name in WRAPPINGS if name != "wrapped_body_in_object"},
}


@pytest.mark.parametrize("forgery", REFUSALS)
def test_a_forged_answer_is_refused_by_its_own_name(forgery: str) -> None:
    assert code_of(FORGERIES[forgery](sealing(), answer())) in REFUSALS[forgery]


@pytest.mark.parametrize("forgery", [name for name in WRAPPINGS if name != "wrapped_body_in_header_with_its_id"])
def test_a_wrapping_keeps_every_signature_and_fools_who_only_verifies_them(forgery: str, tmp_path: Path) -> None:
    assert "(ok/all): 5/5" in verify_by_xmlsec1(FORGERIES[forgery](sealing(), answer()), stil(), tmp_path)


def test_every_forgery_but_that_of_the_relation_is_the_securitys_to_refuse() -> None:
    assert set(FORGERIES) - set(REFUSALS) == {"wrong_relates_to"}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (".//ds:Signature", "signature_missing"),
        ("soap:Header/wsse:Security", "signature_missing"),
        (".//wsu:Timestamp", "timestamp_missing"),
        (".//wsu:Created", "timestamp_missing"),
        (".//wsse:BinarySecurityToken", "token_missing"),
        (".//ds:KeyInfo", "signature_malformed"),
        (".//ds:SignatureValue", "signature_malformed"),
        (".//ds:Reference", "signature_wrong"),
        ("soap:Header/wsa:RelatesTo", "signature_malformed"),
    ],
)
def test_an_answer_that_lacks_a_part_is_refused(path: str, code: str) -> None:
    root = parse(sealing().seal(answer()))
    found = root.findall(path, PREFIXES)[0]
    parent = found.getparent()
    assert parent is not None
    parent.remove(found)
    assert code_of(etree.tostring(root)) == code


def test_an_answer_whose_relation_was_never_signed_is_refused() -> None:
    unrelated = answer().replace(b"RelatesTo>", b"RelatedTo>")
    assert code_of(sealing().seal(unrelated)) == "part_unsigned"


@pytest.mark.parametrize(
    ("strong", "weak"),
    [
        ("xmldsig-more#rsa-sha256", "xmldsig-more#hmac-sha256"),
        ("xmlenc#sha256", "xmlenc#sha1"),
        ("2001/10/xml-exc-c14n#", "2006/12/xml-c14n11"),
    ],
)
def test_an_answer_signed_by_another_method_is_refused(strong: str, weak: str) -> None:
    signed = sealing().seal(answer())
    replaced = signed.replace(f'Algorithm="http://www.w3.org/2001/04/{strong}'.encode(), b'Algorithm="weak#')
    replaced = replaced.replace(f'Algorithm="http://www.w3.org/{strong}'.encode(), f'Algorithm="{weak}'.encode())
    assert code_of(replaced) == "algorithm_refused"


def test_a_token_that_is_no_certificate_is_refused() -> None:
    root = parse(sealing().seal(answer()))
    root.findall(".//wsse:BinarySecurityToken", PREFIXES)[0].text = "bm8="
    assert code_of(etree.tostring(root)) == "token_unreadable"


@pytest.mark.parametrize("junk", [b"", b"   \n", b"<html></html>", b"not xml", b"<!DOCTYPE x><x/>"])
def test_what_is_no_envelope_is_refused(junk: bytes) -> None:
    assert code_of(junk) in {"empty_answer", "not_soap", "not_well_formed", "doctype"}


def test_an_answer_is_fresh_within_the_skew_and_not_beyond() -> None:
    signed = sealing().seal(answer())
    security(NOW - 5 * MINUTE).open(signed)
    security(NOW + 9 * MINUTE).open(signed)
    with pytest.raises(SnapshotInvalid, match="timestamp_stale"):
        security(NOW + 10 * MINUTE).open(signed)


@pytest.mark.parametrize(
    ("created", "expires"),
    [(-365 * DAY, 365 * DAY), (-60 * MINUTE, 60 * MINUTE), (MINUTE, -MINUTE), (MINUTE, MINUTE)],
)
def test_an_answer_is_no_fresher_for_a_late_or_an_impossible_end(created: timedelta, expires: timedelta) -> None:
    times = [(NOW + late).strftime("%Y-%m-%dT%H:%M:%SZ") for late in (created, expires)]

    def forge(root: etree._Element) -> None:
        for name, text in zip(("wsu:Created", "wsu:Expires"), times, strict=True):
            root.findall(f".//{name}", PREFIXES)[0].text = text

    with pytest.raises(SnapshotInvalid, match="timestamp_stale"):
        security().open(_resigned(forge))


def test_who_has_no_key_cannot_have_us_digest_a_body() -> None:
    """The signature is judged when SignedInfo has passed by: what is wrong in the Body is not even met."""
    twin = '<wsu:e xmlns:wsu="' + PREFIXES["wsu"] + '" wsu:Id="X509-token"/></soap:Body>'
    good, bad = sealing().seal(answer()), FORGERIES["wrong_signature"](sealing(), answer())
    codes = [code_of(message.replace(b"</soap:Body>", twin.encode())) for message in (good, bad)]
    assert codes == ["signature_wrapped", "signature_wrong"]


def test_a_list_of_prefixes_without_end_is_refused() -> None:
    signed = sealing().seal(answer())
    many = " ".join(f"p{n}" for n in range(100_000)).encode()
    assert code_of(signed.replace(b'PrefixList="soap"', b'PrefixList="' + many + b'"', 1)) == "algorithm_refused"


def test_a_confirmation_of_our_signature_may_be_signed_too() -> None:
    """WSS 1.1 §8.5: STIL's policy does not ask for it, and some stacks send it all the same."""

    def confirm(root: etree._Element) -> None:
        made = etree.SubElement(root.findall("soap:Header/wsse:Security", PREFIXES)[0], CONFIRMATION)
        made.set(f"{{{PREFIXES['wsu']}}}Id", "confirmed")

    assert code_of(_resigned(confirm, ".//{*}SignatureConfirmation")) == ""


def _resigned(change: Callable[[etree._Element], None], *more: str) -> bytes:
    """An answer that STIL's key signed after this change, with more parts if they are named."""
    root = parse(signed_by_signxml(answer()))
    change(root)
    signature = root.findall(".//ds:Signature", PREFIXES)[0]
    parent = signature.getparent()
    assert parent is not None
    parent.remove(signature)
    return signed_again(root, [root.findall(path)[0] for path in more])


# ---------------------------------------------------------------- whom we believe


def test_a_certificate_that_cannot_be_read_at_all_is_refused_by_name() -> None:
    der = bytearray(stil().certificate.public_bytes(Encoding.DER))
    version = bytes(der).index(b"\xa0\x03\x02\x01\x02")
    der[version + 4] = 9  # no version that there is
    root = parse(sealing().seal(answer()))
    root.findall(".//wsse:BinarySecurityToken", PREFIXES)[0].text = b64encode(der).decode()
    assert code_of(etree.tostring(root)) == "token_unreadable"


def test_a_renewed_authority_is_found_beside_the_old_one_of_the_same_name_and_key() -> None:
    issuing = authority().issuing
    expired = authority().issue_authority(issuing.key, begins=NOW - 400 * DAY, ends=NOW - DAY)
    signed = sealing().seal(answer())
    for files in ([expired, issuing.pem], [issuing.pem, expired]):
        security(files=[authority().root.pem, *files]).open(signed)


def test_an_authority_does_not_sign_messages() -> None:
    forged = sealing().sealed(answer(), NOW, authority().root)
    with pytest.raises(SnapshotInvalid, match="certificate_untrusted"):
        security().open(forged)


def test_a_pinned_signer_is_believed_and_another_is_not() -> None:
    signed = sealing().seal(answer())
    security(signer={"CN": "SkoleGrunddata"}).open(signed)
    with pytest.raises(SnapshotInvalid, match="signer_unexpected"):
        security(signer={"CN": "SkoleGrunddata", "O": "Somebody Else"}).open(signed)


def test_a_certificate_that_a_leaf_issued_is_not_believed() -> None:
    leaf = authority().issue("A leaf")
    false = StilAuthority(NOW, authority().root, leaf).issue("SkoleGrunddata")
    files = [*authority().files.values(), leaf.pem]
    forged = sealing().sealed(answer(), NOW, false)
    with pytest.raises(SnapshotInvalid, match="certificate_untrusted"):
        security(files=files).open(forged)


def test_authorities_without_their_root_are_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match="no root CA"):
        Trust([authority().issuing.pem])


def test_an_attribute_that_cannot_be_pinned_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match="signer: colour"):
        Trust([authority().root.pem], {"colour": "red"})


# ---------------------------------------------------------------- our own certificate


def test_an_identity_comes_from_pkcs12_or_pem() -> None:
    mine = provider()
    forms = [
        load_identity(mine.pkcs12("hemmelig"), None, "hemmelig"),
        load_identity(mine.pem, mine.key_pem, None),
        load_identity(mine.pem + mine.key_pem, None, None),
    ]
    assert {form.token for form in forms} == {forms[0].token}
    assert load_identity(*_as_pem(forms[0].pem())).token == forms[0].token


def _as_pem(pem: tuple[bytes, bytes]) -> tuple[bytes, None, str]:
    return pem[0], None, pem[1].decode()


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: (provider().pkcs12("right"), None, "wrong"), "password"),
        (lambda: (b"junk", None, None), "PKCS#12"),
        (lambda: (provider().pem, b"junk", None), "key_file"),
        (lambda: (provider().pem, None, None), "key_file: missing"),
        (lambda: (provider().pkcs12("right"), None, None), "does it need a password_file"),
        (lambda: (provider().pkcs12("right"), provider().key_pem, "right"), "leave this out"),
        (lambda: (provider().pem, stil().key_pem, None), "does not belong"),
        (lambda: (authority().issue("weak", bits=1024).pkcs12("x"), None, "x"), "2048 bits"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_a_mistake_in_the_configuration(made: object, says: str) -> None:
    assert callable(made)
    with pytest.raises(ConfigError, match=says):
        load_identity(*made())


def test_an_identity_never_shows_its_key() -> None:
    shown = repr(load_identity(provider().pem, provider().key_pem, None))
    assert "PrivateKey" not in shown
    assert b64decode(b"".join(provider().key_pem.splitlines()[1:-1])).hex() not in shown

"""The words of SOAP message security that STIL's policy uses (stil.md §2), and no other algorithm."""

from __future__ import annotations

from connectors.stil.vocabulary import qualified

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
SECEXT = f"{_WSS}-wssecurity-secext-1.0.xsd"
UTILITY = f"{_WSS}-wssecurity-utility-1.0.xsd"
SECEXT_11 = "http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd"
SIGNATURES = "http://www.w3.org/2000/09/xmldsig#"

X509_TOKEN = f"{_WSS}-x509-token-profile-1.0#X509v3"
BASE64 = f"{_WSS}-soap-message-security-1.0#Base64Binary"

EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"

ENVELOPE, HEADER, BODY = (qualified(SOAP, name) for name in ("Envelope", "Header", "Body"))
MESSAGE_ID, RELATES_TO = (qualified(ADDRESSING, name) for name in ("MessageID", "RelatesTo"))
SECURITY, TOKEN, TOKEN_REFERENCE, REFERENCE_TO_TOKEN = (
    qualified(SECEXT, name) for name in ("Security", "BinarySecurityToken", "SecurityTokenReference", "Reference")
)
CONFIRMATION = qualified(SECEXT_11, "SignatureConfirmation")
TIMESTAMP, CREATED, EXPIRES, ID = (qualified(UTILITY, name) for name in ("Timestamp", "Created", "Expires", "Id"))
SIGNATURE, SIGNED_INFO, SIGNATURE_VALUE, KEY_INFO = (
    qualified(SIGNATURES, name) for name in ("Signature", "SignedInfo", "SignatureValue", "KeyInfo")
)
CANONICALIZATION, SIGNATURE_METHOD, REFERENCE = (
    qualified(SIGNATURES, name) for name in ("CanonicalizationMethod", "SignatureMethod", "Reference")
)
TRANSFORMS, TRANSFORM, DIGEST_METHOD, DIGEST_VALUE = (
    qualified(SIGNATURES, name) for name in ("Transforms", "Transform", "DigestMethod", "DigestValue")
)
INCLUSIVE = qualified(EXCLUSIVE, "InclusiveNamespaces")

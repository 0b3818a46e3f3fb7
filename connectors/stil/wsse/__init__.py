"""Message security of STIL's services: signing what we send, verifying what we are sent."""

from connectors.stil.wsse.identity import Identity, load_identity
from connectors.stil.wsse.security import OcesSecurity, PlainSecurity
from connectors.stil.wsse.trust import Trust

__all__ = ["Identity", "OcesSecurity", "PlainSecurity", "Trust", "load_identity"]

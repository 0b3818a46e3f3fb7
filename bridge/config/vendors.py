"""Who fetches normalised events for itself: the section `vendors` of the file, and what it comes to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bridge.config.fields import Institutions, once
from bridge.domain.errors import ConfigError
from bridge.domain.ids import TargetId
from bridge.domain.nearest import did_you_mean
from bridge.mapping import TargetMapping

SHORTEST_TOKEN = 32
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


def _codes(value: Any) -> Any:
    """YAML reads a municipality's code as a number where it is not in quotes."""
    return [str(one) if type(one) is int else one for one in value] if isinstance(value, list) else value


class VendorSection(BaseModel):
    """`token_file` holds the vendor's token, or "sha256:" and the SHA-256 of it in hexadecimal digits.

    `targets` are those, as municipality/target, by which it is sent what changes; each is of one vendor. `queue`:
    true, or a `VendorQueueSection`, for a queue of its own at the broker.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    municipalities: Annotated[list[str], BeforeValidator(_codes), once("a municipality")] = Field(min_length=1)
    institutions: Institutions = None
    mapping: str
    token_file: Path
    targets: list[str] = Field(default_factory=list)
    queue: Any = False
    requests_per_minute: int = Field(default=120, ge=1, le=100_000)


@dataclass(frozen=True, slots=True)
class VendorSettings:
    """One vendor: what it may see is what the mapping names, of these institutions (None: of all)."""

    name: str
    municipalities: tuple[str, ...]
    institutions: frozenset[str] | None
    mapping: TargetMapping
    section: VendorSection

    @property
    def has_queue(self) -> bool:
        return self.section.queue not in (False, None)

    def scope_in(self, known: frozenset[str] | None) -> frozenset[str] | None:
        """The institutions that it sees of a municipality of which these are known."""
        if self.institutions is None or known is None:
            return known if self.institutions is None else self.institutions
        return self.institutions & known


def vendor_problem(
    name: str, section: VendorSection, known: dict[str, frozenset[str] | None]
) -> tuple[str, str] | None:
    """What is wrong with a vendor's section, by its key; `known` are the institutions of each municipality."""
    if not _NAME.fullmatch(name):
        return "", "a vendor's name is of letters a to z, digits, and - . _"
    if stray := [code for code in section.municipalities if code not in known]:
        return "municipalities", f"there is no municipality {stray[0]!r}; there are {', '.join(sorted(known))}"
    numbers: set[str] = set()
    for code in section.municipalities:
        here = known[code]
        if here is None:
            return None
        numbers |= here
    strangers = sorted((section.institutions or frozenset()) - numbers)
    return ("institutions", f"{strangers[0]} is not among those of its municipalities") if strangers else None


def targets_problem(
    vendors: Mapping[str, VendorSection], there: Mapping[TargetId, bool]
) -> tuple[str, str] | None:
    """What is wrong with the targets of vendors, by the vendor's name; `there` says of each whether it is sent
    anything."""
    owners: dict[str, str] = {}
    for name, section in vendors.items():
        for target in section.targets:
            if target not in there:
                known = ", ".join(there) or "none"
                return name, f"there is no target {target!r}; {did_you_mean(target, there)}there are {known}"
            if target.partition("/")[0] not in section.municipalities:
                return name, f"{target} is of a municipality that is not one of its municipalities"
            if not there[TargetId(target)]:
                return name, f"{target} is only observed, so nothing is delivered by it"
            if target in owners:
                return name, f"{target} belongs to {owners[target]}; a target is of one vendor, and named once"
            owners[target] = name
    return None


def token_digest(section: VendorSection, read: Callable[[Path], str]) -> bytes:
    """The SHA-256 of a vendor's token. Raises `ConfigError`."""
    text = read(section.token_file)
    if match := _DIGEST.fullmatch(text):
        return bytes.fromhex(match[1])
    if len(text) < SHORTEST_TOKEN or not _TOKEN.fullmatch(text):
        raise ConfigError(
            f"token_file: a token is at least {SHORTEST_TOKEN} letters, digits and ._~+/=- that nobody can guess "
            "(`openssl rand -hex 32` makes one), or sha256: and its SHA-256"
        )
    return digest_of(text)


def digest_of(token: str) -> bytes:
    return sha256(token.encode()).digest()


def require_different(digests: Iterable[tuple[str, bytes]]) -> None:
    """Raises `ConfigError` where two vendors have one token."""
    seen: dict[bytes, str] = {}
    for name, digest in digests:
        if digest in seen:
            raise ConfigError(f"vendors.{name}: has the token of {seen[digest]}; each vendor has its own")
        seen[digest] = name

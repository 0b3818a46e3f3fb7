"""STIL's services by their contract: namespaces, operations, export sizes (stil.md §1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from connectors.stil.gate import SEPARATOR

HOST = "https://brugerdatabasen.stil.dk"
SHARED = f"{HOST}/bpi/common/3"

SizeName = Literal["lille", "mellem", "fuld", "fuldmyndighed"]
SIZE_NAMES: tuple[SizeName, ...] = ("lille", "mellem", "fuld", "fuldmyndighed")

_SUFFIXES: dict[SizeName, str] = {
    "lille": "Lille",
    "mellem": "Mellem",
    "fuld": "Fuld",
    "fuldmyndighed": "FuldMyndighed",
}


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its target namespace, which is its address at STIL and the prefix of its actions too."""

    path: str

    @property
    def namespace(self) -> str:
        return HOST + self.path

    def operation(self, name: str, *, is_shared: bool = False) -> Operation:
        """Return an operation; one that is shared has its elements in the common namespace."""
        return Operation(self, name, SHARED if is_shared else self.namespace)


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: `namespace` is that of its request and response elements."""

    service: Service
    name: str
    namespace: str

    @property
    def action(self) -> str:
        """The SOAP action, which is the wsa:Action of the request too."""
        return f"{self.service.namespace}/{self.name}"

    @property
    def answer(self) -> str:
        """The name of the element that answers it, as the stream writes names."""
        return f"{self.namespace}{SEPARATOR}{self.name}Response"


EXPORTS = Service("/bpi/wsieksport/7")
INSTITUTIONS = Service("/bpi/wsiinst/6")

HELLO = EXPORTS.operation("helloWorldWithCertificate", is_shared=True)
DESCRIBE = INSTITUTIONS.operation("hentInstitutioner")
HIERARCHY = INSTITUTIONS.operation("hentInstitutionshierarki")


def export(size: SizeName) -> Operation:
    """Return the operation that exports an institution in this size."""
    return EXPORTS.operation(f"eksporterXml{_SUFFIXES[size]}")


def agreements(size: SizeName) -> Operation:
    """Return the operation that lists the institutions under agreement for this size: each has its own list."""
    return EXPORTS.operation(f"hentDataAftaler{_SUFFIXES[size]}")

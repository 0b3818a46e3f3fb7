"""A stand-in for STIL's wsiEKSPORT v7 and wsiINST v6 that answers by the contract, or fails as it is told to."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from threading import Lock, Thread
from typing import Self
from xml.sax.saxutils import escape

from bridge.testing import stil_inst
from bridge.testing.loopback import LoopbackServer, Request, Response
from bridge.testing.stil_control import CONTROL, ServiceName, control
from bridge.testing.stil_export import COMMON, EXPORT, Knobs, write_payload
from bridge.testing.stil_filters import read_export
from bridge.testing.stil_knobs import spoil
from bridge.testing.stil_municipality import Municipality
from bridge.testing.stil_records import Institution
from bridge.testing.stil_size import SIZES, Size
from bridge.testing.stil_soap import (
    PORT,
    Call,
    CallRefused,
    NoSealing,
    Sealing,
    SoapFault,
    read_call,
    write_answer,
    write_fault,
)

PATH = "/bpi/wsieksport/7"
FAULTS = ("500", "hang", "cut", "html", "empty", "204", "429", "slow", "fault_in_200")
"""How an answer can fail whatever is asked; a name of `AUTHENTIFICATION` is that fault, with HTTP 400."""
AUTHENTIFICATION = ("Signatur", "SignaturMangler", "UdbydersytemIdMangler", "BrugeridEllerPassword", "Rettigheder")
_HELLO = f"{{{COMMON}}}helloWorldWithCertificate"
_NUMBER = re.compile(rb"instnr[^>]*>\s*([^<\s]+)\s*</")
_SLOWLY = timedelta(milliseconds=200)


class StilServer(LoopbackServer):
    """Serves the exports of `municipality` on loopback; `day_seconds` makes a day pass that often.

    While it runs, set:
        knobs: what is wrong with the export of an institution, by its number.
        fault: how every answer fails, until it is None again (`FAULTS`, `AUTHENTIFICATION`, and a name of
            `forgeries`); "hang" answers nobody until `stop`, "cut" ends after `cut_at` bytes of the body, or half.
        agreements: the institutions that the caller has a data agreement for; all of them to begin with.
        agreements_of: the same for one size of the export or for wsiINST, where it has a list of its own.
        agreements_by_system: the same for one provider system, by its id.
        faults: how the answers about one institution fail, by its number.
        mains: the main institution of each department; an institution that is none is its own.

    Another process sets the same by HTTP (`stil_control`).
    """

    def __init__(
        self,
        municipality: Municipality,
        host: str = "127.0.0.1",
        port: int = 0,
        day_seconds: float | None = None,
        *,
        sealing: Sealing | None = None,
        forgeries: Mapping[str, Callable[[bytes], bytes]] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(host, port, tls)
        self.knobs: dict[str, Knobs] = {}
        self.fault: str | None = None
        self.cut_at: int | None = None
        self._forgeries = forgeries or {}
        self.agreements = set(municipality.institutions())
        self.agreements_of: dict[ServiceName, set[str]] = {}
        self.agreements_by_system: dict[str, dict[ServiceName, set[str]]] = {}
        self.faults: dict[str, str] = {}
        self.mains: dict[str, str] = {}
        self._municipality, self._day_seconds = municipality, day_seconds
        self._sealing: Sealing = sealing or NoSealing()
        self._lock = Lock()
        self._calendar: Thread | None = None

    @property
    def endpoint(self) -> str:
        """Where the service is called; the base URL alone is `url`."""
        return self.url + PATH

    def start(self) -> Self:
        super().start()
        if self._day_seconds is not None and self._calendar is None:
            self._calendar = Thread(target=self._let_days_pass, args=(self._day_seconds,), daemon=True)
            self._calendar.start()
        return self

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            if self._calendar is not None:
                self._calendar.join()
                self._calendar = None

    def advance(self) -> None:
        """Let one day pass; no export ever shows half of it."""
        with self._lock:
            self._municipality.advance()

    def answer(self, request: Request) -> Response | None:
        if request.path.startswith(CONTROL):
            return control(self, request)
        if request.method != "POST":
            return Response(405, headers={"Allow": "POST"})
        if request.path.partition("?")[0] not in (PATH, stil_inst.PATH):
            return Response(404)
        fault = self.fault or self._fault_about(request)
        return self._answer_call(request) if fault is None else self._fail(fault, request)

    @property
    def known_faults(self) -> frozenset[str]:
        """Every name that `fault` may have."""
        return frozenset((*FAULTS, *AUTHENTIFICATION, *self._forgeries))

    @property
    def numbers(self) -> frozenset[str]:
        """Every institution that there is."""
        return frozenset(self._municipality.institutions())

    def _fault_about(self, request: Request) -> str | None:
        numbers = map(bytes.decode, _NUMBER.findall(request.body)) if self.faults else ()
        return next((self.faults[number] for number in numbers if number in self.faults), None)

    def _fail(self, fault: str, request: Request) -> Response | None:
        broken = _soap(500, write_fault(SoapFault("made to fail", 500), None))
        match fault:
            case "500":
                return broken
            case "fault_in_200":
                return replace(broken, status=200)
            case "cut":
                return replace(self._answer_call(request), is_cut=True, cut_at=self.cut_at)
            case "slow":
                return replace(self._answer_call(request), byte_interval=_SLOWLY)
            case "html":
                page = b"<!DOCTYPE html><title>Driftsinformation</title>"
                return Response(200, page, {"Content-Type": "text/html"})
            case "empty":
                return _soap(200, b"")
            case "204":
                return Response(204)
            case "429":
                return Response(429, headers={"Retry-After": "60"})
            case "hang":
                self.stopping.wait()
                return None
            case _ if fault in AUTHENTIFICATION:
                return _soap(400, write_fault(CallRefused(fault, "made to fail"), None))
            case _:
                return self._answer_call(request, self._forgeries[fault])

    def _answer_call(self, request: Request, seal: Callable[[bytes], bytes] | None = None) -> Response:
        call = _peeked(request.body)
        is_export = request.path.partition("?")[0] == PATH
        port = PORT if is_export else stil_inst.PORT
        try:
            call = read_call(self._sealing.unseal(request.body))
            result = self._perform(call) if is_export else self._describe(call)
        except SoapFault as fault:
            return _soap(fault.status, write_fault(fault, call, port))
        return _soap(200, (seal or self._sealing.seal)(write_answer(call, result, port)))

    def _perform(self, call: Call) -> str:
        _require_system(call)
        if call.operation == _HELLO:
            return _greet(call)
        for size in SIZES:
            if call.operation == f"{{{EXPORT}}}eksporterXml{size.suffix}":
                return self._export(call, size)
            if call.operation == f"{{{EXPORT}}}hentDataAftaler{size.suffix}":
                return stil_inst.agreed(self._agreed(call, size.name))
        raise SoapFault("no such operation here", 500)

    def _describe(self, call: Call) -> str:
        _require_system(call)
        if call.operation == _HELLO:
            return _greet(call)
        if call.operation == f"{{{COMMON}}}hentDataAftaler":
            return stil_inst.agreed(self._agreed(call, "wsiinst"))
        question = stil_inst.read_question(call.body)
        known = self._municipality.institutions()
        numbers = known if question.numbers is None else [one for one in question.numbers if one in known]
        found = [spoil(self._today(number), self.knobs.get(number, Knobs())) for number in numbers]
        return stil_inst.answer_inst(question, found, self._municipality.code, self.mains)

    def _export(self, call: Call, size: Size) -> str:
        number, filters = read_export(call.body, size)
        if number not in self._agreed(call, size.name):
            raise CallRefused("Rettigheder", "no data agreement for that institution")
        knobs = self.knobs.get(number, Knobs())
        knobs = replace(knobs, without_cpr=knobs.without_cpr or not filters.with_cpr)
        return f"<r:xml>{write_payload(filters.apply(self._today(number)), knobs, size)}</r:xml>"

    def _today(self, number: str) -> Institution:
        with self._lock:
            return self._municipality.institution(number)

    def _agreed(self, call: Call, service: ServiceName) -> list[str]:
        tables = (self.agreements_by_system.get(call.system_id or "", {}), self.agreements_of)
        agreed = next((table[service] for table in tables if service in table), self.agreements)
        return [number for number in self._municipality.institutions() if number in agreed]

    def _let_days_pass(self, day_seconds: float) -> None:
        while not self.stopping.wait(day_seconds):
            self.advance()


def _peeked(request: bytes) -> Call | None:
    """What a request says it is, so that even a refusal names its message; None for what cannot be read."""
    try:
        return read_call(request)
    except SoapFault:
        return None


def _require_system(call: Call) -> None:
    if call.system_id is None:
        raise CallRefused("UdbydersytemIdMangler", "the header UdbydersystemId is missing")


def _greet(call: Call) -> str:
    return f"<r:helloWorldResult>Hello {escape(call.system_id or '')}!</r:helloWorldResult>"


def _soap(status: int, envelope: bytes) -> Response:
    return Response(status, envelope, {"Content-Type": "application/soap+xml; charset=UTF-8"})

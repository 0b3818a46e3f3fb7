"""A stand-in for STIL's wsiEKSPORT v7 that answers as the contract says, or fails in the way it is told to."""

from __future__ import annotations

from dataclasses import replace
from threading import Lock, Thread
from typing import Literal, Self, assert_never
from xml.sax.saxutils import escape

from bridge.testing.loopback import LoopbackServer, Request, Response
from bridge.testing.stil_export import COMMON, EXPORT, Knobs, write_payload
from bridge.testing.stil_municipality import Municipality
from bridge.testing.stil_soap import (
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
Fault = Literal["500", "hang", "cut", "html", "empty"]


class StilServer(LoopbackServer):
    """Serves the exports of `municipality` on loopback; `day_seconds` makes a day pass that often.

    While it runs, set:
        knobs: what is wrong with the export of an institution, by its number.
        fault: how every answer fails, until it is None again; "hang" answers nobody until `stop`.
        agreements: the institutions that the caller has a data agreement for; all of them to begin with.
    """

    def __init__(
        self,
        municipality: Municipality,
        host: str = "127.0.0.1",
        port: int = 0,
        day_seconds: float | None = None,
        *,
        sealing: Sealing | None = None,
    ) -> None:
        super().__init__(host, port)
        self.knobs: dict[str, Knobs] = {}
        self.fault: Fault | None = None
        self.agreements = set(municipality.institutions())
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
        if self._day_seconds is not None:
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
        if request.method != "POST":
            return Response(405, headers={"Allow": "POST"})
        if request.path.partition("?")[0] != PATH:
            return Response(404)
        match self.fault:
            case None:
                return self._answer_call(request.body)
            case "500":
                return _soap(500, write_fault(SoapFault("made to fail", 500), None))
            case "cut":
                return replace(self._answer_call(request.body), is_cut=True)
            case "html":
                return Response(
                    200, b"<!DOCTYPE html><title>Driftsinformation</title>", {"Content-Type": "text/html"}
                )
            case "empty":
                return _soap(200, b"")
            case "hang":
                self.stopping.wait()
                return None
            case _:
                assert_never(self.fault)

    def _answer_call(self, request: bytes) -> Response:
        call: Call | None = None
        try:
            call = read_call(self._sealing.unseal(request))
            result = self._perform(call)
        except SoapFault as fault:
            return _soap(fault.status, write_fault(fault, call))
        return _soap(200, self._sealing.seal(write_answer(call, result)))

    def _perform(self, call: Call) -> str:
        if call.system_id is None:
            raise CallRefused("UdbydersytemIdMangler", "the header UdbydersystemId is missing")
        operations = {
            f"{{{EXPORT}}}eksporterXmlFuldMyndighed": self._export,
            f"{{{EXPORT}}}hentDataAftalerFuldMyndighed": self._list_agreements,
            f"{{{COMMON}}}helloWorldWithCertificate": _greet,
        }
        if call.operation not in operations:
            raise SoapFault("no such operation here", 500)
        return operations[call.operation](call)

    def _export(self, call: Call) -> str:
        number = (call.body.findtext(f"{{{EXPORT}}}instnr") or "").strip()
        if number not in self.agreements.intersection(self._municipality.institutions()):
            raise CallRefused("Rettigheder", "no data agreement for that institution")
        _refuse_other_filters(call)
        with self._lock:
            institution = self._municipality.institution(number)
        knobs = self.knobs.get(number, Knobs())
        with_cpr = _wants_cpr(call) and not knobs.without_cpr
        return f"<r:xml>{write_payload(institution, replace(knobs, without_cpr=not with_cpr))}</r:xml>"

    def _list_agreements(self, call: Call) -> str:
        numbers = (number for number in self._municipality.institutions() if number in self.agreements)
        return "".join(f'<c:regnr xmlns:c="{COMMON}">{number}</c:regnr>' for number in numbers)

    def _let_days_pass(self, day_seconds: float) -> None:
        while not self.stopping.wait(day_seconds):
            self.advance()


def _refuse_other_filters(call: Call) -> None:
    # To pass over a filter in silence would show the caller people that the real service leaves out.
    for name in ("aktoertypeFilter", "klassetrinFilter"):
        if call.body.find(f"{{{EXPORT}}}filtre/{{{EXPORT}}}{name}") is not None:
            raise SoapFault(f"this stand-in does not know {name}", 500)


def _wants_cpr(call: Call) -> bool:
    # Version 7 leaves CPR numbers out unless this filter asks for them.
    asked = call.body.findtext(f"{{{EXPORT}}}filtre/{{{EXPORT}}}cprFilter/{{{EXPORT}}}inkluderCpr") or ""
    return asked.strip() in ("true", "1")


def _greet(call: Call) -> str:
    return f"<r:helloWorldResult>Hello {escape(call.system_id or '')}!</r:helloWorldResult>"


def _soap(status: int, envelope: bytes) -> Response:
    return Response(status, envelope, {"Content-Type": "application/soap+xml; charset=UTF-8"})

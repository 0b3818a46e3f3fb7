"""What vendors fetch, under `/v1`: nobody is let in without a token, and every answer is named in the OpenAPI."""

from __future__ import annotations

import asyncio
import math
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bridge.domain.errors import StoreError
from bridge.engine.vendor_feed_cursor import (
    AtFeed,
    CursorForeign,
    CursorPast,
    CursorUnknown,
    feed_cursor,
    log_cursor,
    snapshot_cursor,
)
from bridge.engine.vendor_page import Page
from bridge.engine.vendor_replay import NotYours, Stopped, UnderWay
from bridge.web.served import VENDORS, ServeWitness
from bridge.web.vendor_asked import cursor_of, replayed, since_of, wanted_of
from bridge.web.vendor_gate import Vendor, vendor_of
from bridge.web.vendor_openapi import (
    EVENTS_TYPE,
    JSON_TYPE,
    LIMIT,
    LONGEST_WAIT,
    MOST,
    deliveries_operation,
    describe,
    events_operation,
    replay_operation,
    snapshot_operation,
)
from bridge.web.vendor_problems import NO_STORE, SNAPSHOT_LINK, Refused, problem

_WAITERS = 4  # of one vendor at once
_LOOK = 0.5  # seconds between two looks for those who wait
_STATUSES = {404: "nothing", 405: "method"}
_NAMES = {CursorUnknown: "cursor", CursorForeign: "foreign", CursorPast: "past", StoreError: "away"}
_HEADERS: Mapping[str, Mapping[str, str]] = {
    "past": {"Link": SNAPSHOT_LINK},
    "away": {"Retry-After": "10"},
    "token": {"WWW-Authenticate": 'Bearer realm="Skolebro"'},
}


@dataclass(frozen=True, slots=True)
class VendorDeps:
    """The vendors, who is told how their requests went, and whether the server is to stop; `patience`: so long may
    the body of a request take."""

    vendors: Sequence[Vendor]
    witness: ServeWitness
    is_stopping: Callable[[], bool]
    waiting: Counter[str] = field(default_factory=Counter)
    patience: timedelta = timedelta(seconds=10)


class VendorApi(FastAPI):
    """Its `openapi()` is the contract, which it serves too."""

    def openapi(self) -> dict[str, Any]:
        return describe(super().openapi())


def create_vendor_api(deps: VendorDeps) -> VendorApi:
    """Return the application, which stands below `VENDORS`."""
    app = VendorApi(
        title="Skolebro vendor feed",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.add_exception_handler(HTTPException, _on_http_error)
    _add_reads(app, deps)

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> Response:
        return Response(document(app), 200, NO_STORE, JSON_TYPE)

    return app


def document(app: VendorApi) -> bytes:
    """The contract as it is served and kept."""
    return msgspec.json.format(msgspec.json.encode(app.openapi()), indent=2) + b"\n"


def _add_reads(app: FastAPI, deps: VendorDeps) -> None:
    @app.get("/events", **events_operation())
    async def events(request: Request) -> Response:  # so that who waits holds no thread
        return await _watched(request, deps, _events)

    @app.get("/snapshot", **snapshot_operation())
    async def snapshot(request: Request) -> Response:
        return await _watched(request, deps, _snapshot)

    @app.get("/deliveries", **deliveries_operation())
    async def deliveries(request: Request) -> Response:
        return await _watched(request, deps, _deliveries)

    @app.post("/replay", **replay_operation())
    async def replay(request: Request) -> Response:
        return await _watched(request, deps, _replay)


_Answer = Callable[[Request, VendorDeps, Vendor], Awaitable[Response]]


async def _watched(request: Request, deps: VendorDeps, answer: _Answer) -> Response:
    """Let in whom the token names, as often as agreed, and tell the witness how it ended."""
    vendor = vendor_of(deps.vendors, request.headers.get("authorization"))
    if vendor is None:
        return problem("token", _HEADERS["token"])
    name = f"vendors/{vendor.name}"
    try:
        if seconds := vendor.pace.wait():
            raise Refused("often", {"Retry-After": str(seconds)})
        made = await answer(request, deps, vendor)
    except Refused as error:
        made = problem(error.name, error.headers)
    except tuple(_NAMES) as error:
        made = _told(error)
    except Exception as error:
        deps.witness.serving_failed(name, error)
        made = problem("failed")
    deps.witness.answered(name, made.status_code)
    return made


async def _events(request: Request, deps: VendorDeps, vendor: Vendor) -> Response:
    asked = _parameters(request, ("after", "since", "limit", "wait"))
    limit, wait = _number(asked, "limit", 1, MOST, LIMIT), _number(asked, "wait", 0, LONGEST_WAIT, 0)
    since, known = since_of(asked), _etags(request)
    if since is None:
        at = feed_cursor(cursor_of(asked), vendor.feed.municipalities)
    else:
        at = await run_in_threadpool(vendor.feed.at_time, since)
    page = await run_in_threadpool(vendor.feed.events, at, limit, known)
    if page.is_empty and wait:
        await _await_news(deps, vendor, at, wait)
        page = await run_in_threadpool(vendor.feed.events, at, limit, known)
    return _answer(page, EVENTS_TYPE, "events", limit)


async def _snapshot(request: Request, deps: VendorDeps, vendor: Vendor) -> Response:
    asked = _parameters(request, ("after", "limit"))
    limit = _number(asked, "limit", 1, MOST, LIMIT)
    at = snapshot_cursor(cursor_of(asked), vendor.feed.municipalities)
    page = await run_in_threadpool(vendor.feed.snapshot, at, limit, _etags(request))
    return _answer(page, JSON_TYPE, "snapshot", limit)


async def _deliveries(request: Request, deps: VendorDeps, vendor: Vendor) -> Response:
    asked = _parameters(request, ("after", "since", "limit"))
    limit, since = _number(asked, "limit", 1, MOST, LIMIT), since_of(asked)
    after = log_cursor(cursor_of(asked))
    at = after if since is None else await run_in_threadpool(vendor.log.at_time, since)
    page = await run_in_threadpool(vendor.log.page, at, limit, _etags(request))
    return _answer(page, JSON_TYPE, "deliveries", limit)


async def _replay(request: Request, deps: VendorDeps, vendor: Vendor) -> Response:
    wanted = await wanted_of(request, vendor.replays.now(), deps.patience)
    try:
        done = await run_in_threadpool(vendor.replays.replay, *wanted)
    except NotYours as error:
        raise Refused("target") from error
    except Stopped as error:
        raise Refused(error.reason) from error
    except UnderWay as error:
        seconds = math.ceil((error.ends - vendor.replays.now()).total_seconds())
        raise Refused("replaying", {"Retry-After": str(max(1, seconds))}) from error
    return Response(replayed(done), 202, NO_STORE, JSON_TYPE)


async def _await_news(deps: VendorDeps, vendor: Vendor, at: AtFeed, seconds: int) -> None:
    """Return when there may be something new, the time is over or the server is to stop."""
    if deps.waiting[vendor.name] >= _WAITERS:
        raise Refused("waiting", {"Retry-After": "1"})
    deps.waiting[vendor.name] += 1
    try:
        async with asyncio.timeout(seconds):
            while not deps.is_stopping():
                await asyncio.sleep(_LOOK)
                if await run_in_threadpool(vendor.feed.has_news, at):
                    return
    except TimeoutError:
        pass
    finally:
        deps.waiting[vendor.name] -= 1


# ---------------------------------------------------------------- what is asked


def _parameters(request: Request, allowed: Sequence[str]) -> dict[str, str]:
    told = request.query_params.multi_items()
    asked = dict(told)
    if len(asked) < len(told) or not asked.keys() <= set(allowed):
        raise Refused("parameter")
    return asked


def _number(asked: Mapping[str, str], name: str, least: int, most: int, usual: int) -> int:
    text = asked.get(name)
    if text is None:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise Refused("parameter")
    return int(text)


def _etags(request: Request) -> tuple[str, ...]:
    """What the vendor has; a weak mark compares as a strong one there (RFC 9110 §13.1.2)."""
    told = ",".join(request.headers.getlist("if-none-match"))
    return tuple(one.strip().removeprefix("W/") for one in told.split(","))


# ---------------------------------------------------------------- what is answered


def _answer(page: Page, media_type: str, name: str, limit: int) -> Response:
    headers = {**NO_STORE, "ETag": page.etag, "Cache-Control": "no-cache, private"}
    if page.at is not None:
        cursor = page.at.text()
        headers["Link"] = f'<{VENDORS}/{name}?after={cursor}&limit={limit}>; rel="next"'
        headers["Skolebro-Cursor"] = cursor
    if page.body is None:
        return Response(None, 304, headers)
    return Response(page.body, 200, headers, media_type)


def _told(error: Exception) -> Response:
    name = next(name for kind, name in _NAMES.items() if isinstance(error, kind))
    return problem(name, _HEADERS.get(name))


def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these only
    return problem(_STATUSES.get(error.status_code, "parameter"), error.headers)


class _Nobody:
    """Is told of no request: there is none where only the contract is written."""

    def answered(self, target: str, status: int) -> None: ...

    def serving_failed(self, target: str, error: Exception) -> None: ...


if __name__ == "__main__":
    sys.stdout.buffer.write(document(create_vendor_api(VendorDeps((), _Nobody(), lambda: False))))

"""One version's answers: who asks is known first, then what is asked for is looked up and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from starlette.responses import JSONResponse, Response

from connectors.oneroster import tokens
from connectors.oneroster.collections import Collection, UnknownObject
from connectors.oneroster.problems import Refused
from connectors.oneroster.query import BadQuery, Query, parse_fields, parse_query, select
from connectors.oneroster.rosters import Ids, Listings, Rosters, Snapshot
from connectors.oneroster.shapes import Version
from connectors.oneroster.tokens import Gate, NotAuthorised
from connectors.oneroster.wire import Writer

_CORE = ("roster-core.readonly", "roster.readonly")
_DEMOGRAPHICS = ("roster-demographics.readonly",)


@dataclass(frozen=True, slots=True)
class Paging:
    """How many objects a page has where the client does not say, and how many at most."""

    page: int = 100
    most: int = 10_000


class Service:
    """Answers for one version, while it `is_open`; `public_url` is where clients find the application."""

    def __init__(
        self,
        writer: Writer,
        shapes: Mapping[str, Mapping[str, Any]],
        rosters: Rosters,
        gate: Gate,
        is_open: Callable[[], bool],
        public_url: str,
        paging: Paging,
    ) -> None:
        self.version: Version = writer.version
        self.shapes = shapes
        self._writer, self._rosters, self._gate, self._is_open = writer, rosters, gate, is_open
        self._url, self._paging = public_url, paging
        self._listings = Listings()

    def objects(self, collection: Collection, request: Request, ids: Sequence[str]) -> Response:
        """A page of a collection. Raises `Refused`, `StoreError`."""
        self._authorise(collection, request)
        shape = self.shapes[collection.kind]
        try:
            query = parse_query(request.query_params, shape, self._paging.page, self._paging.most)
            snapshot = self._rosters.current()
            mark, listed = self._listed(collection, request, ids, query, snapshot)
        except BadQuery as error:
            raise Refused(400, error.minor, error.text) from error
        except UnknownObject:
            raise _unknown() from None
        known = snapshot.directory.by_kind[collection.kind]
        page = [known[one] for one in listed[query.offset : query.offset + query.limit] if one in known]
        body = {collection.envelope: [select(self._writer.write(one), query.fields) for one in page]}
        headers = {"X-Total-Count": str(len(listed)), "Link": self._links(request, query, mark, len(listed))}
        return _answer(body, headers)

    def one(self, collection: Collection, request: Request, identifier: str) -> Response:
        """One object. Raises `Refused`, `StoreError`."""
        self._authorise(collection, request)
        try:
            fields = parse_fields(request.query_params, self.shapes[collection.kind])
        except BadQuery as error:
            raise Refused(400, error.minor, error.text) from error
        directory = self._rosters.current().directory
        found = next((thing for thing in collection.find(directory, ()) if thing.id == identifier), None)
        if found is None:
            raise _unknown()
        return _answer({collection.kind: select(self._writer.write(found), fields)})

    def _listed(
        self, collection: Collection, request: Request, ids: Sequence[str], query: Query, snapshot: Snapshot
    ) -> tuple[str, Ids]:
        """The ids of the whole list: as it was when its first page was fetched, if we still know it."""
        asked = request.query_params
        key = (collection.path, *ids, *(asked.get(name) for name in ("filter", "sort", "orderBy")))
        for mark in (asked.get("snapshot"), snapshot.mark):
            kept = self._listings.get((mark, key))
            if mark is not None and kept is not None:
                return mark, kept
        found = list(collection.find(snapshot.directory, ids))
        if query.is_plain:
            listed = tuple(sorted(thing.id for thing in found))
        else:
            written = map(self._writer.write, found)
            wanted = written if query.matches is None else filter(query.matches, written)
            listed = tuple(one["sourcedId"] for one in query.sorted(wanted))
        self._listings.keep((snapshot.mark, key), listed)
        return snapshot.mark, listed

    def _links(self, request: Request, query: Query, mark: str, total: int) -> str:
        last = max(0, (total - 1) // query.limit * query.limit)
        places = {"first": 0, "last": last}
        if query.offset > 0:
            places["prev"] = max(0, min(query.offset, total) - query.limit)
        if query.offset + query.limit < total:
            places["next"] = query.offset + query.limit
        kept = [(key, value) for key, value in request.query_params.items() if key in _KEPT]
        links = []
        for relation in ("next", "prev", "first", "last"):
            if relation in places:
                stays = [] if relation == "first" else [("snapshot", mark)]
                params = [*kept, ("limit", query.limit), ("offset", places[relation]), *stays]
                url = f"{self._url}{_path(request)}?{urlencode(params, quote_via=quote)}"
                links.append(f'<{url}>; rel="{relation}"')
        return ", ".join(links)

    def _authorise(self, collection: Collection, request: Request) -> None:
        query = request.scope["query_string"].decode("latin-1")
        asked = tokens.Request(_path(request), query, request.headers.get("authorization", ""))
        try:
            granted = self._gate.scopes(asked)
        except NotAuthorised as error:
            raise Refused(
                401, "unauthorisedrequest", "no valid proof of who asks", self._challenge(error)
            ) from error
        names = _DEMOGRAPHICS if collection.kind == "demographics" else _CORE
        needed = {tokens.scope(self.version, name) for name in names}
        if not granted & needed:
            challenge = f'Bearer realm="OneRoster", error="insufficient_scope", scope="{min(needed)}"'
            raise Refused(403, "forbidden", "the scope does not reach this", {"WWW-Authenticate": challenge})
        if not self._is_open():  # asked last: to somebody unknown this costs nothing and tells nothing
            raise Refused(503, "server_busy", "not switched on here, or not filled yet", {"Retry-After": "300"})

    def _challenge(self, error: NotAuthorised) -> dict[str, str]:
        wrong = ', error="invalid_token"' if error.presented else ""
        signed = ', OAuth realm="OneRoster"' if self.version == "v1p1" else ""
        return {"WWW-Authenticate": f'Bearer realm="OneRoster"{wrong}{signed}'}


_KEPT = frozenset({"filter", "sort", "orderBy", "fields"})


def _path(request: Request) -> str:
    """The path below our mount, as it is written in a URL."""
    below = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return quote(below, safe="/:@!$&'()*+,;=~")


def _answer(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(body, headers={"Cache-Control": "no-store", **(headers or {})})


def _unknown() -> Refused:
    return Refused(404, "unknownobject", "there is no such object")

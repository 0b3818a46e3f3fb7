"""What an EGIL server must hold after one day of exports, worked out from the XML by hand, and such servers.

mappings/egil/ss12000.yaml is written down here once more, without any of the bridge's code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from scim2_models import Extension, Resource, Schema

from bridge.testing.loopback import LoopbackServer, Request, Response
from tests.support.reference import Reference, canonical_id
from tests.support.scim import ScimServer

_DATA = Path(__file__).parents[1] / "data" / "egil"
SCHEMAS, TYPES = _DATA / "schemas.json", _DATA / "resource-types.json"
PREFIX = "urn:scim:schemas:extension:sis:school:1.0:"
ENDPOINTS = ("/Organisations", "/SchoolUnits", "/Users", "/Employments", "/StudentGroups", "/Activities")
"""In the order of creation."""
REFERENCES = {
    "organisation": "/SchoolUnits /Organisations",
    "enrolments": "/Users /SchoolUnits",
    "employedAt": "/Employments /SchoolUnits",
    "user": "/Employments /Users",
    "owner": "/StudentGroups /SchoolUnits",
    "studentMemberships": "/StudentGroups /Users",
    "groups": "/Activities /StudentGroups",
    "teachers": "/Activities /Employments",
}
"""Attributes that refer, and to what."""
Objects = dict[str, dict[str, dict[str, Any]]]


def egil_server() -> ScimServer:
    """scim2-server with the resource types of EGIL; its ids are its own."""
    return ScimServer("--schema", str(SCHEMAS), "--resource-type", str(TYPES))


# ---------------------------------------------------------------- what must be there


def expected(day: Reference, name: str) -> Objects:
    """All resources by endpoint and externalId; references by externalId too, lists of them sorted."""
    home = day.municipality

    def ref(kind: str, *key: str) -> dict[str, str]:
        return {"value": canonical_id(home, kind, *key)}

    def refs(*found: dict[str, str]) -> list[dict[str, str]]:
        return sorted(found, key=lambda one: one["value"])

    made: Objects = {endpoint: {} for endpoint in ENDPOINTS}

    def put(endpoint: str, kind: str, key: tuple[str, ...], **body: Any) -> None:
        made[endpoint][canonical_id(home, kind, *key)] = {n: v for n, v in body.items() if v not in (None, "", [])}

    put("/Organisations", "municipality", (home,), displayName=name)
    for number, school in day.institutions.items():
        organisation = ref("municipality", home)
        put(
            "/SchoolUnits",
            "institution",
            (number,),
            displayName=school,
            schoolUnitCode=number,
            organisation=organisation,
        )
    for user in {user for _, user, kind in day.affiliations if kind in ("student", "employee")}:
        given, family, email, protected = day.seen(user)
        schools = {number for number, who, kind in day.affiliations if (who, kind) == (user, "student")}
        extension: dict[str, Any] = {"securityMarking": protected}
        if schools:
            extension["enrolments"] = refs(*(ref("institution", number) for number in schools))
        put(
            "/Users",
            "person",
            (user,),
            userName=user,
            name={"givenName": given or "-", "familyName": family or "-"},
            displayName=" ".join(filter(None, (given, family))),
            emails=[{"value": email, "type": "other"}] if email else None,
            **{f"{PREFIX}User": extension},
        )
    for (number, user, kind), fields in day.affiliations.items():
        if kind == "employee":
            role = next((word for told, word in _ROLES.items() if told in fields["roles"]), "Annan personal")
            put(
                "/Employments",
                "affiliation",
                (number, user, kind),
                employedAt=ref("institution", number),
                user=ref("person", user),
                employmentRole=role,
                signature=None if user in day.guarded else fields.get("short_name"),
            )
    for key, fields in day.groups.items():
        ties, owner = day.ties.get(key, set()), ref("institution", key[0])
        put(
            "/StudentGroups",
            "group",
            key,
            displayName=fields["name"],
            owner=owner,
            studentGroupType={"main": "Klass", "teaching": "Undervisning"}.get(fields.get("type", "")),
            studentMemberships=refs(*(ref("person", user) for user, kind in ties if kind == "student")),
        )
        staff = refs(*(ref("affiliation", key[0], user, kind) for user, kind in ties if kind == "employee"))
        if staff:
            group = [ref("group", *key)]
            put(
                "/Activities",
                "teaching",
                key,
                displayName=fields["name"],
                owner=owner,
                groups=group,
                teachers=staff,
            )
    return made


_ROLES = {"Leder": "Rektor", "Lærer": "Lärare"}


# ---------------------------------------------------------------- what is there


def held(resources: Mapping[str, list[dict[str, Any]]], base: str | None) -> Objects:
    """What a server holds, in the shape of `expected`: references by externalId, as the server's ids lead there.

    `base` is what a `$ref` must begin with, None where there must be none.
    """
    known = {one["id"]: one["externalId"] for listed in resources.values() for one in listed}

    def follow(name: str, value: Any) -> Any:
        if isinstance(value, list):
            found = [follow(name, one) for one in value]
            return sorted(found, key=lambda one: one["value"]) if name in REFERENCES else found
        if not isinstance(value, dict):
            return value
        inside = {inner: follow(inner, one) for inner, one in value.items()}
        if name not in REFERENCES:
            return inside
        endpoint = REFERENCES[name].split()[1]
        assert inside.pop("$ref", None) == (None if base is None else f"{base}{endpoint}/{value['value']}")
        return {**inside, "value": known[value["value"]]}

    found: Objects = {}
    for endpoint, listed in resources.items():
        bodies = [
            follow("", {n: v for n, v in one.items() if n not in ("id", "meta", "schemas")}) for one in listed
        ]
        found[endpoint] = {body.pop("externalId"): body for body in bodies}
        assert len(found[endpoint]) == len(listed), f"twice in {endpoint}"
    return {endpoint: found[endpoint] for endpoint in ENDPOINTS}


def models() -> dict[str, type[Resource[Any]]]:
    """A model of scim2-models for each endpoint, made from the schemas."""
    schemas = {one["id"]: Schema.model_validate(one) for one in json.loads(SCHEMAS.read_text("utf-8"))}
    made: dict[str, type[Resource[Any]]] = {}
    for kind in json.loads(TYPES.read_text("utf-8")):
        model = Resource.from_schema(schemas[kind["schema"]])
        for extension in kind.get("schemaExtensions", ()):
            model = model[Extension.from_schema(schemas[extension["schema"]])]  # type: ignore[index]
        made[kind["endpoint"]] = model
    return made


# ---------------------------------------------------------------- a server with our ids


class EgilReceiver(LoopbackServer):
    """A server in the manner that is told of windermere: externalId is the id, and it knows no other verbs.

    GET lists a type whole; there is no paging, no filter, no PATCH and no discovery.
    """

    _REQUIRED = {  # noqa: RUF012 - a table
        "/Organisations": ("displayName",),
        "/SchoolUnits": ("displayName", "schoolUnitCode"),
        "/Users": ("userName", "name", "displayName"),
        "/Employments": ("employedAt", "user", "employmentRole"),
        "/StudentGroups": ("displayName", "owner"),
        "/Activities": ("displayName", "owner"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, dict[str, dict[str, Any]]] = {endpoint: {} for endpoint in self._REQUIRED}

    def answer(self, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        endpoint, _, identity = path.lstrip("/").partition("/")
        identity = unquote(identity)
        stored = self.stored.get(f"/{endpoint}")
        if stored is None:
            return Response(404)
        match request.method:
            case "GET" if not identity:
                listed = list(stored.values())
                return _json(200, {"totalResults": len(listed), "Resources": listed})
            case "POST" if not identity:
                body = json.loads(request.body)
                if body.get("externalId") in stored:
                    return _json(409, {})
                return self._store(f"/{endpoint}", body, 201)
            case "GET" | "PUT" | "DELETE" if identity not in stored:
                return Response(404)
            case "GET":
                return _json(200, stored[identity])
            case "PUT":
                return self._store(f"/{endpoint}", json.loads(request.body), 200)
            case "DELETE":
                del stored[identity]
                return Response(204)
            case _:
                return Response(405)

    def _store(self, endpoint: str, body: dict[str, Any], status: int) -> Response:
        if not all(body.get(name) for name in ("externalId", *self._REQUIRED[endpoint])):
            return _json(400, {"scimType": "invalidValue"})
        self.stored[endpoint][body["externalId"]] = body
        return _json(status, body)

    def resources(self) -> dict[str, list[dict[str, Any]]]:
        """Everything by endpoint, with the id that each goes by."""
        return {
            endpoint: [{**one, "id": identity} for identity, one in stored.items()]
            for endpoint, stored in self.stored.items()
        }


def _json(status: int, body: Any) -> Response:
    return Response(status, json.dumps(body).encode(), {"Content-Type": "application/scim+json"})

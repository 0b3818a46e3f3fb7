"""Nobody's name, number, address, e-mail or phone stands in what the bridge tells of its own work."""

from __future__ import annotations

import base64
import json
import signal
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from urllib.parse import quote, quote_plus

import pytest
import requests

from bridge.testing.loopback import LoopbackServer, Request, Response
from tests.support.exports import COMMON, OWN, Export
from tests.support.ports import free_port
from tests.support.process import background, run
from tests.support.world import DAYS, World, aula_target, scim_target, webhook_secret

# Danish letters make every encoding differ from the plain text.
OPEN = {
    "given name": "Kanårina",
    "family name": "Fuglekvæddersen",
    "e-mail": "kanarie.fuglekvidder@privat-postkasse.example",
}
SEEN = {"alias given name": "Skjåline", "alias family name": "Dæknavnsen"}
KEPT = {
    "CPR number": "311299-4987",
    "plain CPR number": "3112994987",
    "street": "Kanæriefuglestræde 117, 3. tv",
    "district": "Fjerkræby",
    "phone": "71829304",
}
SECRET = {
    "real given name": "Hemmelinde-Sølva",
    "real family name": "Virkelignævnt",
    "protected street": "Skjulestedsgyden 93",
    "protected phone": "60718293",
    "protected e-mail": "hemmelinde@gemt-postkasse.example",
    "protected CPR number": "2909135552",
}
ODD = {
    "unknown element": "Hobbyværdien Kanåriefuglesang",
    "unreadable date": "Femtende-Kanårie",
    "unknown relation": "Kanårie-onkel",
    "unknown role": "Kanårie-vagt",
    "unreadable flag": "kanårie-måske",
    "unknown attribute": "Kanårie-attribut",
    "unexpected child": "Kanårie-barnebarn",
    "record without identity": "Navnløse Kanåriesen",
    "contact without identity": "Kontaktløse Kanåriesen",
    "refused document": "Afviste Kanåriesen",
    "comment": "Kommentar om Kanårie",
}
CANARIES = {**OPEN, **SEEN, **KEPT, **SECRET, **ODD}
TOLD = (
    "audit",
    "runs",
    "holds",
    "quarantine",
    "target_states",
    "institution_states",
    "open_intents",
)


def forms(text: str) -> set[bytes]:
    """Every spelling in which a value might have slipped out."""
    raw = text.encode()
    found = {
        raw,
        text.encode("utf-16-le"),
        text.encode("latin-1"),
        quote(text, safe="").encode(),
        quote(text, safe="").lower().encode(),
        quote_plus(text).encode(),
        json.dumps(text)[1:-1].encode(),
        text.encode("unicode_escape"),
        repr(raw)[2:-1].encode(),
        "".join(f"&#{ord(c)};" if ord(c) > 127 else c for c in text).encode(),
        raw.hex().encode(),
    }
    for shift in range(3):  # base64 looks different at each offset; its ends mix with the neighbours
        found.add(base64.b64encode(bytes(shift) + raw)[4 if shift else 0 : -4])
    return found


def leaks(where: str, content: bytes, canaries: dict[str, str] = CANARIES) -> list[str]:
    """Name every canary that stands in some content."""
    return [
        f"{what} in {where}"
        for what, text in canaries.items()
        if any(form in content for case in (text, text.upper(), text.lower()) for form in forms(case))
    ]


# ---------------------------------------------------------------- a target that repeats what it was told


class Parrot(LoopbackServer):
    """A SCIM server that puts what it was sent into every answer: refusals, failures, ids and headers."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self._taken = 0
        self.received: list[bytes] = []
        self.statuses: list[int] = []

    def answer(self, request: Request) -> Response:
        head = f"{request.method} {request.path} {dict(request.headers)} "
        with self._lock:
            self.received.append(head.encode() + request.body)
            response = self._respond(request)
            self.statuses.append(response.status)
        return response

    def _respond(self, request: Request) -> Response:
        if request.path.endswith(("/ServiceProviderConfig", "/ResourceTypes")):
            return Response(404, request.body)  # it announces nothing
        if request.method == "GET":
            listing = {"totalResults": 0, "Resources": []}
            return Response(200, json.dumps(listing).encode(), {"Content-Type": "application/scim+json"})
        self._taken += 1
        echo = request.body
        headers = {"Content-Type": "application/scim+json", "ETag": f'"{quote(echo[:400])}"'}
        match self._taken % 6:
            case 1:
                error = {"status": "400", "scimType": echo.decode(), "detail": echo.decode()}
                return Response(400, json.dumps(error).encode(), headers)
            case 2:
                return Response(500, echo, {**headers, "Retry-After": quote(echo[:400])})
            case 3:
                return Response(200, b"<h1>" + echo, headers)
            case 4:
                return Response(409, echo, headers)
            case _:
                person = json.loads(echo or b"{}")
                identity = f"{person.get('displayName', 'x')}-{self._taken}"
                body = {**person, "id": identity, "meta": {"version": f'W/"{quote(identity)}"'}}
                return Response(201, json.dumps(body).encode(), headers)


class Echo(LoopbackServer):
    """An Aula that answers every event with itself: now taken, now refused, now failed."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self.received: list[bytes] = []

    def answer(self, request: Request) -> Response:
        with self._lock:
            self.received.append(f"{request.path} {dict(request.headers)} ".encode() + request.body)
            number = len(self.received)
        if number % 50 == 0:
            return Response(400 if number % 100 else 500, request.body, {"X-Body": quote(request.body[:300])})
        return Response(200, request.body)


# ---------------------------------------------------------------- the exports


def _planted() -> Export:
    """Ten pupils and five others, with canaries wherever an export can carry one."""
    export = Export.of(DAYS[0] / "101002.xml").cut(10)
    known, hidden, odd, lost, *_ = export.pupils
    person = export.person(known)
    person.set("protected", "false")
    _fill(person, OPEN["given name"], OPEN["family name"], OPEN["e-mail"], KEPT["plain CPR number"])
    _fill_address(export, person, KEPT["street"], KEPT["district"])
    _phone(person, KEPT["phone"])
    _protect(export, hidden)
    _make_odd(export, odd)
    export.person(lost).remove(_child(export.person(lost), "UserId"))
    export.set(export.person(lost), "FirstName", ODD["record without identity"])
    teacher = next(record for record in export.records if record.find(f"{{{COMMON}}}Employee") is not None)
    _fill_address(export, export.person(teacher), KEPT["CPR number"], KEPT["CPR number"])
    export.institution.append(ET.Comment(ODD["comment"]))
    return export


def _married(export: Export) -> Export:
    """Let everyone but the planted ones have another family name."""
    for record in export.records:
        name = _child(export.person(record), "FamilyName")
        if name.text not in CANARIES.values():
            name.text = "Gift"
    return export


def _child(person: ET.Element, name: str, namespace: str = COMMON) -> ET.Element:
    found = person.find(f"{{{namespace}}}{name}")
    assert found is not None, name
    return found


def _fill(person: ET.Element, given: str, family: str, email: str, cpr: str) -> None:
    values = {"FirstName": given, "FamilyName": family, "EmailAddress": email, "CivilRegistrationNumber": cpr}
    for name, text in values.items():
        found = person.find(f"{{{COMMON}}}{name}")
        if found is None:
            found = ET.SubElement(person, f"{{{COMMON}}}{name}")
        found.text = text


def _fill_address(export: Export, person: ET.Element, street: str, district: str) -> None:
    address = _child(person, "Address")
    export.set(address, "StreetAddress", street)
    export.set(address, "PostalDistrict", district)


def _phone(person: ET.Element, number: str) -> None:
    for name in ("HomePhoneNumber", "WorkPhoneNumber", "MobilePhoneNumber"):
        for found in person.findall(f"{{{COMMON}}}{name}"):
            person.remove(found)
        ET.SubElement(person, f"{{{COMMON}}}{name}", {"protected": "false"}).text = number


def _protect(export: Export, record: ET.Element) -> None:
    person = export.person(record)
    person.set("protected", "true")
    _fill(
        person,
        SECRET["real given name"],
        SECRET["real family name"],
        SECRET["protected e-mail"],
        SECRET["protected CPR number"],
    )
    _fill_address(export, person, SECRET["protected street"], KEPT["district"])
    _phone(person, SECRET["protected phone"])
    alias = {"AliasFirstName": SEEN["alias given name"], "AliasFamilyName": SEEN["alias family name"]}
    for name, text in alias.items():
        for old in person.findall(f"{{{OWN}}}{name}"):
            person.remove(old)
        ET.SubElement(person, f"{{{OWN}}}{name}").text = text


def _make_odd(export: Export, record: ET.Element) -> None:
    person, student = export.person(record), _child(record, "Student", OWN)
    _child(person, "BirthDate").text = ODD["unreadable date"]
    person.set("protected", ODD["unreadable flag"])
    person.set("title", ODD["unknown attribute"])
    ET.SubElement(person, f"{{{COMMON}}}Hobby").text = ODD["unknown element"]
    ET.SubElement(_child(person, "Gender"), f"{{{COMMON}}}Sub").text = ODD["unexpected child"]
    _child(student, "Role").text = ODD["unknown role"]
    first = _child(student, "ContactPerson", OWN)
    first.set("relation", ODD["unknown relation"])
    first.set("childCustody", ODD["unreadable flag"])
    nameless = ET.SubElement(student, f"{{{OWN}}}ContactPerson", {"relation": "Mor"})
    unknown = ET.SubElement(nameless, f"{{{OWN}}}Person", {"protected": "false"})
    ET.SubElement(unknown, f"{{{COMMON}}}FirstName").text = ODD["contact without identity"]
    ET.SubElement(unknown, f"{{{COMMON}}}FamilyName").text = OPEN["family name"]


def _not_well_formed() -> bytes:
    whole = _planted().numbered("101003").bytes().decode()
    broken = whole.replace("</fm:InstitutionPerson>", f"{ODD['refused document']}</fm:Kanårie>", 1)
    return broken.encode()


# ---------------------------------------------------------------- the whole course of events


@dataclass
class Course:
    """All that came out, by where it came from, and what went in and through."""

    said: dict[str, bytes] = field(default_factory=dict)
    entities: bytes = b""
    parrot: Parrot = field(default_factory=Parrot)
    echo: Echo = field(default_factory=Echo)
    tables: dict[str, bytes] = field(default_factory=dict)
    reasons: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    course = Course()
    with course.parrot, course.echo:
        _live_through(course, tmp_path_factory.mktemp("course"))
        yield course


def _live_through(course: Course, folder: Path) -> None:
    port = free_port()
    world = World(
        folder / "world",
        sections={"web": {"listen": f"127.0.0.1:{port}"}, "log": {"level": "debug", "format": "console"}},
    )
    world.municipality["targets"] = {
        "platform": scim_target(world, course.parrot.url, "token"),
        "aula": aula_target(world, course.echo.url, webhook_secret()),
    }
    world.settings["retry"] = {"base": "1s", "ceiling": "2s", "retry_after_cap": "2s"}
    world.write()

    def say(*args: str) -> None:
        for more in ((), ("--json",)):
            result = world.run(*args, *more)
            assert "Traceback" not in result.stderr
            place = " ".join((*args, *more, f"({len(course.said)})"))
            course.said[f"{place} stdout"] = result.stdout.encode()
            course.said[f"{place} stderr"] = result.stderr.encode()

    (folder / "day").mkdir()
    (folder / "day" / "101002.xml").write_bytes(_planted().bytes())
    (folder / "day" / "101003.xml").write_bytes(_not_well_formed())
    for more in ((), ("--json",)):
        shown = run(["preview", "day", *more], folder).ended(0)
        course.said[f"preview {more}"] = shown.stdout.encode() + shown.stderr.encode()

    world.drop_bytes("101002.xml", _planted().bytes())
    world.drop_bytes("101003.xml", _not_well_formed())
    for verb in ("check", "plan", "sync", "plan", "status"):
        say(verb)
    world.drop_bytes("101002.xml", _planted().later(days=1).without_pupils(80).bytes())
    say("sync")
    say("holds", "list")
    say("holds", "show", "1")
    say("holds", "reject", "1")  # and a second time, which is refused
    _run_for_a_moment(course, world, port)
    for words in (
        ("status",),
        ("deliveries", "list", "--limit", "1000"),
        ("deliveries", "list", "--state", "rejected"),
        ("events", "--limit", "1000"),
        ("deliveries", "retry"),
        ("sync",),
        ("audit", "verify"),
        ("anomalies",),
        ("anomalies", "--ids"),
        ("anomalies", "--csv", "--ids"),
        ("anomalies", "--json", "--ids"),
    ):
        say(*words)
    _note_tables(course, world)


def _run_for_a_moment(course: Course, world: World, port: int) -> None:
    """Let the daemon try again what was refused, look at every page, and end it."""
    world.drop_bytes("101002.xml", _married(_planted()).later(days=2).bytes())
    tried = len(course.parrot.received)
    with background(["run", "--config", "skolebro.yaml"], world.root) as daemon, requests.Session() as session:
        session.trust_env = False

        def page(path: str) -> bytes | None:
            try:
                answer = session.get(f"http://127.0.0.1:{port}{path}", timeout=10)
            except requests.ConnectionError:
                return None
            return str(dict(answer.headers)).encode() + answer.content

        daemon.until(lambda: page("/status"))
        daemon.until(lambda: len(course.parrot.received) >= tried + 3)
        for path in ("/metrics", "/", "/status", "/anomalies", "/health/live", "/health/ready", "/nowhere"):
            course.said[f"GET {path}"] = daemon.until(lambda path=path: page(path))  # type: ignore[misc]
        daemon.signal(signal.SIGTERM)
        ended = daemon.end().ended(0)
    course.said["run stdout"], course.said["run stderr"] = ended.stdout.encode(), ended.stderr.encode()


def _note_tables(course: Course, world: World) -> None:
    for table in TOLD:
        course.tables[table] = repr(world.rows(f'SELECT * FROM "{table}"')).encode()  # noqa: S608 - our names
    told = [name for name in _columns(world, "deliveries") if name not in ("confirmed_body", "remote_id", "etag")]
    rows = world.rows(f"SELECT {', '.join(told)} FROM deliveries")  # noqa: S608 - the table's own columns
    course.tables["deliveries"] = repr(rows).encode()
    course.reasons = {reason for (reason,) in world.rows("SELECT reason FROM quarantine")}
    course.reasons |= {reason for (reason,) in world.rows("SELECT reason FROM runs WHERE reason IS NOT NULL")}
    course.reasons |= {reason for (reason,) in world.rows("SELECT reason FROM deliveries WHERE reason NOT NULL")}
    bodies = world.rows("SELECT body FROM entities WHERE body IS NOT NULL")
    course.entities = b"\n".join(bytes(body) for (body,) in bodies)


def _columns(world: World, table: str) -> list[str]:
    with closing(sqlite3.connect(world.root / "state" / "skolebro.db")) as database:
        return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


# ---------------------------------------------------------------- nothing came out


def test_no_output_holds_a_personal_value(course: Course) -> None:
    assert [leak for where, content in course.said.items() for leak in leaks(where, content)] == []


def test_the_metrics_count_what_the_audit_chain_took_in(course: Course) -> None:
    counted = [line for line in course.said["GET /metrics"].splitlines() if b"bridge_audit_records_total{" in line]
    assert any(b'kind="disclosure.intent"' in line for line in counted)
    assert not any(b'kind="other"' in line for line in counted)


def test_no_table_that_tells_of_the_work_holds_a_personal_value(course: Course) -> None:
    assert [leak for where, content in course.tables.items() for leak in leaks(f"table {where}", content)] == []


def test_no_target_received_what_is_protected_or_not_in_its_mapping(course: Course) -> None:
    never = {**SECRET, **KEPT, **ODD}
    # The relation and the role become words of our vocabulary; what was unknown is told as "other".
    for name, target in (("platform", course.parrot), ("aula", course.echo)):
        assert target.received
        assert leaks(name, b"\n".join(target.received), never) == []


# ---------------------------------------------------------------- and yet all of it went through


def test_the_canaries_are_in_the_state(course: Course) -> None:
    kept = {**OPEN, **SEEN, **KEPT, **SECRET}
    lost = [what for what, text in kept.items() if text.encode() not in course.entities]
    assert lost == []


def test_the_targets_got_the_names_that_they_may_see(course: Course) -> None:
    platform, aula = b"\n".join(course.parrot.received), b"\n".join(course.echo.received)
    assert [what for what, text in {**OPEN, **SEEN}.items() if text.encode() not in platform] == []
    names = {what: text for what, text in {**OPEN, **SEEN}.items() if what != "e-mail"}
    assert leaks("aula", aula, names) == [f"{what} in aula" for what in names]
    assert leaks("aula", aula, {"e-mail": OPEN["e-mail"]}) == []


def test_every_kind_of_trouble_was_met(course: Course) -> None:
    assert {200, 201, 400, 409, 500} <= set(course.parrot.statuses)
    noted = {
        "unreadable_birth_date",
        "unreadable_boolean",
        "unknown_element",
        "unexpected_children",
        "unknown_role",
        "unknown_relation",
        "missing_user_id",
        "contact_without_identity",
        "shrunken",
        "not_well_formed",
        "refused_400",
    }
    assert noted - course.reasons == set()
    assert b"server_error_500" in course.tables["deliveries"] + course.tables["audit"]


def test_every_page_and_verb_said_something(course: Course) -> None:
    said: dict[str, bytes] = {}
    for where, content in course.said.items():
        place = where.removesuffix(" stdout").removesuffix(" stderr")
        said[place] = said.get(place, b"") + content
    assert [place for place, content in said.items() if not content] == []
    assert b"snapshot.held" in course.said["run stderr"] or b"snapshot.recorded" in course.said["run stderr"]


@pytest.mark.parametrize("text", ["Kanårina", "311299-4987"])
def test_the_search_itself_finds_a_value_in_every_spelling(text: str) -> None:
    around = f'x"{text}"y'
    spelt = [
        around.encode(),
        quote(around).encode(),
        json.dumps(around).encode(),
        around.upper().encode(),
        repr(around.encode()).encode(),
        *(base64.b64encode(b"z" * shift + around.encode()) for shift in range(3)),
    ]
    assert [leaks("here", content, {"it": text}) for content in spelt] == [["it in here"]] * len(spelt)


def test_an_unforeseen_error_is_told_without_the_values_in_its_text(tmp_path: Path) -> None:
    """A damaged row makes an exception quote what stands there; the command must not."""
    world = World(tmp_path / "world")
    world.municipality["targets"] = {"platform": scim_target(world, "http://127.0.0.1:1", "token")}
    world.write()
    world.drop_bytes("101002.xml", _planted().bytes())
    world.sync(code=1)
    world.edit("UPDATE deliveries SET kind = ?", OPEN["family name"])
    result = world.run("deliveries", "list").ended(1)
    assert "app.failed" in result.stderr
    assert "ValueError" in result.stderr
    assert leaks("output", (result.stdout + result.stderr).encode()) == []

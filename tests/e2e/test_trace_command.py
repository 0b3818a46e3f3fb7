"""`skolebro trace` as somebody at a service desk uses it: why is this pupil in that platform, or is not."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import pytest

from tests.support.environment import environment
from tests.support.exports import COMMON, OWN, Export
from tests.support.process import PROGRAM, Result
from tests.support.scim import ScimServer
from tests.support.world import DAYS, MUNICIPALITY, World, scim_target

pytestmark = pytest.mark.slow  # real processes by the dozen; the engine is told of in tests/unit

SMALL = "280555.xml"
PLATFORM, AULA = f"{MUNICIPALITY}/platform", f"{MUNICIPALITY}/aula"
CPR = "3112994987"
NAMES = {"FirstName": "Kanarina", "FamilyName": "Fuglekvidder"}
MORE = {
    "EmailAddress": "kanarie@postkasse.example",
    "CivilRegistrationNumber": CPR,
    "HomePhoneNumber": "71829304",
    "StreetAddress": "Kanariestraede 117",
    "AliasFirstName": "Skjalina",
    "AliasFamilyName": "Daeknavn",
}


CANARIES = (*NAMES.values(), *MORE.values(), "2909135552")


@dataclass(frozen=True)
class Desk:
    """A synchronised school in which everybody is a canary."""

    world: World
    pupil: str
    hidden: str
    contact: str
    teacher: str

    def ask(self, *words: str, said: str = "") -> Result:
        """Start the program with something on its standard input."""
        ended = subprocess.run(
            [PROGRAM, "trace", *words, "--config", "skolebro.yaml"],
            cwd=self.world.root,
            env=environment(),
            input=said.encode(),
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Result(words, ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def looked_up(self) -> list[dict[str, Any]]:
        rows = [json.loads(record) for (record,) in self.world.rows("SELECT record FROM audit ORDER BY seq")]
        return [row for row in rows if row["kind"] == "trace.read"]


def _everybody_a_canary(export: Export) -> Export:
    """Give everybody the same name, the first pupil all that an export can tell, and the second a protection."""
    for person in export.root.iter(f"{{{OWN}}}Person"):
        for name, text in NAMES.items():
            export.set(person, name, text)
    first, second, *_ = map(export.person, export.pupils)
    for person in (first, second):
        for name, text in MORE.items():
            _fill(person, name, text)
    second.set("protected", "true")
    _fill(second, "CivilRegistrationNumber", "2909135552")
    return export


def _fill(person: Element, name: str, text: str) -> None:
    namespace = OWN if name.startswith("Alias") else COMMON
    parent = person.find(f"{{{COMMON}}}Address") if name == "StreetAddress" else person
    assert parent is not None
    found = parent.find(f"{{{namespace}}}{name}")
    if found is None:
        found = SubElement(parent, f"{{{namespace}}}{name}")
    found.text = text


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    export = _everybody_a_canary(Export.of(DAYS[0] / SMALL).cut(6))
    world = World(tmp_path_factory.mktemp("desk") / "world")
    with ScimServer() as server:
        world.municipality["targets"] = {
            "platform": scim_target(world, server.url, server.token),
            "aula": {"connector": "aula"},
        }
        world.write()
        world.drop_bytes(SMALL, export.bytes())
        world.sync()
    contacts = world.rows("SELECT key FROM entities WHERE kind = 'guardianship' ORDER BY key LIMIT 1")
    teacher = next(record for record in export.records if record not in export.pupils)
    return Desk(
        world,
        export.user_id(export.pupils[0]),
        export.user_id(export.pupils[1]),
        contacts[0][0].split("\x1f")[2],
        export.user_id(teacher),
    )


def test_a_pupil_who_is_there(desk: Desk) -> None:
    told = desk.world.run("trace", desk.pupil).ended(0).stdout
    assert f"The person is at {PLATFORM} as User, confirmed" in told
    assert f"{AULA} only observes: nothing is sent to it." in told
    assert "Fields that go: externalId, userName, name.givenName, name.familyName" in told
    assert "civil_registration_number" in told.partition("Not named by the mapping, so never sent: ")[2]
    assert "the platform confirmed it, HTTP 201" in told
    assert "The person is named in it." in told
    assert told.index("was created by 280555 (run ") < told.index("creation of the person as User with")


def test_a_pupil_who_is_protected(desk: Desk) -> None:
    told = desk.world.run("trace", desk.hidden).ended(0).stdout
    assert "Name and address are protected: 280555 says so, and that holds everywhere." in told
    assert "name.givenName: protection puts what may be seen in the place of given_name" in told
    assert "emails[].value: withheld, because it is protected" in told


def test_a_canonical_id_is_no_dead_end(desk: Desk) -> None:
    told = desk.world.run("trace", desk.pupil).ended(0).stdout
    (identity,) = [line.removeprefix("Canonical id: ") for line in told.splitlines() if "Canonical id" in line]
    assert desk.world.run("trace", identity.upper()).ended(0).stdout.startswith(f"{desk.pupil} in municipality")
    assert desk.world.run("trace", identity, "--json").ended(0).json["traces"][0]["id"] == identity
    unknown = "00000000-0000-4000-8000-000000000000"
    assert desk.world.run("trace", unknown).ended(1).stdout.startswith("Nobody is known by that")


def test_a_contact_who_is_not(desk: Desk) -> None:
    told = desk.world.run("trace", desk.contact).ended(0).stdout
    assert (
        f"The person is not at {PLATFORM}: resource User takes only kinds: employee, external, student "
        "(there is contact)." in told
    )
    assert "the tie to a child at 280555" in told


def test_a_program_gets_the_same(desk: Desk) -> None:
    (found,) = desk.world.run("trace", desk.pupil, "--json", "--target", PLATFORM).ended(0).json["traces"]
    (target,) = found["targets"]
    assert (target["target"], target["person"]["state"]) == (PLATFORM, "there")
    attempts = [one["facts"] for one in found["timeline"] if one["what"] == "delivery.attempted"]
    assert [(one["outcome"], one["status"]) for one in attempts] == [("delivered", 201)]
    assert attempts[0]["mapping"] == target["mapping_digest"]


def test_somebody_unknown_and_what_to_do(desk: Desk) -> None:
    told = desk.world.run("trace", "nobody99").ended(1).stdout
    assert told.startswith("Nobody is known by that")
    assert "nobody99" not in told
    told = desk.world.run("trace", desk.pupil.upper()).ended(1).stdout
    assert f"In municipality {MUNICIPALITY} there is {desk.pupil}: small and capital letters" in told


def test_whom_no_shell_should_remember_is_read_from_standard_input(desk: Desk) -> None:
    assert f"The person is at {PLATFORM}" in desk.ask("-", said=f"{desk.pupil}\n").ended(0).stdout
    told = desk.ask("--cpr-stdin", said="311299-4987\n").ended(0).stdout
    assert told.startswith(f"{desk.pupil} in municipality {MUNICIPALITY}")
    assert desk.ask("--cpr-stdin", said="0101010000\n").ended(1).stdout.startswith("Nobody is known by that")
    assert "standard input gave nothing" in desk.ask("-").ended(2).stderr


@pytest.mark.parametrize("number", [CPR, "311299-4987"])
def test_a_cpr_number_among_the_words_is_refused_and_not_repeated(desk: Desk, number: str) -> None:
    before = len(desk.looked_up())
    answer = desk.world.run("trace", number).ended(2)
    assert "--cpr-stdin" in answer.stderr
    assert number not in answer.stdout + answer.stderr
    assert len(desk.looked_up()) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give a user id"),
        (("x", "--cpr-stdin"), "give no user id with it"),
        (("x", "--since", "yesterday"), "--since: allowed is"),
        (("x", "--target", "0751/none"), "no target '0751/none'; there are"),
        (("x", "--municipality", "0101"), "no municipality '0101'; there are 0751"),
        (("--id", "abcd1234"), "--id: allowed is a traceparent"),
        (("--id", f"00-{'0' * 32}-{'0' * 16}-01"), "--id: allowed is a traceparent"),
        (("x", "--id", "a" * 32), "--id goes with --json and --config only"),
    ],
)
def test_a_mistake_is_one_sentence(desk: Desk, words: tuple[str, ...], said: str) -> None:
    answer = desk.world.run("trace", *words).ended(2)
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_what_a_vendor_reads_out_leads_to_the_run_and_the_attempt_and_names_nobody(desk: Desk) -> None:
    (found,) = desk.world.run("trace", desk.pupil, "--json").ended(0).json["traces"]
    attempt = next(one["facts"] for one in found["timeline"] if one["what"] == "delivery.attempted")
    told = desk.world.run("trace", "--id", attempt["trace"], "--json").ended(0).json["trace"]
    assert (told["run"]["institution"], told["run"]["result"]) == ("280555", "recorded")
    (mine,) = [one for one in told["tried"] if one["id"] == attempt["id"]]
    assert (mine["outcome"], mine["status"]) == ("delivered", 201)
    read_out = f"00-{attempt['trace']}-{mine['span']}-01"
    said = desk.world.run("trace", "--id", read_out).ended(0).stdout
    assert f"Span {mine['span']} is the attempt at {PLATFORM}" in said
    assert f"Run {told['run']['id']} of institution 280555" in said
    everything = said + desk.world.run("trace", "--id", read_out, "--json").ended(0).stdout
    assert not [canary for canary in (*CANARIES, desk.pupil, desk.hidden) if canary in everything]
    assert desk.looked_up()[-1]["trace"] == attempt["trace"]
    assert desk.world.run("trace", "--id", "a" * 32).ended(1).stdout.startswith(f"Trace {'a' * 32}\nNothing is")


def test_every_look_up_is_audited_and_the_chain_holds(desk: Desk) -> None:
    before = len(desk.looked_up())
    desk.world.run("trace", desk.teacher).ended(0)
    desk.world.run("trace", desk.teacher, "--json").ended(0)
    desk.world.run("trace", "nobody99").ended(1)
    *known, unknown = desk.looked_up()[before:]
    assert len({row["subject"] for row in known}) == 1
    assert unknown["subject"] != known[0]["subject"]
    assert all(row["actor"] not in ("", "skolebro") for row in known)
    assert desk.teacher not in str(known)
    told = desk.world.run("trace", desk.teacher).ended(0).stdout
    assert told.count("looked the person up") == 3
    desk.world.run("audit", "verify").ended(0)


def test_a_look_back_may_begin_later(desk: Desk) -> None:
    (found,) = desk.world.run("trace", desk.pupil, "--json", "--since", "2999-01-01").ended(0).json["traces"]
    assert found["timeline"] == []


def test_no_answer_holds_a_personal_value(desk: Desk) -> None:
    answers = [
        desk.world.run("trace", user, *more)
        for user in (desk.pupil, desk.hidden, desk.contact, desk.teacher, "nobody99")
        for more in ((), ("--json",))
    ]
    answers.append(desk.ask("--cpr-stdin", "--json", said=CPR))
    told = "".join(answer.stdout + answer.stderr for answer in answers).casefold()
    assert [canary for canary in CANARIES if canary.casefold() in told] == []
    stored = b"".join(bytes(body) for (body,) in desk.world.rows("SELECT body FROM entities WHERE body NOT NULL"))
    assert [canary for canary in CANARIES if canary.encode() not in stored] == []

"""Two municipalities with different platforms in one daemon: neither's data nor its trouble reaches the other."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from bridge.adapters.sql_schema import to_stored
from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.faulty_proxy import Fault, FaultyProxy, SeenRequest
from bridge.testing.stil_export import write_export
from bridge.testing.stil_municipality import Makeup, Municipality
from tests.support.daemon import Daemon
from tests.support.exports import COMMON, OWN, SHARED
from tests.support.model import rows_of
from tests.support.rig import BUSY
from tests.support.scim import ScimServer

DAYS = 4
SHARED_USER = "delt123q"
"""The UNI-Login of somebody who is at a school of each municipality."""
MAPPING = Path(__file__).parents[1] / "year" / "platform.yaml"  # names, e-mails, addresses and phones
WORDS = ("InstitutionName", "GroupName", "FirstName", "FamilyName", "AliasFirstName", "AliasFamilyName")
WORDS += ("StreetAddress", "PostalDistrict", "Occupation")
CODES = ("EmailAddress", "ShortName", "StudentNumber")
NUMBERS = ("CivilRegistrationNumber", "MobilePhoneNumber", "HomePhoneNumber", "WorkPhoneNumber")
NO_LIMITS = dict.fromkeys(
    ("max_deleted_percent", "max_created_percent", "max_updated_percent", "max_unprotected")
) | {"window": "0s", "deletion_grace": "0s"}


@dataclass
class Town:
    """A municipality whose mark stands in every field that is a text, with all numbers that it ever told.

    Its institution numbers and group ids are those of the other one: only the municipality tells them apart.
    """

    code: str
    mark: str
    seed: int
    folder: Path
    numbers: set[str] = field(default_factory=set)
    here: set[str] = field(default_factory=set)
    contacts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        makeup = Makeup(tracks="AB", teaching_groups=2, is_marked=True)
        self.made_up = Municipality(self.seed, schools=2, pupils=24, code=self.code, makeup=makeup, churn=BUSY)
        first = self.made_up.institution(self.institutions[0])
        self._shared = next(record.user_id for record in first.records if record.kind == "employee")

    @property
    def institutions(self) -> list[str]:
        return list(self.made_up.institutions())

    def export(self) -> None:
        """Leave today's exports in the drop folder, and note who is in them: with a role, or as a contact."""
        self.here, self.contacts = set(), set()
        for number in self.institutions:
            root = ET.fromstring(write_export(self.made_up.institution(number)))  # noqa: S314 - our own
            for element in root.iter():
                self._mark(element)
            self.here |= _people(root, "InstitutionPerson")
            self.contacts |= _people(root, "ContactPerson")
            draft = self.folder.with_name(f".{self.code}.{number}")
            draft.write_bytes(ET.tostring(root, encoding="UTF-8", xml_declaration=True))
            os.replace(draft, self.folder / f"{number}.xml")

    def _mark(self, element: ET.Element) -> None:
        name, text = element.tag.rpartition("}")[2], element.text or ""
        if name in WORDS:
            element.text = f"{text} {self.mark.title()}"
        elif name in CODES or element.tag == f"{{{SHARED}}}LocalPersonId":
            element.text = f"{self.mark}.{text}"
        elif name == "UserId":
            element.text = SHARED_USER if text == self._shared else f"{self.mark}{text}"
        elif name in NUMBERS:
            self.numbers.add(text)


def _people(root: ET.Element, tag: str) -> set[str]:
    return {str(one.findtext(f"{{{OWN}}}Person/{{{COMMON}}}UserId")) for one in root.iter(f"{{{OWN}}}{tag}")}


@dataclass
class Scene:
    """Both towns, and the wires to the target of each."""

    alfa: Town
    beta: Town
    scim: ScimServer
    aula: AulaReceiver
    to_scim: FaultyProxy
    to_aula: FaultyProxy
    folder: Path
    secrets: tuple[str, str]

    @property
    def database(self) -> Path:
        return self.folder / "state" / "skolebro.db"

    def let_a_day_pass(self) -> None:
        for town in (self.alfa, self.beta):
            town.made_up.advance()
            town.export()

    def is_done(self) -> bool:
        """Whether today's exports are recorded, and nothing is due any more."""
        stored = rows_of(self.database, "SELECT municipality, institution, export_time FROM institution_states")
        today = {
            (town.code, number, to_stored(town.made_up.export_time))
            for town in (self.alfa, self.beta)
            for number in town.institutions
        }
        return set(stored) == today and not self.due_at("")

    def due_at(self, town: str) -> int:
        """How much is due at the targets of a town, or of all."""
        targets = rows_of(self.database, "SELECT target FROM deliveries WHERE is_due = 1")
        return sum(target.startswith(town) for (target,) in targets)

    def ids_of(self, town: Town) -> set[str]:
        """The canonical id of everything that was ever stored of a town."""
        return {identity for code, identity in self._ids() if code == town.code}

    def _ids(self) -> list[tuple[str, str]]:
        return rows_of(self.database, "SELECT municipality, id FROM entities WHERE kind <> 'contribution'")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    token = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    with ExitStack() as stack:
        scim = stack.enter_context(ScimServer())
        aula = stack.enter_context(AulaReceiver(token))
        to_scim, to_aula = (stack.enter_context(FaultyProxy(server.url)) for server in (scim, aula))
        for name in ("alfa", "beta"):
            (tmp_path / name).mkdir()
        alfa = Town("101", "alfaqvist", 3, tmp_path / "alfa")
        beta = Town("202", "betaqvist", 4, tmp_path / "beta")
        shutil.copy(MAPPING, tmp_path / "platform.yaml")
        for name, text in (("scim-token", scim.token), ("aula-secret", token)):
            (tmp_path / name).touch(mode=0o600)
            (tmp_path / name).write_text(text)
        common = {"guard": {"max_deleted_percent": None}, "leavers": {"retention": "0s"}}
        platform = {"connector": "scim", "base_url": to_scim.url, "token_file": "scim-token"}
        by_event = {
            "connector": "aula",
            "mode": "agreement",
            "base_url": to_aula.url,
            "secret_file": "aula-secret",
            "agreement": "none, a stand-in",
        }
        settings = {
            "state_folder": "state",
            "web": {"listen": "127.0.0.1:0"},
            "log": {"format": "json"},
            "retry": {"base": "0.2s", "ceiling": "1s", "retry_after_cap": "1s"},
            "municipalities": {
                town.code: {
                    "name": f"{town.mark.title()} Kommune",
                    "institutions": "all",
                    "interval": "0.2s",
                    "guard": NO_LIMITS,
                    "source": {"connector": "stil-folder", "folder": town.folder.name},
                    "targets": {name: {**target, **common}},
                }
                for town, name, target in (
                    (alfa, "platform", {**platform, "mapping": "platform.yaml"}),
                    (beta, "aula", {**by_event, "secret_file": "aula-secret"}),
                )
            },
        }
        (tmp_path / "skolebro.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        yield Scene(alfa, beta, scim, aula, to_scim, to_aula, tmp_path, (scim.token, token))


def bytes_of(request: SeenRequest) -> bytes:
    """All that a target saw of a request, in lower case."""
    head = [request.method, request.path, *(f"{name}: {value}" for name, value in request.headers.items())]
    return "\n".join(head).encode().lower() + b"\n\n" + request.body.lower()


def found_of(town: Town, ids: set[str], secret: str, seen: list[bytes]) -> set[str]:
    """Everything of a town that stands anywhere in these bytes."""
    told = {town.mark, secret.lower(), f"municipality/{town.code}", *town.numbers, *ids}
    everything = b"\n\n".join(seen)
    return {one for one in told if one.encode() in everything}


def test_nothing_of_one_municipality_ever_reaches_the_target_of_the_other(scene: Scene) -> None:
    scene.alfa.export()
    scene.beta.export()
    with Daemon(scene.folder / "skolebro.yaml") as daemon:
        daemon.start().wait_until_ready()
        daemon.wait_until(scene.is_done, "the first day is delivered")
        scene.let_a_day_pass()
        before = scene.to_scim.arrivals, scene.to_aula.arrivals
        daemon.wait_until(
            lambda: scene.to_scim.arrivals > before[0] and scene.to_aula.arrivals > before[1],
            "the second day is under way to both",
        )
        daemon.kill()
        daemon.start().wait_until_ready()
        daemon.wait_until(scene.is_done, "the second day is delivered after all")
        for _ in range(2, DAYS):
            scene.let_a_day_pass()
            daemon.wait_until(scene.is_done, "the day is delivered")
        daemon.stop()

    at_scim, at_aula = (list(map(bytes_of, wire.requests)) for wire in (scene.to_scim, scene.to_aula))
    of_alfa, of_beta = scene.ids_of(scene.alfa), scene.ids_of(scene.beta)
    scim_secret, aula_secret = scene.secrets
    assert found_of(scene.beta, of_beta, aula_secret, at_scim) == set()
    assert found_of(scene.alfa, of_alfa, scim_secret, at_aula) == set()

    # The same look finds what belongs there: it is able to find anything at all.
    own_at_scim = found_of(scene.alfa, of_alfa, scim_secret, at_scim)
    own_at_aula = found_of(scene.beta, of_beta, "no secret is sent", at_aula)
    assert {scene.alfa.mark, scim_secret} <= own_at_scim and own_at_scim & scene.alfa.numbers
    assert {scene.beta.mark, f"municipality/{scene.beta.code}"} <= own_at_aula

    # Who is in both municipalities, and the groups and schools that are named alike, are never one.
    assert of_alfa.isdisjoint(of_beta)
    both = rows_of(scene.database, "SELECT kind, key FROM entities GROUP BY kind, key HAVING count(*) = 2")
    assert ("person", SHARED_USER) in both and {"institution", "group"} <= {kind for kind, _ in both}

    users = {user["userName"]: user["externalId"] for user in scene.scim.resources("/Users")}
    people = {
        one["user_id"]: subject.partition("/")[2]
        for subject, one in scene.aula.objects.items()
        if subject.startswith("person/")
    }
    assert users.keys() & people.keys() == {SHARED_USER}
    assert users[SHARED_USER] != people[SHARED_USER]
    assert users.keys() == scene.alfa.here
    assert people.keys() == scene.beta.here | scene.beta.contacts


def test_a_platform_that_never_answers_keeps_no_other_municipality_waiting(scene: Scene) -> None:
    scene.to_scim.fault = Fault("hang")
    scene.alfa.export()
    with Daemon(scene.folder / "skolebro.yaml") as daemon:
        daemon.start().wait_until_ready()
        daemon.wait_until(lambda: scene.due_at(scene.alfa.code) > 0, "much is due where nobody answers")
        for _ in range(DAYS):
            told = len(scene.to_aula.requests)
            scene.beta.made_up.advance()
            scene.beta.export()
            daemon.wait_until(
                lambda told=told: len(scene.to_aula.requests) > told and not scene.due_at(scene.beta.code),
                "the other's day is delivered",
            )
        assert scene.scim.resources("/Users") == [] and scene.due_at(scene.alfa.code) > 0

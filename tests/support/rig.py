"""A made-up STIL, a real SCIM server and an Aula stand-in, each behind a wire that records and can fail."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.faulty_proxy import FaultyProxy
from bridge.testing.stil_municipality import Churn, Makeup, Municipality
from bridge.testing.stil_records import Institution
from bridge.testing.stil_server import StilServer
from bridge.testing.stil_signed import SYSTEM_ID, signed_stil
from tests.support.daemon import Daemon
from tests.support.model import aula_model, identity, rows_of, scim_model, scim_state
from tests.support.scim import ScimServer

PLATFORM, AULA = "999/platform", "999/aula"
SMALL = Makeup(tracks="AB", teaching_groups=2)
BUSY = Churn(joiners=3, leavers=2, class_moves=4, contact_details=5, protection=1, staff_roles=5)

# Other tests tell what is held; here an unlucky day must not end in a hold.
_CONFIG = """\
state_folder: state
web: {{listen: "127.0.0.1:0"}}
log: {{format: json}}
{retry}
municipalities:
  "{code}":
    name: Eksempel Kommune
    institutions: all
    interval: {interval}
    guard: {{max_deleted_percent: 90, max_created_percent: null, max_updated_percent: null,
      max_unprotected: null, window: 0s, deletion_grace: 0s}}
    source: {source}
    targets:
      platform: {{connector: scim, base_url: "{scim}", token_file: scim-token, before_create: post, {common}}}
      aula: {{connector: aula, mode: agreement, agreement: none, base_url: "{aula}", secret_file: aula-secret,
        {common}}}
"""


@dataclass(slots=True)
class Rig:
    """All systems around one bridge, and what they must hold in the end."""

    folder: Path
    municipality: Municipality
    stil: StilServer
    scim: ScimServer
    aula: AulaReceiver
    to_scim: FaultyProxy
    to_aula: FaultyProxy
    days: list[frozenset[str]] = field(default_factory=list)
    database_url: str | None = None

    @property
    def config(self) -> Path:
        return self.folder / "skolebro.yaml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def database(self) -> Path | str:
        return self.database_url or self.state / "skolebro.db"

    @property
    def institutions(self) -> Sequence[Institution]:
        return [self.municipality.institution(number) for number in self.municipality.institutions()]

    def advance(self) -> None:
        """A day passes at the schools; nobody asks the source before that is done."""
        self.stil.advance()
        self.note_day()

    def note_day(self) -> None:
        """Remember who belongs at the platform today."""
        model = scim_model(self.municipality.code, self.institutions)
        self.days.append(frozenset((*model["Users"], *model["Groups"])))

    def assert_scim_is_right(self) -> None:
        wanted = scim_model(self.municipality.code, self.institutions)
        found = scim_state(self.scim)
        for endpoint, resources in wanted.items():
            assert_same(found[endpoint], resources)

    def assert_aula_is_right(self) -> None:
        assert_same(self.aula.objects, aula_model(self.municipality.code, self.institutions))

    @property
    def living(self) -> set[str]:
        """The subject of every entity of today, as the municipality itself tells."""
        code = self.municipality.code
        return {
            f"{kind}/{identity(code, kind, *key)}"
            for kind, keys in self.municipality.truth().items()
            for key in keys
        }

    def let_it_be_read(self, daemon: Daemon) -> None:
        """Wait until the daemon has recorded all of what the source has now."""
        # A poll that is under way, then one whole poll, then the first request of the next one: by then
        # all of the whole poll is recorded, because a poll asks for one export after the other.
        poll = 1 + len(self.municipality.institutions())
        asked = self.stil.arrivals + 2 * poll + 1
        daemon.wait_until(lambda: self.stil.arrivals >= asked, "the source has been read twice more")

    def let_it_drain(self, daemon: Daemon) -> None:
        """Wait until the daemon has recorded all of what the source has now, and nothing is due any more."""
        self.let_it_be_read(daemon)
        daemon.wait_until(
            lambda: not rows_of(self.database, "SELECT id FROM deliveries WHERE is_due = 1"),
            "nothing is due",
            3000,
        )


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Equal, or say what differs without printing all of it."""
    missing, extra = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    other = {key: (found[key], wanted[key]) for key in wanted.keys() & found.keys() if found[key] != wanted[key]}
    said = (
        f"missing {sorted(missing)[:5]}, too much {sorted(extra)[:5]}, found and wanted {list(other.items())[:3]}"
    )
    assert not (missing or extra or other), (
        f"{len(missing)} missing, {len(extra)} too much, {len(other)} other of {len(wanted)}: {said}"
    )


@contextmanager
def make_rig(
    folder: Path,
    municipality: Municipality,
    *,
    interval: str = "1s",
    timeout: int = 20,
    retry: str = "",
    scim: ScimServer | None = None,
    is_signed: bool = False,
    database_url: str | None = None,
) -> Iterator[Rig]:
    """Start every system and write the configuration; end them with the block. `scim` is used as it is.

    `database_url`: of a PostgreSQL database instead of a file in the state folder.
    With `is_signed` the source is as STIL is in production: over TLS, with signed messages.
    """
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    with ExitStack() as stack:
        server = scim or stack.enter_context(ScimServer())
        aula = stack.enter_context(AulaReceiver(secret))
        stil, client = _source(folder, municipality, is_signed=is_signed)
        rig = Rig(
            folder,
            municipality,
            stack.enter_context(stil),
            server,
            aula,
            stack.enter_context(FaultyProxy(server.url)),
            stack.enter_context(FaultyProxy(aula.url)),
            database_url=database_url,
        )
        if database_url is not None:
            _write_secret(folder / "database-url", database_url)
            retry += "\ndatabase: {url_file: database-url}"
        _write_secret(folder / "scim-token", server.token)
        _write_secret(folder / "aula-secret", secret)
        rig.config.write_text(
            _CONFIG.format(
                code=municipality.code,
                source=json.dumps({"connector": "stil", "base_url": rig.stil.url, **client}),
                scim=rig.to_scim.url,
                aula=rig.to_aula.url,
                interval=json.dumps(interval),
                common=f"timeout: {timeout}, guard: {{max_deleted_percent: null}}, leavers: {{retention: 0s}}",
                retry=retry,
            )
        )
        rig.note_day()
        yield rig


def _source(folder: Path, municipality: Municipality, *, is_signed: bool) -> tuple[StilServer, dict[str, Any]]:
    """The server, and what a client of it has to say beside its address."""
    if not is_signed:
        return StilServer(municipality), {"udbydersystem_id": "test"}
    signed = signed_stil(municipality)
    signed.write_files(folder / "stil")
    return signed.server, {
        "udbydersystem_id": SYSTEM_ID,
        "certificate_file": "stil/client.p12",
        "password_file": "stil/client-password",
        "oces_ca_files": ["stil/oces-root-ca.pem", "stil/oces-issuing-ca.pem"],
        "ca_file": "stil/tls-ca.pem",
        "calls_per_minute": 6000,
    }


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)

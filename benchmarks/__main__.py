"""`make bench`: each row is our time, the bare work's time, and their ratio (median of several rounds).

Exit code 1 when a row is beyond its bound. What is left out for want of a server is told, and is beyond none.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat
from zoneinfo import ZoneInfo

import requests

from benchmarks import delivering, postgres, rabbitmq
from benchmarks.measuring import ROUNDS, Bench
from bridge.adapters.clock import SystemClock
from bridge.adapters.http import HttpEdge
from bridge.adapters.store_sql import SqlStore, open_sqlite
from bridge.domain.ids import TargetId
from bridge.domain.records import Snapshot
from bridge.engine.audit import AuditBook
from bridge.engine.desire import Rendering
from bridge.engine.detect import Detection
from bridge.engine.fetch import take
from bridge.engine.guard import GuardPolicy
from bridge.engine.intake import Intake
from bridge.engine.refresh import refresh
from bridge.engine.views import Scope
from bridge.mapping import load_mapping
from bridge.ports import Run
from bridge.testing.aula_receiver import AulaReceiver
from bridge.testing.stil_authority import StilAuthority
from bridge.testing.stil_export import EXPORT
from bridge.testing.stil_sealing import WsSealing, canonical
from bridge.testing.stil_sealing import parse as parse_whole
from bridge.testing.stil_soap import Call, write_answer
from connectors.stil.folder import FolderSource
from connectors.stil.parse import parse
from connectors.stil.wsse import OcesSecurity, Trust, load_identity

ZONE = ZoneInfo("Europe/Copenhagen")
DATA = Path(__file__).parent.parent / "tests" / "data"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
clock = SystemClock()


class Quiet:
    def run_ended(self, run: Run, detection: Detection | None) -> None:
        self.run, self.detection = run, detection


def snapshots(day: str) -> dict[str, Snapshot]:
    source = FolderSource(DATA / day, timedelta(0), ZONE, clock.now)
    return {found.origin: found for found in source.snapshots() if isinstance(found, Snapshot)}


def intake(store: SqlStore, with_targets: bool) -> Intake:
    book = AuditBook(b"k" * 32, "bench", clock.now)
    source = FolderSource(DATA / "day1", timedelta(0), ZONE, clock.now)
    mappings = ("scim/core", "aula/agreement") if with_targets else ()
    renderings = [Rendering(TargetId(f"1/{name}"), Scope("1"), load_mapping(name)) for name in mappings]
    for rendering in renderings:
        refresh(store, rendering, GuardPolicy(), book, clock.now)
    return Intake("1", None, store, source, GuardPolicy(), renderings, book, clock.now, clock.new_id)


def parsing(bench: Bench) -> None:
    body = snapshots("day1")["101001.xml"].body

    def bare() -> None:
        parser = expat.ParserCreate()
        parser.Parse(body, True)

    def elementtree() -> None:
        parser = ElementTree.XMLPullParser(["end"])
        parser.feed(body)
        parser.close()
        for _, element in parser.read_events():
            element.get("x")

    bench.compare("parse 1.4 MB to records", lambda: list(parse(body, ZONE)), bare, "expat without handlers")
    bench.compare(
        "parse 1.4 MB to records", lambda: list(parse(body, ZONE)), elementtree, "ElementTree, events only"
    )


def verifying(bench: Bench) -> None:
    """A signed answer of about 3 MB, from octets to what may be believed."""
    authority = StilAuthority.make(clock.now())
    sealing = WsSealing(authority, authority.issue("bench"), clock.now)
    records = snapshots("day1")["101001.xml"].body.decode().partition("?>")[2] * 2
    call = Call("urn:uuid:1", "AB1", ElementTree.Element(f"{{{EXPORT}}}eksporterXmlFuldMyndighed"))
    answer = sealing.seal(write_answer(call, f"<r:xml>{records}</r:xml>"))
    client = authority.issue("client")
    trust = Trust(list(authority.files.values()), None)
    security = OcesSecurity(
        load_identity(client.pem + client.key_pem, None, None), trust, clock.now, timedelta(minutes=5)
    )

    def bare() -> None:
        body = parse_whole(answer).find("{*}Body")
        assert body is not None
        sha256(canonical(body)).digest()

    size = len(answer) / 1e6
    name = f"verify an answer of {size:.1f} MB"
    bench.compare(name, lambda: security.open(answer), bare, "lxml: tree, canonical Body, SHA-256")


def recording(bench: Bench, with_targets: bool) -> None:
    first, second = snapshots("day1")["101001.xml"], snapshots("day2")["101001.xml"]
    name = "two targets" if with_targets else "no target"
    with tempfile.TemporaryDirectory() as folder:
        counter = iter(range(1_000))

        def fresh() -> tuple[SqlStore, Intake]:
            store = open_sqlite(Path(folder) / f"{next(counter)}.db")
            return store, intake(store, with_targets)

        witness = Quiet()
        stores = [fresh() for _ in range(ROUNDS)]
        loads, days = iter(stores), iter(stores)
        rows = [("k" * 30, "i" * 36, 1, b"h" * 16, b"b" * 250)] * 7_000

        def bare() -> None:
            connection = sqlite3.connect(Path(folder) / f"bare{next(counter)}.db")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("CREATE TABLE t (k TEXT, i TEXT, v INT, h BLOB, b BLOB)")
            with connection:
                connection.executemany("INSERT INTO t VALUES (?,?,?,?,?)", rows)
            connection.close()

        bench.compare(
            f"first snapshot to commit, {name}",
            lambda: take(next(loads)[1], first, witness),
            bare,
            "7,000 rows by executemany",
        )
        bench.compare(f"next day to commit, {name}", lambda: take(next(days)[1], second, witness), bare, "same")
        bench.compare(f"unchanged snapshot, {name}", lambda: take(stores[0][1], second, witness), bare, "same")


def sending(bench: Bench) -> None:
    """One signed event after the other through our edge, against a bare session posting the same bytes."""
    number = 300
    body = json.dumps({"object": {"user_id": "u0000000"}, "pad": "x" * 600}).encode()
    with AulaReceiver(SECRET) as receiver:
        edge = HttpEdge(receiver.url, timeout=timedelta(seconds=30))
        session = requests.Session()
        session.trust_env = False
        bench.compare(
            f"{number} requests through the HTTP edge",
            lambda: [edge.request("POST", "/events", body=body) for _ in range(number)],
            lambda: [session.post(receiver.url + "/events", data=body) for _ in range(number)],
            "bare requests.Session",
        )
        edge.close()


def main() -> int:
    bench = Bench()
    parsing(bench)
    verifying(bench)
    recording(bench, with_targets=False)
    recording(bench, with_targets=True)
    sending(bench)
    rabbitmq.publishing(bench)
    postgres.recording(bench)
    delivering.delivering(bench)
    for name in bench.missed:
        print(f"missed: {name}")
    return 1 if bench.missed else 0


if __name__ == "__main__":
    sys.exit(main())

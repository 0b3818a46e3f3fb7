"""The page shows what is, escapes all of it, and can be asked by nobody but this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests

from bridge.domain.errors import ConfigError, StoreUnavailable
from bridge.domain.ids import TargetId
from bridge.observe import HoldStatus, InstitutionStatus, Metrics, Status, TargetStatus
from bridge.ports import Store, TargetState
from bridge.testing.memory import MemoryStore
from bridge.web.app import Health, WebDeps, create_app, create_monitor
from bridge.web.health import liveness, readiness
from bridge.web.server import WebServer, listen
from tests.support.stores import new_store

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
XSS = "<script>alert('x')</script>"
WELL = Status(NOW, (), (), (), (), (), 0, "0:" + "00" * 32)
AULA = TargetId("101/aula")
TARGET = TargetStatus(AULA, 90, 8, 2, 0, NOW, None, None, 0, NOW)


def deps(status: Status = WELL, live: Health | None = None, ready: Health | None = None) -> WebDeps:
    return WebDeps(
        status=lambda: status,
        exposition=Metrics("0").exposition,
        liveness=lambda: live or Health(True),
        readiness=lambda: ready or Health(True),
    )


class Site:
    """One running server for all tests, showing what the test at hand gives it."""

    def __init__(self) -> None:
        self._deps = deps()
        app = create_app(
            WebDeps(
                status=lambda: self._deps.status(),
                exposition=lambda: self._deps.exposition(),
                liveness=lambda: self._deps.liveness(),
                readiness=lambda: self._deps.readiness(),
            )
        )
        self.server = WebServer(app, "127.0.0.1", 0)

    def ask(self, of: WebDeps, path: str, method: str = "GET", **headers: str) -> requests.Response:
        self._deps = of
        return requests.request(method, self.server.url[:-1] + path, headers=headers, timeout=10)

    def page(self, status: Status) -> str:
        return self.ask(deps(status), "/").text


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site()
    site.server.start()
    yield site
    site.server.stop()


class TestThePage:
    def test_says_that_all_is_well(self, site: Site) -> None:
        assert "<h1>All well</h1>" in site.page(WELL)

    def test_says_how_many_things_need_a_person_and_which(self, site: Site) -> None:
        text = site.page(replace(WELL, attention=("Renew the key.", "Decide hold 1.")))
        assert "<h1>2 things need a person</h1>" in text and "<li>Renew the key.</li>" in text
        assert "<h1>1 thing needs a person</h1>" in site.page(replace(WELL, attention=("Renew the key.",)))

    def test_shows_targets_with_their_numbers_and_a_bar_for_all_readers(self, site: Site) -> None:
        text = site.page(replace(WELL, targets=(TARGET,)))
        assert "101/aula" in text and "at work" in text
        assert 'aria-label="90 confirmed, 8 due, 0 rejected"' in text

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"due": 0}, "up to date"),
            ({"rejected": 1}, "rejections"),
            ({"paused_until": NOW, "pause_reason": "unavailable"}, "paused: unavailable"),
        ],
    )
    def test_names_the_state_of_a_target(self, site: Site, change: dict[str, object], words: str) -> None:
        assert words in site.page(replace(WELL, targets=(replace(TARGET, **change),)))  # type: ignore[arg-type]

    def test_shows_what_a_target_that_was_read_back_has_otherwise_and_what_is_not_ours(self, site: Site) -> None:
        read = replace(TARGET, reconciled_at=NOW - timedelta(hours=3), drifted=17, foreign=23)
        text = site.page(replace(WELL, targets=(read, replace(TARGET, target=TargetId("101/other")))))
        assert '<td data-head="Otherwise" class="number"><div><span class="bad">17</span>' in text
        assert '<td data-head="Not ours" class="number"><div><span class="plain">23</span>' in text
        assert "3 hours ago" in text

    def test_has_no_such_columns_where_no_target_was_read_back(self, site: Site) -> None:
        text = site.page(replace(WELL, targets=(TARGET,)))
        assert "Otherwise" not in text and "Read back" not in text

    def test_shows_how_fresh_an_institution_is(self, site: Site) -> None:
        row = InstitutionStatus("101", "101001", NOW, NOW, "unchanged", None, NOW - timedelta(hours=2), 7200)
        assert "2 hours ago" in site.page(replace(WELL, institutions=(row,)))

    def test_shows_agreements_and_next_tries_where_there_are_some_the_worst_first(self, site: Site) -> None:
        row = InstitutionStatus("101", "101001", NOW, NOW, "unchanged", None, NOW, 0)
        plain = site.page(replace(WELL, institutions=(row,)))
        assert "Agreement" not in plain and "Next try" not in plain
        failing = replace(row, failures=2, reason="timeout", retry_at=NOW + timedelta(minutes=90))
        ended = replace(row, institution="101002", agreement="withdrawn", agreement_at=NOW)
        agreed = replace(row, institution="101003", agreement="agreed", agreement_at=NOW)
        new = InstitutionStatus("101", "101004", None, None, None, None, None, None, agreement="agreed")
        text = site.page(replace(WELL, institutions=(agreed, new, failing, ended)))
        assert "in 1 hour" in text and "withdrawn 2026-03-02" in text and "waiting" in text
        assert sorted((f"10100{n}" for n in range(1, 5)), key=text.index) == [
            "101002",
            "101001",
            "101004",
            "101003",
        ]

    def test_shows_what_is_good_to_know_and_escapes_it(self, site: Site) -> None:
        text = site.page(replace(WELL, notes=("101005: agreed, but not configured.", XSS)))
        assert "101005: agreed, but not configured." in text and "<h1>All well</h1>" in text
        assert "<script" not in text

    def test_shows_what_a_hold_would_change(self, site: Site) -> None:
        counts = {"person.deleted": 4, "person.stored": 10}
        row = HoldStatus(7, "101", "101001", "snapshot", None, ("shrunken",), counts, NOW)
        text = site.page(replace(WELL, holds=(row,)))
        assert "4 of 10 person deleted" in text and "shrunken" in text

    def test_escapes_whatever_comes_from_outside(self, site: Site) -> None:
        bad = Status(
            at=NOW,
            attention=(XSS,),
            municipalities=(),
            institutions=(InstitutionStatus(XSS, XSS, NOW, NOW, XSS, XSS, NOW, 0, XSS, NOW, 1, NOW),),
            targets=(replace(TARGET, target=TargetId(XSS), paused_until=NOW, pause_reason=XSS),),
            holds=(HoldStatus(1, XSS, XSS, "target", XSS, (XSS,), {XSS: 1}, NOW),),
            quarantined=0,
            audit_head=f"{XSS}:{XSS}",
        )
        assert "<script" not in site.page(bad) and "&lt;script&gt;" in site.page(bad)

    def test_says_so_when_the_state_cannot_be_read(self, site: Site) -> None:
        answer = site.ask(replace(deps(), status=_away), "/")
        assert answer.status_code == 503 and "the disk is full" in answer.text
        assert site.ask(replace(deps(), status=_away), "/status").json()["well"] is False

    def test_tells_nothing_of_an_error_of_another_kind(self, site: Site) -> None:
        answer = site.ask(replace(deps(), status=_bug), "/")
        assert answer.status_code == 500 and "Canary" not in answer.text


def _away() -> Status:
    raise StoreUnavailable("the disk is full")


def _bug() -> Status:
    raise ValueError("Signe Canary")


class TestEveryAnswer:
    @pytest.mark.parametrize("path", ["/", "/status", "/metrics", "/health/live", "/health/ready", "/nowhere"])
    def test_forbids_framing_storing_and_outside_content(self, site: Site, path: str) -> None:
        headers = site.ask(deps(), path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"

    def test_is_refused_under_a_foreign_name(self, site: Site) -> None:
        assert site.ask(deps(), "/", Host="evil.example").status_code == 400

    @pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
    def test_is_not_found_where_nothing_is_offered(self, site: Site, path: str) -> None:
        assert site.ask(deps(), path).status_code == 404

    def test_changes_nothing(self, site: Site) -> None:
        assert site.ask(deps(), "/", "POST").status_code == 405


class TestMachines:
    def test_read_the_status_as_json(self, site: Site) -> None:
        told = site.ask(deps(replace(WELL, targets=(TARGET,))), "/status").json()
        assert told["well"] is True and told["targets"][0]["confirmed"] == 90

    def test_read_the_metrics(self, site: Site) -> None:
        answer = site.ask(deps(), "/metrics")
        assert "bridge_build_info" in answer.text and answer.headers["content-type"].startswith("text/plain")

    def test_restart_us_only_when_a_loop_is_stuck(self, site: Site) -> None:
        away = replace(deps(ready=Health(False, ("the store is read-only",))), status=_away)
        assert site.ask(away, "/health/live").status_code == 200
        stuck = site.ask(deps(live=Health(False, ("loop intake has not come round",))), "/health/live")
        assert (stuck.status_code, stuck.json()["reasons"]) == (503, ["loop intake has not come round"])

    def test_send_us_no_work_while_the_store_is_away(self, site: Site) -> None:
        answer = site.ask(deps(ready=Health(False, ("the store is read-only",))), "/health/ready")
        assert (answer.status_code, answer.json()["reasons"]) == (503, ["the store is read-only"])


class TestHealth:
    def test_a_loop_that_does_not_come_round_is_named(self) -> None:
        limit = timedelta(seconds=60)
        assert liveness({"intake": 100.0, "publish": 41.0}, 101.0, limit) == Health(True)
        assert liveness({"intake": 100.0, "publish": 40.0}, 101.0, limit).reasons == (
            "loop publish has not come round",
        )

    def test_a_paused_target_is_degraded_not_unready(self) -> None:
        store = new_store()
        with store.write() as uow:
            uow.put_target_state(TargetState(AULA, paused_until=NOW, pause_reason="unavailable"))
        assert readiness(store, [AULA]) == Health(True, degraded=("101/aula is paused",))

    def test_a_store_that_is_away_is_unready(self) -> None:
        class Away(MemoryStore):
            def check(self) -> None:
                raise StoreUnavailable("the disk is full")

        store: Store = Away()
        assert readiness(store, []) == Health(False, ("the disk is full",))


class TestTheServer:
    @pytest.fixture
    def server(self) -> Iterator[WebServer]:
        server = WebServer(create_app(deps()), "127.0.0.1", 0)
        server.start()
        yield server
        server.stop()

    def test_answers_as_soon_as_it_is_started(self, server: WebServer) -> None:
        answer = requests.get(server.url, timeout=10)
        assert "All well" in answer.text and "server" not in answer.headers

    def test_no_answer_waits_for_the_one_before_to_be_acknowledged(self) -> None:
        """Each request on a kept connection took 40 ms."""
        with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
            connection, _ = listening.accept()
            with connection:
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_is_gone_after_it_is_stopped_and_stops_again(self, server: WebServer) -> None:
        server.stop()
        server.stop()
        with pytest.raises(requests.ConnectionError):
            requests.get(server.url, timeout=10)

    def test_names_the_setting_when_the_port_is_taken(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(ConfigError, match=rf"web\.listen: port {port} on 127\.0\.0\.1 is taken"):
                WebServer(create_app(deps()), "127.0.0.1", port).start()

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "school.example", ""])  # noqa: S104
    def test_refuses_to_be_seen_from_elsewhere(self, host: str) -> None:
        with pytest.raises(ConfigError, match=r"web\.listen: .*no login"):
            WebServer(create_app(deps()), host, 8080)


class TestTheMonitor:
    @pytest.fixture
    def monitor(self) -> Iterator[WebServer]:
        of = deps(live=Health(False, ("loop deliver/101/aula has not come round",)))
        app = create_monitor(of.liveness, of.readiness, of.exposition)
        server = WebServer(app, "127.0.0.1", 0, "monitor")
        server.start()
        yield server
        server.stop()

    def test_answers_probes_and_collectors_under_any_name(self, monitor: WebServer) -> None:
        def ask(path: str) -> requests.Response:
            return requests.get(monitor.url + path, headers={"Host": "10.1.2.3:8601"}, timeout=10)

        assert ask("health/live").status_code == 503 and ask("health/ready").status_code == 200
        assert "bridge_build_info" in ask("metrics").text

    @pytest.mark.parametrize("path", ["", "status", "holds/1", "anomalies", "docs", "openapi.json"])
    def test_shows_nothing_else(self, monitor: WebServer, path: str) -> None:
        assert requests.get(monitor.url + path, timeout=10).status_code == 404

    def test_names_the_option_when_the_port_is_taken(self, monitor: WebServer) -> None:
        port = int(monitor.url.rstrip("/").rpartition(":")[2])
        with pytest.raises(ConfigError, match=rf"--monitor: port {port} on 127\.0\.0\.1 is taken"):
            WebServer(create_app(deps()), "127.0.0.1", port, "monitor").start()

    def test_may_be_seen_from_elsewhere(self) -> None:
        of = deps()
        app = create_monitor(of.liveness, of.readiness, of.exposition)
        assert WebServer(app, "0.0.0.0", 8601, "monitor").url == "http://0.0.0.0:8601/"  # noqa: S104

"""What stands in deploy/ fits the bridge: its metrics, its command line, its configuration, and nobody's secret.

What only a tool of its own can judge is judged by `make deploy-check`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from bridge.cli.main import app
from bridge.config import load_settings
from bridge.engine.members import ROLES
from bridge.observe import Metrics
from bridge.registry import Registry
from bridge.web.app import Health, create_monitor
from bridge.web.server import WebServer
from tests.support.needs import require
from tests.support.series import all_series

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SYSTEMD, COMPOSE = DEPLOY / "systemd", DEPLOY / "compose.yaml"
UNITS = sorted(path.name for path in SYSTEMD.glob("*.service"))
MANIFESTS = DEPLOY / "kubernetes" / "skolebro.yaml"
MONITOR = 8601
COMMAND = typer.main.get_command(app)
# What else than the bridge makes a series or a label: Prometheus itself.
NOT_OURS = {"up"}
ADDED = {"instance", "job", "le"}

Tree = dict[str, Any]


def tree(path: Path) -> Tree:
    return dict(yaml.safe_load(path.read_text()))


def manifests(kind: str) -> list[Tree]:
    return [one for one in yaml.safe_load_all(MANIFESTS.read_text()) if one["kind"] == kind]


def services() -> dict[str, Tree]:
    return dict(tree(COMPOSE)["services"])


def bridge_services() -> dict[str, Tree]:
    return {name: one for name, one in services().items() if one["image"].startswith("skolebro:")}


class TestMetrics:
    @staticmethod
    def queries() -> Iterator[tuple[str, str]]:
        """Where each query stands, and the query."""
        for group in tree(DEPLOY / "prometheus" / "rules.yaml")["groups"]:
            yield from ((rule["alert"], rule["expr"]) for rule in group["rules"])
        for file in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
            board = json.loads(file.read_text())
            for panel in board["panels"]:
                yield from ((panel["title"], target["expr"]) for target in panel.get("targets", ()))
            yield from ((each["name"], each["definition"]) for each in board["templating"]["list"])

    def test_every_name_is_one_that_the_bridge_shows(self) -> None:
        known = all_series().keys() | NOT_OURS
        strangers = {(at, name) for at, query in self.queries() for name in self.names(query) - known}
        assert not strangers

    def test_every_label_is_one_of_a_series_in_the_query(self) -> None:
        known = all_series()
        for at, query in self.queries():
            here = set().union(*(known.get(name, frozenset()) for name in self.names(query))) | ADDED
            assert self.labels(query) <= here, (at, self.labels(query) - here)

    def test_every_label_that_an_alert_tells_is_left_by_its_query(self) -> None:
        known = all_series()
        for group in tree(DEPLOY / "prometheus" / "rules.yaml")["groups"]:
            for rule in group["rules"]:
                told = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
                kept = re.search(r"\bby \(([^)]*)\)", rule["expr"])
                if kept is not None:
                    left = set(re.split(r",\s*", kept[1]))
                else:
                    left = set().union(*(known.get(n, frozenset()) for n in self.names(rule["expr"]))) | ADDED
                assert told <= left, rule["alert"]

    def test_every_series_is_shown_or_watched(self) -> None:
        used = {name for _, query in self.queries() for name in self.names(query)}
        whole = {re.sub(r"_(bucket|sum|count)$", "_bucket", name) for name in all_series()}
        assert whole <= used

    def test_every_process_of_compose_is_asked_where_it_answers(self) -> None:
        (job,) = tree(DEPLOY / "prometheus" / "prometheus.yaml")["scrape_configs"]
        (found,) = job["dns_sd_configs"]
        assert (job["job_name"], found["port"]) == ("skolebro", MONITOR)
        assert set(found["names"]) == bridge_services().keys()

    @staticmethod
    def names(query: str) -> set[str]:
        return set(re.findall(r"\b(?:bridge_\w+|up)\b", query))

    @staticmethod
    def labels(query: str) -> set[str]:
        chosen = {
            name for inside in re.findall(r"\{([^}]*)\}", query) for name in re.findall(r"(\w+)\s*[=!]", inside)
        }
        grouped = {name for inside in re.findall(r"\bby \(([^)]*)\)", query) for name in re.split(r",\s*", inside)}
        wanted = set(re.findall(r"label_values\(\w+, (\w+)\)", query))
        return chosen | grouped | wanted


class TestTheCommandLine:
    @staticmethod
    def commands() -> Iterator[tuple[str, list[str]]]:
        """Where the bridge is started, and the words after its name."""
        for name, service in bridge_services().items():
            yield f"compose: {name}", service["command"]
        for deployment in manifests("Deployment"):
            (container,) = deployment["spec"]["template"]["spec"]["containers"]
            yield f"kubernetes: {deployment['metadata']['name']}", container["args"]
        for unit in UNITS:
            (start,) = re.findall(
                r"^ExecStart=/opt/skolebro/bin/skolebro (.*)$", (SYSTEMD / unit).read_text(), re.M
            )
            variables = {"%i": "deliver", "${SKOLEBRO_ROLE}": "deliver", "${SKOLEBRO_MONITOR}": "127.0.0.1:0"}
            yield unit, [variables.get(word, word) for word in start.split()]
        (command,) = re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.M)
        yield "Dockerfile", json.loads(command)

    def test_understands_every_start(self) -> None:
        for at, words in self.commands():
            group, context = COMMAND, typer.Context(COMMAND)
            name, command, rest = group.resolve_command(context, list(words))  # type: ignore[attr-defined]
            given = command.make_context(name, rest).params
            assert name == "run" and str(given["config"]) == "/etc/skolebro/skolebro.yaml", at
            assert set(given["role"] or ROLES) <= ROLES, at

    def test_is_started_in_every_role(self) -> None:
        for where in ("compose", "kubernetes"):
            roles = {words[words.index("--role") + 1] for at, words in self.commands() if at.startswith(where)}
            assert roles == ROLES

    def test_has_the_verbs_that_alerts_send_people_to(self) -> None:
        for group in tree(DEPLOY / "prometheus" / "rules.yaml")["groups"]:
            for rule in group["rules"]:
                for first, second in re.findall(r"skolebro ([a-z]+)(?: ([a-z]+))?", rule["annotations"]["action"]):
                    verbs = COMMAND.commands  # type: ignore[attr-defined]
                    assert first in verbs, rule["alert"]
                    inner = getattr(verbs[first], "commands", None)
                    assert not inner or second in {*inner, "", "shows", "says"} or second is None, rule["alert"]


class TestTheConfiguration:
    """Each example is read by the bridge itself, in a place where exactly that is which its platform mounts."""

    def test_of_compose_names_what_is_mounted(self, tmp_path: Path) -> None:
        for name, service in bridge_services().items():
            given = [one if isinstance(one, dict) else {"source": one} for one in service["secrets"]]
            files = [one.get("target", f"/run/secrets/{one['source']}") for one in given]
            folders = [mount.removesuffix(":ro").rpartition(":")[2] for mount in service["volumes"]]
            assert "/etc/skolebro/skolebro.yaml" in folders
            text = (DEPLOY / "compose" / "skolebro.yaml").read_text()
            self.read(tmp_path / name, text, files, [f for f in folders if not f.endswith(".yaml")])

    def test_of_the_chart_names_what_is_mounted(self, tmp_path: Path) -> None:
        (held,) = manifests("ConfigMap")
        for deployment in manifests("Deployment"):
            spec = deployment["spec"]["template"]["spec"]
            mounts = {one["name"]: one["mountPath"] for one in spec["containers"][0]["volumeMounts"]}
            state = next(one for one in spec["volumes"] if one["name"] == "state")["secret"]["items"]
            assert [one["path"] for one in state] == ["subject.key"] and mounts["state"] == "/var/lib/skolebro"
            files = [f"{mounts['secrets']}/{name}" for name in ("database-url", "rabbitmq-url", "platform-token")]
            folders = [mounts["incoming"], mounts["state"]]
            self.read(tmp_path / deployment["metadata"]["name"], held["data"]["skolebro.yaml"], files, folders)

    def test_of_systemd_names_the_credentials_that_are_loaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded = re.findall(r"^LoadCredential=([^:]+):(\S+)$", (SYSTEMD / "credentials.conf").read_text(), re.M)
        assert all(path == f"/etc/skolebro/secrets/{name}" for name, path in loaded)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
        files = [f"/credentials/{name}" for name, _ in loaded]
        text = (SYSTEMD / "skolebro.yaml").read_text()
        self.read(tmp_path, text, files, ["/srv/skolebro/incoming"])
        assert sorted(re.findall(r"credential:([\w-]+)", text)) == sorted(name for name, _ in loaded)

    @staticmethod
    def read(root: Path, text: str, files: list[str], folders: list[str]) -> None:
        for folder in (*folders, "/var/lib/skolebro", "/etc/skolebro"):
            (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        for name in files:
            file = root / name.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
        config = root / "etc" / "skolebro" / "skolebro.yaml"
        config.write_text(re.sub(r"(?<=[ :])/(?=(?:var|run|srv|etc)/)", f"{root}/", text))
        settings = load_settings(config, Registry())
        assert settings.database is not None and settings.state_folder == root / "var" / "lib" / "skolebro"
        assert settings.targets


class TestNoSecret:
    FILES = tuple(sorted(path for path in DEPLOY.rglob("*") if path.is_file() and "__pycache__" not in path.parts))

    def test_stands_in_a_url(self) -> None:
        for path in self.FILES:
            assert not re.search(r"://[^\s/:@]+:[^\s/@]+@", path.read_text()), path

    def test_stands_in_the_environment_of_a_container(self) -> None:
        for name, service in services().items():
            for key, value in service.get("environment", {}).items():
                if re.search("PASSWORD|SECRET|TOKEN|KEY", key):
                    assert key.endswith("_FILE") and value.startswith("/run/secrets/"), (name, key)

    def test_is_made_by_the_chart(self) -> None:
        assert not manifests("Secret")

    def test_is_in_the_repository(self) -> None:
        for secret in tree(COMPOSE)["secrets"].values():
            assert not (DEPLOY / secret["file"]).exists()
            told = subprocess.run(["git", "check-ignore", DEPLOY / secret["file"]], cwd=ROOT, capture_output=True)
            assert told.returncode == 0, f"{secret['file']} could be committed"


class TestImages:
    def test_have_a_version(self) -> None:
        texts = [service["image"] for service in services().values()]
        for deployment in manifests("Deployment"):
            texts += [one["image"] for one in deployment["spec"]["template"]["spec"]["containers"]]
        texts += re.findall(r"^(?:ARG PYTHON=|FROM (?!\$))(\S+)", (DEPLOY / "Dockerfile").read_text(), re.M)
        assert len(texts) >= 13
        for text in texts:
            assert re.fullmatch(r"[a-z0-9/-]+:v?\d+\.\d+(\.\d+)?[\w.-]*", text), text

    def test_are_made_of_what_is_locked_and_sent(self) -> None:
        text = (DEPLOY / "Dockerfile").read_text()
        sent = set(re.findall(r"^!(\S+)", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.M))
        copied = {
            source for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M) for source in line.split()[:-1]
        }
        assert copied == sent and all((ROOT / name).exists() for name in sent)
        for line in re.findall(r"pip (?:--python \S+ )?(?:install|wheel) .*(?:\\\n.*)?", text):
            assert "--require-hashes" in line or "--no-index" in line, line
        assert "http" not in text.replace("http://127.0.0.1", "")

    def test_run_as_nobody_special(self) -> None:
        assert re.findall(r"^USER (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.M) == ["10001:10001"]

    def test_look_at_themselves(self) -> None:
        well = [Health(True)]
        monitor = WebServer(
            create_monitor(lambda: well[0], lambda: well[0], Metrics("0").exposition), "127.0.0.1", 0, "monitor"
        )
        (command,) = re.findall(r"^  CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.M)
        _, script, url = json.loads(command)
        assert url == f"http://127.0.0.1:{MONITOR}/health/live"
        monitor.start()
        here = monitor.url + "health/live"

        def looked() -> int:
            words = [sys.executable, DEPLOY / Path(script).name, here]
            return subprocess.run(words, env={"http_proxy": "http://127.0.0.1:9"}, check=False).returncode

        try:
            assert looked() == 0
            well[0] = Health(False)
            assert looked() == 1
        finally:
            monitor.stop()
        assert looked() == 1


class TestContainers:
    def test_of_compose_have_nothing_to_break_out_with(self) -> None:
        for name, service in bridge_services().items():
            assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["user"] == "10001:10001", (
                name
            )
            assert service["security_opt"] == ["no-new-privileges:true"] and "ports" not in service, name
        for name, service in services().items():
            assert "no-new-privileges:true" in service["security_opt"], name
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name

    def test_of_the_chart_have_nothing_to_break_out_with(self) -> None:
        for deployment in manifests("Deployment"):
            pod = deployment["spec"]["template"]["spec"]
            security = pod["securityContext"]
            assert security["runAsNonRoot"] and security["runAsUser"] == security["fsGroup"] == 10001
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is False
            (container,) = pod["containers"]
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] and own["capabilities"] == {"drop": ["ALL"]}
            assert own["allowPrivilegeEscalation"] is False
            assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]
            assert "env" not in container, "secrets are files"

    def test_of_the_chart_are_probed_where_they_answer(self) -> None:
        served = {route.path for route in create_monitor(_well, _well, bytes).routes if hasattr(route, "path")}
        assert served == {"/health/live", "/health/ready", "/metrics"}
        for deployment in manifests("Deployment"):
            template = deployment["spec"]["template"]
            (container,) = template["spec"]["containers"]
            paths = {
                name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
            }
            live, ready = "/health/live", "/health/ready"
            assert paths == {"startup": live, "liveness": live, "readiness": ready}
            assert container["ports"] == [{"name": "monitor", "containerPort": MONITOR}]
            assert f"0.0.0.0:{MONITOR}" in container["args"]
            assert template["metadata"]["annotations"]["prometheus.io/path"] in served

    def test_of_every_role_have_a_network_policy_and_a_budget(self) -> None:
        for kind, selector in (("NetworkPolicy", "podSelector"), ("PodDisruptionBudget", "selector")):
            found = {
                one["spec"][selector]["matchLabels"]["app.kubernetes.io/component"] for one in manifests(kind)
            }
            assert found == ROLES, kind
        assert all(one["spec"]["policyTypes"] == ["Ingress", "Egress"] for one in manifests("NetworkPolicy"))


class TestUnits:
    @staticmethod
    def of(unit: str) -> Mapping[str, str]:
        lines = re.findall(r"^(\w+)=(.*)$", (SYSTEMD / unit).read_text(), re.M)
        return dict(lines)

    @pytest.mark.parametrize("unit", UNITS)
    def test_are_understood_by_systemd(self, unit: str, tmp_path: Path) -> None:
        require("systemd-analyze")
        copy = tmp_path / unit.replace("@", "@deliver")
        copy.write_text((SYSTEMD / unit).read_text().replace("/opt/skolebro/bin/skolebro", "/bin/true"))
        told = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
        assert (told.returncode, told.stdout + told.stderr) == (0, "")

    @pytest.mark.parametrize("unit", UNITS)
    def test_wait_for_the_daemons_word_and_for_its_signs_of_life(self, unit: str) -> None:
        said = self.of(unit)
        assert (said["Type"], said["NotifyAccess"], said["Restart"]) == ("notify", "main", "on-failure")
        assert said["WatchdogSec"] == "3min" and said["RestartPreventExitStatus"] == "2"

    @pytest.mark.parametrize("unit", UNITS)
    def test_have_nothing_to_break_out_with(self, unit: str) -> None:
        said = self.of(unit)
        wanted = {
            "ProtectSystem": "strict",
            "DynamicUser": "yes",
            "NoNewPrivileges": "yes",
            "CapabilityBoundingSet": "",
            "ProtectHome": "yes",
            "PrivateDevices": "yes",
            "MemoryDenyWriteExecute": "yes",
            "StateDirectoryMode": "0700",
        }
        assert said.items() >= wanted.items()


def _well() -> Health:
    return Health(True)

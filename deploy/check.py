"""Holds what is in deploy/ against the tools that it is for; none of them needs a cluster, a daemon or a network.

`make deploy-check` runs it. It ends with 1 when something is wrong, or when a tool is missing: which is said. With
`--write` the plain manifests that the chart gives are written anew.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from helm_python import Chart, lint

HERE = Path(__file__).resolve().parent
CHART = HERE / "helm" / "skolebro"
PLAIN = HERE / "kubernetes" / "skolebro.yaml"
KUBERNETES = ("1.25", "1.37")  # the oldest that the chart takes, and the newest whose schemas there are
EXPOSURE = 15  # of 100: most that `systemd-analyze security` may say of a unit
HEAD = "# Made by `make deploy-manifests` from helm/skolebro with ci/example-values.yaml, for who has no Helm.\n"


def check_chart() -> Iterator[str]:
    """`helm lint --strict` and `helm template` with each example, and the schemas of Kubernetes."""
    for example in sorted((CHART / "ci").glob("*.yaml")):
        values = yaml.safe_load(example.read_text())
        report = lint(CHART, values, strict=True)
        yield from (
            f"{example.name}: {found['path']}: {found['error']}" for found in report["messages"] if _bad(found)
        )
        yield from map(str, report["errors"])
        for manifest in yaml.safe_load_all(render(values)):
            for version in KUBERNETES:
                try:
                    kubernetes_validate.validate(manifest, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    name = f"{manifest['kind']} {manifest['metadata']['name']}"
                    yield f"{example.name}: {name}: Kubernetes {version}: {error.message}"
    if plain() != PLAIN.read_text():
        yield f"{PLAIN.name} is not what the chart gives: run `make deploy-manifests`"


def _bad(found: dict[str, Any]) -> bool:
    return int(found["severity"]) > 1  # 1 is for information


def render(values: dict[str, Any]) -> str:
    """All manifests of the chart as one text."""
    with Chart.load(CHART) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name="skolebro", namespace="skolebro")
    manifests = (
        text.strip().removeprefix("---").strip() for name, text in sorted(texts.items()) if ".yaml" in name
    )
    return "".join(f"---\n{text}\n" for text in manifests if text)


def plain() -> str:
    return HEAD + render(yaml.safe_load((CHART / "ci" / "example-values.yaml").read_text()))


def check_image() -> Iterator[str]:
    """`hadolint` on the Dockerfile."""
    yield from _ran("hadolint", HERE / "Dockerfile")


def check_compose() -> Iterator[str]:
    """`docker compose config` on the file."""
    yield from _ran("docker-compose", "--file", HERE / "compose.yaml", "config", "--quiet")


def check_units() -> Iterator[str]:
    """`systemd-analyze verify` and `security` on the units, as if the program were there."""
    with tempfile.TemporaryDirectory() as name:
        for unit in sorted((HERE / "systemd").glob("*.service")):
            copy = Path(name) / unit.name.replace("@", "@deliver")
            copy.write_text(unit.read_text().replace("/opt/skolebro/bin/skolebro", "/bin/true"))
            yield from _ran("systemd-analyze", "verify", "--man=no", copy)
            yield from _ran("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE}", copy)


def check_prometheus() -> Iterator[str]:
    """`promtool` on the rules, their tests, the configuration, and every query of the dashboards."""
    yield from _ran("promtool", "test", "rules", HERE / "prometheus" / "rules.test.yaml")
    with tempfile.TemporaryDirectory() as name:
        rules, config, queries = (
            Path(name, "rules.yaml"),
            Path(name, "prometheus.yaml"),
            Path(name, "queries.yaml"),
        )
        shutil.copy(HERE / "prometheus" / "rules.yaml", rules)
        config.write_text((HERE / "prometheus" / "prometheus.yaml").read_text().replace("/etc/prometheus", name))
        queries.write_text(json.dumps({"groups": [{"name": "queries", "rules": list(_queries())}]}))
        yield from _ran("promtool", "check", "config", config)
        yield from _ran("promtool", "check", "rules", "--lint=none", queries)


def _queries() -> Iterator[dict[str, str]]:
    for dashboard in (HERE / "grafana" / "dashboards").glob("*.json"):
        for panel in json.loads(dashboard.read_text())["panels"]:
            for number, target in enumerate(panel.get("targets", ())):
                expr = target["expr"].replace("$__rate_interval", "5m")
                yield {"record": f"panel:{panel['id']}:{number}", "expr": re.sub(r"\$\w+", ".*", expr)}


def _ran(tool: str, *arguments: str | Path) -> Iterator[str]:
    """Run a tool and yield what it says where it does not end with 0."""
    beside = Path(sys.executable).with_name(tool)
    program = str(beside) if beside.exists() else shutil.which(tool)
    if program is None:
        yield f"{tool} is not here, so this was left out"
        return
    ended = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        said = ended.stdout + ended.stderr
        yield f"{tool} {' '.join(map(str, arguments))} ended with {ended.returncode}:\n{said}"


CHECKS: tuple[Callable[[], Iterator[str]], ...] = (
    check_chart,
    check_image,
    check_compose,
    check_units,
    check_prometheus,
)


def main() -> int:
    if "--write" in sys.argv[1:]:
        PLAIN.write_text(plain())
        return 0
    found = {check: list(check()) for check in CHECKS}
    for check, problems in found.items():
        print(f"{'wrong' if problems else 'right'}  {check.__doc__}")
        for problem in problems:
            print(f"       {problem}")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())

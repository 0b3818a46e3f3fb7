"""The page for a newcomer does what it says: its very commands are run."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.environment import environment
from tests.support.ports import free_port
from tests.support.process import PROGRAM, background, run

pytestmark = pytest.mark.slow  # a dozen real processes

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "try-with-a-folder.md"
PLATFORM = "skolebro simulate scim --port 8630"


def commands() -> tuple[str, str]:
    """What the page has typed before the learning platform runs, and after that."""
    lines = [line[4:] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("    ")]
    at = lines.index(PLATFORM)
    return "\n".join(lines[:at]), "\n".join(lines[at + 1 :])


def typed(script: str, folder: Path) -> str:
    surroundings = environment() | {"PATH": f"{PROGRAM.parent}:/usr/bin:/bin"}
    ended = subprocess.run(
        ["/bin/bash", "-e", "-c", script],
        cwd=folder,
        env=surroundings,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr).decode()
    return ended.stdout.decode()


def test_from_nothing_to_a_held_mass_deletion_by_the_commands_of_the_page(tmp_path: Path) -> None:
    port = str(free_port())
    before, after = (part.replace("8630", port) for part in commands())
    typed(before, tmp_path)
    with background(PLATFORM.replace("8630", port).split()[1:], tmp_path) as platform:
        platform.until(lambda: (tmp_path / "scim-token").exists() and _listens(int(port)))
        said = typed(after, tmp_path)
        platform.process.terminate()
        platform.end()
    first, held, mended = re.split(r"(?=Hold 1 \(open\))|(?<=Wrote 3 exports of day 3)", said)
    assert "0999/platform  483        0 " in first
    assert "Hold 1: approve or reject the deletions of institution 101001" in first
    assert re.search(r"would go \(6\d\): ", held)
    assert "later: 60, deletions that wait in case the person turns up at another" in held
    assert mended.rstrip().endswith("Nothing waits for a decision.")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_later_day_is_the_same_municipality_later(tmp_path: Path) -> None:
    for folder, words in {"a": (), "b": (), "c": ("--day", "1"), "d": ("--seed", "2")}.items():
        size = ("--institutions", "2", "--pupils", "20")
        run(["simulate", "export", folder, *size, *words], tmp_path).ended(0)
    first, same, later, other = ((tmp_path / name / "101002.xml").read_text("utf-8") for name in "abcd")
    ids = [set(re.findall(r"UserId>([^<]+)<", text)) for text in (first, later, other)]
    assert first == same != later
    assert len(ids[0] & ids[1]) > len(ids[0]) / 2
    assert not ids[0] & ids[2]


@pytest.mark.parametrize("words", [("scim",), ("stil",), ("stil", "--folder", "signed")])
def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = run(["simulate", *words, "--port", port], tmp_path).ended(2).stderr
    assert said == f"skolebro: --port: port {port} on 127.0.0.1 is taken by another program; choose another port\n"


def test_fewer_pupils_than_schools_is_one_sentence(tmp_path: Path) -> None:
    said = run(["simulate", "export", "x", "--pupils", "2"], tmp_path).ended(2).stderr
    assert said == "skolebro: --pupils 2: there has to be one for each of 3 institutions\n"
    assert not (tmp_path / "x").exists()

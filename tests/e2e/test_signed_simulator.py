"""From a certificate and a system id to the first institutions, as municipal IT does it, against the simulator."""

from __future__ import annotations

from pathlib import Path

from tests.support.process import Background, background, start

SCHOOLS = 3
OPTIONS = ["--schools", str(SCHOOLS), "--pupils", "90", "--port", "0"]


def simulated(simulator: Background, folder: Path) -> None:
    """Wait until the simulator has written its configuration."""
    simulator.until(lambda: (folder / "skolebro.yaml").is_file() or None)


def test_a_newcomer_gets_from_the_simulators_certificate_to_its_institutions(tmp_path: Path) -> None:
    folder = tmp_path / "try"
    with background(["simulate", "stil", "--folder", "try", *OPTIONS], tmp_path) as simulator:
        simulated(simulator, folder)
        assert f"{SCHOOLS} institutions are agreed" in start(["check"], folder).ended(0).stdout
        (row,) = start(["sync", "--json"], folder).ended(0).json["municipalities"]
        assert row["persons"] > 90
        assert start(["status"], folder).ended(0).stdout.startswith("All well.")
        assert {path.stat().st_mode & 0o077 for path in folder.iterdir() if path.suffix in (".p12", ".key")} == {0}


def test_signed_messages_need_no_tls_on_this_machine(tmp_path: Path) -> None:
    folder = tmp_path / "try"
    with background(["simulate", "stil", "--folder", "try", "--no-tls", *OPTIONS], tmp_path) as simulator:
        simulated(simulator, folder)
        assert "base_url: http://127.0.0.1:" in (folder / "skolebro.yaml").read_text()
        assert f"{SCHOOLS} institutions are agreed" in start(["check"], folder).ended(0).stdout


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    said = start(["simulate", "stil", "--folder", "mine", *OPTIONS], tmp_path).ended(2).stderr
    assert "holds other files" in said
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]

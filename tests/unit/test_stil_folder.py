"""A file in the drop folder is read when it is whole, moved when it is recorded, and never lost."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import ConfigError, Services, Snapshot, SnapshotInvalid, SourceFailure, SourceUnavailable
from bridge.domain.records import Header
from connectors.stil import FolderConfig, folder
from connectors.stil.folder import FolderSource, ends_with_its_root
from connectors.stil.gate import Limits

DATA = Path(__file__).parents[1] / "data" / "day1"
SMALLEST = (DATA / "280555.xml").read_bytes()
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
YOUNG, OLD = NOW - timedelta(seconds=5), NOW - timedelta(seconds=600)


def source(path: Path, limits: Limits | None = None) -> FolderSource:
    return FolderSource(path, timedelta(seconds=60), UTC, lambda: NOW, limits)


def drop(path: Path, body: bytes = SMALLEST, changed: datetime = OLD) -> Path:
    path.write_bytes(body)
    os.utime(path, (changed.timestamp(), changed.timestamp()))
    return path


def snapshots(path: Path, limits: Limits | None = None) -> list[Snapshot]:
    found = list(source(path, limits).snapshots())
    assert all(isinstance(item, Snapshot) for item in found)
    return [item for item in found if isinstance(item, Snapshot)]


def failure_code(path: Path, limits: Limits | None = None) -> str:
    (failure,) = source(path, limits).snapshots()
    assert isinstance(failure, SourceFailure) and isinstance(failure.error, SnapshotInvalid)
    return failure.error.code


def test_complete_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    drop(tmp_path / "b.xml")
    drop(tmp_path / "a.xml")
    assert [s.origin for s in snapshots(tmp_path)] == ["a.xml", "b.xml"]


@pytest.mark.parametrize("name", [".hidden.xml", "a.xml.part", "a.xml.tmp", "a.txt", "a"])
def test_files_of_another_kind_are_not_read(tmp_path: Path, name: str) -> None:
    drop(tmp_path / name)
    assert list(source(tmp_path).snapshots()) == []


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("280555.xml", "280555"),
        ("A12249-2026-11-20.xml", "A12249"),
        ("101001_fuld.xml", "101001"),
        ("101001 (1).xml", "101001"),
        ("export-101001.xml", None),
        ("1010011.xml", None),
        ("a12249.xml", None),
    ],
)
def test_the_institution_is_expected_when_the_name_begins_with_it(
    tmp_path: Path, name: str, number: str | None
) -> None:
    drop(tmp_path / name)
    assert snapshots(tmp_path)[0].expected_institution == number


def test_a_file_that_is_still_written_is_left_alone_in_silence(tmp_path: Path) -> None:
    drop(tmp_path / "280555.xml", SMALLEST[:-20], YOUNG)
    assert list(source(tmp_path).snapshots()) == []


def test_a_file_that_stays_incomplete_is_reported_and_left_where_it_is(tmp_path: Path) -> None:
    path = drop(tmp_path / "280555.xml", SMALLEST[:-20], OLD)
    assert failure_code(tmp_path) == "incomplete"
    assert path.exists()


@given(st.integers(min_value=0, max_value=len(SMALLEST.rstrip()) - 1))
def test_a_document_cut_anywhere_is_not_complete(end: int) -> None:
    assert not ends_with_its_root(SMALLEST[:end])


@pytest.mark.parametrize(
    "body", [b"<a></a>", b"\xef\xbb\xbf<?xml version='1.0'?><!-- <b> -->\n<p:a x='1'>\n</p:a >\n\n"]
)
def test_a_document_that_ends_with_its_root_is_complete(body: bytes) -> None:
    assert ends_with_its_root(body)


def test_a_recorded_file_is_moved_into_a_private_folder(tmp_path: Path) -> None:
    path = drop(tmp_path / "280555.xml")
    (snapshot,) = snapshots(tmp_path)
    source(tmp_path).taken(snapshot)
    moved = tmp_path / "taken" / "20261120T120000.000000Z-280555.xml"
    assert moved.read_bytes() == SMALLEST and not path.exists()
    assert moved.parent.stat().st_mode & 0o777 == 0o700
    assert snapshots(tmp_path) == []


def test_being_told_twice_does_no_harm(tmp_path: Path) -> None:
    drop(tmp_path / "280555.xml")
    (snapshot,) = snapshots(tmp_path)
    source(tmp_path).taken(snapshot)
    source(tmp_path).taken(snapshot)
    assert len(list((tmp_path / "taken").iterdir())) == 1


def test_a_newer_file_of_the_same_name_is_not_moved_unread(tmp_path: Path) -> None:
    path = drop(tmp_path / "280555.xml")
    (snapshot,) = snapshots(tmp_path)
    newer = (DATA.parent / "day2" / "280555.xml").read_bytes()
    drop(path, newer)
    source(tmp_path).taken(snapshot)
    assert [s.body for s in snapshots(tmp_path)] == [newer]


def test_two_files_of_one_name_taken_at_one_time_are_both_kept(tmp_path: Path) -> None:
    for _ in range(2):
        drop(tmp_path / "280555.xml")
        (snapshot,) = snapshots(tmp_path)
        source(tmp_path).taken(snapshot)
    assert len(list((tmp_path / "taken").iterdir())) == 2


def test_a_folder_that_cannot_take_the_file_says_what_to_do(tmp_path: Path) -> None:
    drop(tmp_path / "280555.xml")
    (snapshot,) = snapshots(tmp_path)
    (tmp_path / "taken").write_text("in the way")
    with pytest.raises(SourceUnavailable, match="write access"):
        source(tmp_path).taken(snapshot)


def test_the_taken_folder_must_not_be_a_link(tmp_path: Path) -> None:
    drop(tmp_path / "280555.xml")
    (snapshot,) = snapshots(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "taken").symlink_to(elsewhere)
    with pytest.raises(SourceUnavailable):
        source(tmp_path).taken(snapshot)
    assert list(elsewhere.iterdir()) == []


def test_what_is_no_regular_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    outside = drop(tmp_path / "outside")
    (tmp_path / "a.xml").symlink_to(outside)
    (tmp_path / "b.xml").mkdir()
    os.mkfifo(tmp_path / "c.xml")
    found = list(source(tmp_path).snapshots())
    assert [
        f.error.code for f in found if isinstance(f, SourceFailure) and isinstance(f.error, SnapshotInvalid)
    ] == ["not_a_regular_file"] * 3


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    drop(tmp_path / "280555.xml")
    assert failure_code(tmp_path, Limits(document_bytes=1000)) == "too_large"


def test_a_file_name_that_could_forge_a_log_line_is_refused(tmp_path: Path) -> None:
    drop(tmp_path / "a\nb.xml")
    assert failure_code(tmp_path) == "unreadable_file_name"


def test_a_file_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    drop(tmp_path / os.fsdecode(b"\xff.xml"))
    assert failure_code(tmp_path) == "unreadable_file_name"


def test_a_folder_that_went_away_is_a_source_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="folder_unreadable"):
        list(source(tmp_path / "gone").snapshots())


def services() -> Services:
    def no_http(*_: object, **__: object) -> None:
        raise AssertionError

    return Services("999", None, no_http, lambda path: path.name, lambda: NOW, Path.read_bytes)  # type: ignore[arg-type]


def test_the_connector_reads_the_folder_it_is_configured_with(tmp_path: Path) -> None:
    drop(tmp_path / "280555.xml")
    assert folder.source is not None
    made = folder.source(FolderConfig(folder=tmp_path), services())
    (snapshot,) = made.snapshots()
    assert isinstance(snapshot, Snapshot)
    header = next(iter(made.parse(snapshot)))
    assert isinstance(header, Header) and header.institution_number == "280555"


def test_a_folder_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    assert folder.source is not None
    with pytest.raises(ConfigError):
        folder.source(FolderConfig(folder=tmp_path / "gone"), services())

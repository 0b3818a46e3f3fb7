"""Memory, a folder and an SFTP server keep what every drop promises, and each its own promises when it cannot."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import paramiko
import pytest

from bridge.adapters.drop_folder import FolderDrop
from bridge.adapters.drop_names import STALE, unfinished
from bridge.adapters.drop_sftp import SftpDrop, SftpPlace
from bridge.adapters.drops import open_drop
from bridge.config import credential_reader, secret_reader
from bridge.connector import Drop, DropConfig
from bridge.domain.errors import ConfigError, TargetUnauthorised, TargetUnavailable
from bridge.testing.conformance_drop import DropConformance
from bridge.testing.memory_shelf import MemoryDrop
from tests.support.sftp import PASSWORD, USER, SftpServer, require_openssh

CONTENT = b"0123456789abcdef" * 20_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[SftpServer]:
    with SftpServer(folder) as server:
        yield server


@pytest.fixture
def place(server: SftpServer, tmp_path: Path) -> SftpPlace:
    return SftpPlace.read(server.url, server.known_hosts(tmp_path / "known_hosts"), password=PASSWORD)


@pytest.fixture
def sftp(place: SftpPlace) -> SftpDrop:
    return SftpDrop(place)


class TestMemoryDrop(DropConformance):
    @pytest.fixture
    def drop(self) -> Drop:
        return MemoryDrop()


class TestFolderDrop(DropConformance):
    @pytest.fixture
    def drop(self, folder: Path) -> Drop:
        return FolderDrop(folder)


class TestSftpDrop(DropConformance):
    @pytest.fixture
    def drop(self, sftp: SftpDrop) -> Drop:
        return sftp


class TestSftpDropWithoutPosixRename(DropConformance):
    @pytest.fixture
    def drop(self, server: SftpServer, sftp: SftpDrop) -> Drop:
        server.has_posix_rename = False
        return sftp


class TestSftpDropOfOpenssh(DropConformance):
    @pytest.fixture
    def drop(self, folder: Path, tmp_path: Path) -> Iterator[Drop]:
        require_openssh()
        with SftpServer(folder, is_openssh=True) as server:
            key = server.key_file(tmp_path / "id").read_bytes()
            yield SftpDrop(SftpPlace.read(server.url, server.known_hosts(tmp_path / "known"), key=key))


@pytest.fixture(params=["folder", "sftp"])
def drop(request: pytest.FixtureRequest, folder: Path) -> Drop:
    return FolderDrop(folder) if request.param == "folder" else request.getfixturevalue("sftp")


# ---------------------------------------------------------------- what a crash leaves


def test_what_is_not_whole_is_no_file_and_stops_nobody(drop: Drop, folder: Path) -> None:
    (folder / unfinished("a")).write_bytes(b"half")
    assert (drop.names(), drop.read("a")) == ([], None)
    drop.put("a", CONTENT)
    assert (os.listdir(folder), drop.read("a")) == (["a"], CONTENT)


def test_what_was_left_unfinished_long_ago_is_removed_and_nothing_else(drop: Drop, folder: Path) -> None:
    for name in (unfinished("2026-01-01"), unfinished("just now"), ".other.part", "old"):
        (folder / name).write_bytes(b"half")
        if name != unfinished("just now"):
            os.utime(folder / name, (1, 1))
    drop.put("a", CONTENT)
    assert sorted(os.listdir(folder)) == sorted([unfinished("just now"), ".other.part", "old", "a"])
    assert STALE == 24 * 3600


def test_a_link_in_the_place_of_a_file_is_replaced_and_never_followed(drop: Drop, folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.write_bytes(b"precious")
    for name in (unfinished("a"), "a"):
        (folder / name).symlink_to(elsewhere)
    assert drop.names() == []
    drop.put("a", CONTENT)
    assert elsewhere.read_bytes() == b"precious"
    assert drop.read("a") == CONTENT
    assert not (folder / "a").is_symlink()


def test_a_missing_folder_is_an_outage_and_no_empty_folder(drop: Drop, folder: Path) -> None:
    folder.rmdir()
    tries: list[Callable[[], object]] = [lambda: drop.put("a", b"x"), lambda: drop.read("a"), drop.names]
    for attempt in tries:
        with pytest.raises(TargetUnavailable, match="folder_missing"):
            attempt()


# ---------------------------------------------------------------- a folder


def test_a_file_in_a_folder_is_for_its_owner_and_group_only(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        FolderDrop(folder).put("a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o640


def test_a_folder_that_is_a_file_is_told_without_its_path(folder: Path) -> None:
    folder.rmdir()
    folder.write_bytes(b"")
    with pytest.raises(TargetUnavailable, match="folder_missing") as caught:
        FolderDrop(folder).put("a", b"x")
    assert str(folder) not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        ("EACCES", TargetUnauthorised, "see its owner and mode"),
        ("EROFS", TargetUnauthorised, "see its owner and mode"),
        ("ENOSPC", TargetUnavailable, "disk_full"),
        ("EIO", TargetUnavailable, "folder_failed"),
    ],
)
def test_what_the_disk_refuses_says_who_must_act_and_leaves_the_older_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: str, kind: type[Exception], text: str
) -> None:
    import errno

    drop = FolderDrop(folder)
    drop.put("a", b"older")

    def refuse(_: int) -> None:
        raise OSError(getattr(errno, number), "0101011234")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(kind, match=text) as caught:
        drop.put("a", b"newer")
    assert "0101011234" not in str(caught.value)
    assert (drop.names(), drop.read("a"), os.listdir(folder)) == (["a"], b"older", ["a"])


# ---------------------------------------------------------------- an SFTP server


def test_a_server_that_hangs_up_leaves_the_older_file(server: SftpServer, sftp: SftpDrop) -> None:
    sftp.put("a", b"older")
    server.cut_after = 100_000
    with pytest.raises(TargetUnavailable, match="connection_lost"):
        sftp.put("a", CONTENT)
    server.cut_after = None
    assert (sftp.names(), sftp.read("a")) == (["a"], b"older")
    sftp.put("a", CONTENT)
    assert sftp.read("a") == CONTENT


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([paramiko.SFTP_PERMISSION_DENIED], TargetUnauthorised),
        ([paramiko.SFTP_OP_UNSUPPORTED, paramiko.SFTP_PERMISSION_DENIED], TargetUnauthorised),
        ([paramiko.SFTP_FAILURE, paramiko.SFTP_FAILURE], TargetUnavailable),
    ],
)
def test_a_server_that_will_not_rename_keeps_the_older_file(
    server: SftpServer, sftp: SftpDrop, answers: list[int], kind: type[Exception]
) -> None:
    sftp.put("a", b"older")
    server.renames = answers
    with pytest.raises(kind):
        sftp.put("a", b"newer")
    assert (os.listdir(server.folder), sftp.read("a")) == (["a"], b"older")


def test_an_older_file_that_stepped_aside_comes_back_when_the_newer_one_is_refused(
    server: SftpServer, sftp: SftpDrop
) -> None:
    sftp.put("a", b"older")
    server.has_posix_rename = False
    server.refuses_new = True
    with pytest.raises(TargetUnavailable, match="sftp_failed"):
        sftp.put("a", b"newer")
    assert (os.listdir(server.folder), sftp.read("a")) == (["a"], b"older")


def test_a_server_of_which_nothing_is_known_is_told_nothing(server: SftpServer, place: SftpPlace) -> None:
    with pytest.raises(TargetUnavailable):
        SftpDrop(replace(place, known_hosts=paramiko.HostKeys())).put("a", b"x")
    assert os.listdir(server.folder) == []


def test_a_server_that_shows_nobody_its_folder_is_good_enough(server: SftpServer, sftp: SftpDrop) -> None:
    server.may_list = False
    sftp.put("a", CONTENT)
    assert sftp.read("a") == CONTENT
    with pytest.raises(TargetUnauthorised):
        sftp.names()


def test_a_folder_that_may_not_be_written_asks_for_a_person(server: SftpServer, sftp: SftpDrop) -> None:
    server.may_write = False
    with pytest.raises(TargetUnauthorised, match="folder of sftp_url"):
        sftp.put("a", b"x")


@pytest.mark.parametrize("how", ["password", "key", "closed"])
def test_who_is_not_let_in_is_told_so(server: SftpServer, place: SftpPlace, how: str) -> None:
    server.may_enter = how != "closed"
    stranger = replace(
        place,
        password="0101011234" if how == "password" else PASSWORD if how == "closed" else None,
        key=paramiko.ECDSAKey.generate() if how == "key" else None,
    )
    with pytest.raises(TargetUnauthorised, match="does not let this user in") as caught:
        SftpDrop(stranger).put("a", b"x")
    assert "0101011234" not in repr(caught.value) + repr(stranger)


def test_a_server_with_another_key_is_told_nothing(server: SftpServer, place: SftpPlace, tmp_path: Path) -> None:
    forged = server.known_hosts(tmp_path / "forged", paramiko.ECDSAKey.generate())
    known = SftpPlace.read(server.url, forged, password=PASSWORD).known_hosts
    with pytest.raises(TargetUnauthorised, match="nothing was sent: another key"):
        SftpDrop(replace(place, known_hosts=known)).put("a", b"x")
    assert os.listdir(server.folder) == []


def test_a_server_that_only_has_a_key_of_another_kind_is_told_nothing(
    server: SftpServer, place: SftpPlace, tmp_path: Path
) -> None:
    other_kind = server.known_hosts(tmp_path / "rsa", paramiko.RSAKey.generate(2048))
    known = SftpPlace.read(server.url, other_kind, password=PASSWORD).known_hosts
    with pytest.raises(TargetUnauthorised, match="nothing was sent: another key"):
        SftpDrop(replace(place, known_hosts=known)).put("a", b"x")


def test_a_server_that_is_not_there_is_an_outage(server: SftpServer, place: SftpPlace) -> None:
    server.__exit__()
    with pytest.raises(TargetUnavailable, match="connect_failed"):
        SftpDrop(place).put("a", b"x")


def test_a_server_that_never_says_a_word_is_not_waited_for_for_ever(server: SftpServer, place: SftpPlace) -> None:
    server.hears = False
    with pytest.raises(TargetUnavailable):
        SftpDrop(replace(place, silence=timedelta(milliseconds=200))).put("a", b"x")


def test_a_file_that_takes_too_long_is_given_up_and_the_older_one_stays(place: SftpPlace, sftp: SftpDrop) -> None:
    sftp.put("a", b"older")
    with pytest.raises(TargetUnavailable, match="timeout"):
        SftpDrop(replace(place, deadline=timedelta(seconds=-1))).put("a", CONTENT)
    assert (sftp.names(), sftp.read("a")) == (["a"], b"older")


def test_whoever_waits_for_a_large_file_is_told_that_it_goes_on(place: SftpPlace) -> None:
    ticks: list[bool] = []
    SftpDrop(place, lambda: ticks.append(True)).put("a", CONTENT)
    assert len(ticks) > len(CONTENT) // 32_768


# ---------------------------------------------------------------- configuration


def opened(**values: object) -> Drop:
    config = DropConfig.model_validate(values)
    return open_drop(config, secret_reader(config), credential_reader(config))


def test_a_configured_folder_is_where_files_go(folder: Path) -> None:
    opened(drop_folder=folder).put("a", b"x")
    assert os.listdir(folder) == ["a"]


@pytest.mark.parametrize("kind", [paramiko.ECDSAKey, paramiko.RSAKey])
def test_a_configured_server_lets_us_in_by_key(
    server: SftpServer, tmp_path: Path, kind: type[paramiko.PKey]
) -> None:
    server.user_key = paramiko.RSAKey.generate(2048) if kind is paramiko.RSAKey else paramiko.ECDSAKey.generate()
    drop = opened(
        sftp_url=server.url,
        sftp_known_hosts_file=server.known_hosts(tmp_path / "known"),
        sftp_key_file=server.key_file(tmp_path / "id"),
    )
    drop.put("a", b"x")
    assert drop.names() == ["a"]


@pytest.mark.parametrize("name", ["id", "password"])
def test_a_secret_that_others_may_read_is_refused_before_anybody_is_called(
    server: SftpServer, tmp_path: Path, name: str
) -> None:
    key, password = server.key_file(tmp_path / "id"), tmp_path / "password"
    password.write_text(PASSWORD, encoding="utf-8")
    (tmp_path / name).chmod(0o644)
    secret = {"sftp_key_file": key} if name == "id" else {"sftp_password_file": password}
    with pytest.raises(ConfigError, match="others may read this secret"):
        opened(sftp_url=server.url, sftp_known_hosts_file=server.known_hosts(tmp_path / "known"), **secret)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ftp://u@127.0.0.1/x", "sftp_url: expected"),
        ("sftp://127.0.0.1/x", "sftp_url: expected"),
        ("sftp://u@/x", "sftp_url: expected"),
        ("sftp://u@127.0.0.1:99999/x", "sftp_url: expected"),
        ("sftp://u:geheim@127.0.0.1/x", "sftp_url: a password"),
        ("sftp://u@127.0.0.1/x", "names no key of 127.0.0.1;"),
        ("sftp://u@localhost:2222/x", r"names no key of \[localhost\]:2222;"),
    ],
)
def test_a_url_that_cannot_be_meant_is_explained(server: SftpServer, tmp_path: Path, url: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        SftpPlace.read(url, server.known_hosts(tmp_path / "known"), password=PASSWORD)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "folder"),
    [("/in/b%C3%B8rn", "/in/børn"), ("", "."), ("/", "/"), ("/~", "."), ("/~/in", "in"), ("/~x", "/~x")],
)
def test_the_folder_of_a_url_is_a_path_or_below_the_users_own(
    server: SftpServer, tmp_path: Path, path: str, folder: str
) -> None:
    url = f"sftp://bo%40skole@127.0.0.1:{server.port}{path}"
    place = SftpPlace.read(url, server.known_hosts(tmp_path / "known"), password=PASSWORD)
    assert (place.user, place.folder) == ("bo@skole", folder)


@pytest.mark.parametrize("text", ["@revoked * ssh-rsa AAAA", "\n @cert-authority *.example ssh-rsa AAAA"])
def test_known_hosts_with_marks_that_we_do_not_keep_are_refused(
    server: SftpServer, tmp_path: Path, text: str
) -> None:
    known = server.known_hosts(tmp_path / "known")
    known.write_text(known.read_text(encoding="utf-8") + text, encoding="utf-8")
    with pytest.raises(ConfigError, match="lines with @"):
        SftpPlace.read(server.url, known, password=PASSWORD)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"ssh-ed25519 AAAA", bytes(1000)])
def test_known_hosts_that_know_nobody_are_refused(server: SftpServer, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "known").write_bytes(content)
    with pytest.raises(ConfigError, match="sftp_known_hosts_file"):
        SftpPlace.read(server.url, tmp_path / "known", password=PASSWORD)


@pytest.mark.parametrize("content", [b"", b"\xff", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", bytes(500)])
def test_a_key_that_is_none_is_explained(server: SftpServer, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError, match="sftp_key_file: no private key"):
        SftpPlace.read(server.url, server.known_hosts(tmp_path / "known"), key=content)


def test_a_key_with_a_passphrase_is_explained(server: SftpServer, tmp_path: Path) -> None:
    server.user_key.write_private_key_file(str(tmp_path / "id"), password="geheim")
    with pytest.raises(ConfigError, match="asks for a passphrase"):
        SftpPlace.read(server.url, server.known_hosts(tmp_path / "known"), key=(tmp_path / "id").read_bytes())


def test_the_user_of_the_server_is_the_one_of_the_url(place: SftpPlace) -> None:
    assert (place.user, place.host, place.folder) == (USER, "127.0.0.1", "/")

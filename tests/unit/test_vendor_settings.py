"""A mistake in what a vendor may see is found before anybody fetches; who gets what is in the record."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.state_folder import has_database
from bridge.app.bridge import open_bridge
from bridge.app.disclosures import disclosures
from bridge.app.vendors import vendor_api, vendor_renderings
from bridge.config import Settings, load_settings, token_digest
from bridge.config.secrets import read_secret
from bridge.domain.errors import ConfigError
from bridge.registry import Registry

TOKEN = "0123456789abcdef" * 2
WHSEC = "whsec_" + "MTIz" * 10
PLAIN = "{municipalities: ['101'], mapping: webhook/events, token_file: token}"


def settings(
    folder: Path,
    vendors: str,
    *,
    institutions: str = "all",
    token: str = TOKEN,
    top: str = "",
    targets: str = "",
) -> Settings:
    (folder / "in").mkdir(exist_ok=True)
    file = folder / "token"
    file.touch(mode=0o600)
    file.write_text(token)
    (folder / "bare.yaml").write_text(
        "mapping: bare\npurpose: x\nresources:\n  p:\n    entity: person\n    fields: {n: {from: given_name}}\n"
    )
    path = folder / "skolebro.yaml"
    path.write_text(
        f"state_folder: state\n{top}municipalities:\n  '101':\n    name: Prøveby\n"
        f"    institutions: {institutions}\n"
        f"    source: {{connector: stil-folder, folder: in}}\n{targets}vendors:\n  {vendors}\n"
    )
    return load_settings(path, Registry())


def test_a_vendor_is_its_municipalities_its_mapping_and_its_token(tmp_path: Path) -> None:
    (vendor,) = settings(tmp_path, f"books: {PLAIN}").vendors
    assert (vendor.name, vendor.municipalities, vendor.mapping.name) == ("books", ("101",), "webhook/events")
    assert (vendor.section.requests_per_minute, vendor.institutions) == (120, None)


def test_a_code_without_quotes_is_a_text_all_the_same(tmp_path: Path) -> None:
    (vendor,) = settings(tmp_path, f"books: {PLAIN.replace(chr(39), '')}").vendors
    assert vendor.municipalities == ("101",)


@pytest.mark.parametrize(
    ("vendors", "message"),
    [
        ("books: {municipalities: ['101'], mapping: webhook/events}", "vendors.books.token_file: missing"),
        (
            "books: {municipalities: [], mapping: webhook/events, token_file: token}",
            "vendors.books.municipalities",
        ),
        (f"books: {PLAIN.replace('101', '102')}", "there is no municipality '102'; there are 101"),
        (f"books: {PLAIN.replace(chr(39) + '101' + chr(39), '101, 101')}", "a municipality stands twice"),
        (f"Books 1: {PLAIN}", "a vendor's name is of letters a to z"),
        (f"books: {PLAIN.replace('webhook/events', 'webhook/evnts')}", "vendors.books.mapping"),
        (f"books: {PLAIN.replace('webhook/events', 'bare.yaml')}", "purpose"),
        (f"books: {PLAIN.replace('token}', 'none}')}", "no file at"),
        (f"books: {PLAIN[:-1]}, token: x}}", "unknown key; did you mean 'token_file'"),
        (f"books: {PLAIN[:-1]}, requests_per_minute: 0}}", "vendors.books.requests_per_minute"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, vendors: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, vendors)
    assert message in str(caught.value)
    assert "skolebro.yaml:" in str(caught.value)


def test_an_institution_must_be_one_of_its_municipalities(tmp_path: Path) -> None:
    only = f"books: {PLAIN[:-1]}, institutions: ['101002']}}"
    with pytest.raises(ConfigError, match="101002 is not among those of its municipalities"):
        settings(tmp_path, only, institutions="['101001']")
    assert settings(tmp_path, only).vendors[0].institutions == {"101002"}


@pytest.mark.parametrize(("own", "seen"), [("", {"101001", "101002"}), (", institutions: ['101002']", {"101002"})])
def test_a_vendor_never_sees_more_than_the_municipality_reads(tmp_path: Path, own: str, seen: set[str]) -> None:
    found = settings(tmp_path, f"books: {PLAIN[:-1]}{own}}}", institutions="['101001', '101002']")
    bridge = open_bridge(found)
    (rendering,) = vendor_renderings(bridge, found.vendors[0])
    assert (rendering.scope.institutions, rendering.target) == (seen, "101/vendors/books")
    bridge.store.close()


HOOK = """    targets:
      hook: {connector: webhook, url: "https://vendor.example/x", secret_file: token}
      aula: {connector: aula}
"""


def own(*targets: str, more: str = "") -> str:
    return f"books: {PLAIN[:-1]}, targets: [{', '.join(targets)}]}}{more}"


def test_a_target_belongs_to_the_vendor_that_names_it(tmp_path: Path) -> None:
    found = settings(tmp_path, own("101/hook"), targets=HOOK, token=WHSEC)
    assert [found.vendor_of(target.id) for target in found.targets] == ["books", ""]
    bridge = open_bridge(found)
    (lane,) = bridge.lanes()
    assert lane.vendor == "books"
    bridge.store.close()


@pytest.mark.parametrize(
    ("vendors", "message"),
    [
        (own("101/hok"), "there is no target '101/hok'; did you mean '101/hook'? there are 101/hook, 101/aula"),
        (own("zzz"), "there is no target 'zzz'; there are 101/hook, 101/aula"),
        (own("101/hook", "101/hook"), "101/hook belongs to books; a target is of one vendor, and named once"),
        (own("101/aula"), "101/aula is only observed, so nothing is delivered by it"),
        (
            own("101/hook", more=f"\n  more: {PLAIN[:-1]}, targets: [101/hook]}}"),
            "vendors.more.targets: 101/hook belongs to books",
        ),
    ],
)
def test_a_target_that_is_not_the_vendors_is_a_mistake(tmp_path: Path, vendors: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, vendors, targets=HOOK)
    assert message in str(caught.value)
    assert "skolebro.yaml:" in str(caught.value)


def test_a_target_of_another_municipality_is_a_mistake(tmp_path: Path) -> None:
    other = (
        HOOK + "  '102':\n    name: B\n    institutions: all\n"
        "    source: {connector: stil-folder, folder: in}\n" + HOOK
    )
    with pytest.raises(ConfigError, match="102/hook is of a municipality that is not one of its municipalities"):
        settings(tmp_path, own("102/hook"), targets=other)


def test_the_file_holds_the_token_or_its_digest(tmp_path: Path) -> None:
    wanted = sha256(TOKEN.encode()).digest()
    for text in (TOKEN, f"{TOKEN}\n", f"sha256:{wanted.hex()}\n"):
        (vendor,) = settings(tmp_path, f"books: {PLAIN}", token=text).vendors
        assert token_digest(vendor.section, read_secret) == wanted


class TestTheDoor:
    def open(self, folder: Path, vendors: str, **how: Any) -> object:
        bridge = open_bridge(settings(folder, vendors, **how))
        try:
            return vendor_api(bridge, bridge.teller)
        finally:
            bridge.store.close()

    @pytest.mark.parametrize("token", ["short", "x" * 31, "x y" * 20, "sha256:abc", "é" * 40])
    def test_a_token_that_can_be_guessed_is_refused_and_not_quoted(self, tmp_path: Path, token: str) -> None:
        with pytest.raises(ConfigError, match=r"vendors.books.token_file: a token is at least 32") as caught:
            self.open(tmp_path, f"books: {PLAIN}", token=token)
        assert token not in str(caught.value).replace("sha256:", "")

    def test_two_vendors_never_have_one_token(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"vendors.more: has the token of books"):
            self.open(tmp_path, f"books: {PLAIN}\n  more: {PLAIN}")

    def test_a_token_that_others_may_read_is_refused(self, tmp_path: Path) -> None:
        found = settings(tmp_path, f"books: {PLAIN}")
        (tmp_path / "token").chmod(0o644)
        bridge = open_bridge(found)
        with pytest.raises(ConfigError, match="others may read this secret"):
            vendor_api(bridge, bridge.teller)
        bridge.store.close()

    def test_without_an_address_nobody_could_fetch(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="vendors fetch their events, so an address is needed"):
            self.open(tmp_path, f"books: {PLAIN}", top="web: {listen: null}\n")

    def test_without_vendors_there_is_no_door(self, tmp_path: Path) -> None:
        found = settings(tmp_path, f"books: {PLAIN}")
        bridge = open_bridge(type(found)(**{**_fields(found), "vendors": ()}))
        assert vendor_api(bridge, bridge.teller) is None
        bridge.store.close()


def _fields(found: Settings) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def test_the_record_of_processing_names_vendors(tmp_path: Path) -> None:
    found = settings(tmp_path, f"books: {PLAIN[:-1]}, institutions: ['101001']}}")
    (recipient,) = disclosures(found)
    told = (recipient.municipality, recipient.target, recipient.connector, recipient.institutions)
    assert told == ("101", "books", "vendor feed", "101001")
    assert (recipient.is_sent, recipient.purpose) == (True, "Accounts and classes in the vendor's platform")
    masked = {one.field: one.when_protected for one in recipient.fields if one.resource == "person"}
    assert masked["given_name"] == "the alias instead"
    assert not has_database(found.state_folder), "whoever looks makes no state"

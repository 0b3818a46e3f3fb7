"""What an operator says of STIL is taken as it is meant, or refused with a sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.connector import ConfigError, Services
from connectors.stil import StilConfig, connector
from connectors.stil.soap import SoapSource


def built(**values: object) -> SoapSource:
    def no_http(*_: object, **__: object) -> None:
        """Nothing is asked while a source is built."""

    assert connector.source is not None
    config = StilConfig.model_validate({"udbydersystem_id": "AB1", **values})
    services = Services("999", None, no_http, lambda _: "", lambda: datetime.now(UTC), Path.read_bytes)
    made = connector.source(config, services)
    assert isinstance(made, SoapSource)
    return made


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://127.9.9.9"])
def test_unsigned_messages_may_go_to_this_machine(url: str) -> None:
    assert built(base_url=url).concurrency == 4


@pytest.mark.parametrize(
    "url",
    [
        "https://brugerdatabasen.stil.dk",
        "http://127.0.0.1@brugerdatabasen.stil.dk",
        "http://127.0.0.1.example",
        "http://192.168.1.1",
        "127.0.0.1",
        "",
        "http://[",
    ],
)
def test_unsigned_messages_may_go_nowhere_else(url: str) -> None:
    with pytest.raises(ConfigError, match="signed messages only"):
        built(base_url=url)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"size": "mellem"}, "protected_names: missing"),
        ({"include_civil_registration_number": True}, "legal_basis: missing"),
        ({"include_civil_registration_number": True, "legal_basis": " "}, "legal_basis: missing"),
        (
            {
                "size": "lille",
                "protected_names": "alias",
                "include_civil_registration_number": True,
                "legal_basis": "x",
            },
            "holds no CPR numbers",
        ),
        ({"size": "lille", "protected_names": "alias", "actors": ["contacts"]}, "holds no contacts"),
        ({"actors": []}, "nobody is left"),
        ({"levels": []}, "nobody is left"),
        ({"levels": ["11"]}, "Input should be 'DT'"),
        ({"key_file": "key.pem"}, "certificate_file: missing"),
        ({"certificate_file": "own.pem"}, "oces_ca_files: missing"),
        ({"tls_client_certificate": True}, "needs certificate_file"),
        ({"udbydersystem_id": "CHANGE-ME"}, "still CHANGE-ME"),
    ],
)
def test_what_nobody_may_guess_has_to_be_said(values: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        StilConfig.model_validate({"udbydersystem_id": "AB1", **values})


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        StilConfig(base_url="http://127.0.0.1:8080", udbydersystem_id="AB1", times_in="Europe/Atlantis")

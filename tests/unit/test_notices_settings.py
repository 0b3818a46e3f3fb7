"""A mistake in how people are told is found before anybody should have been told."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from bridge.adapters.notify_webhook import WebhookNotifier
from bridge.config import load_settings
from bridge.domain.errors import ConfigError
from bridge.registry import Registry
from tests.support.engine import Bench

MAIL = """
  mail:
    server: 127.0.0.1
    security: none
    sender: skolebro@example.com
    to: [it@example.com]
"""


def settings(folder: Path, notices: str, own: str = "") -> object:
    (folder / "in").mkdir(exist_ok=True)
    for name in ("secret", "password"):
        (folder / name).write_text("x")
    path = folder / "skolebro.yaml"
    path.write_text(
        f"state_folder: state\nmunicipalities:\n  '101':\n    name: P\n    institutions: all\n"
        f"    source: {{connector: stil-folder, folder: in}}\n{own}{notices}"
    )
    return load_settings(path, Registry())


@pytest.mark.parametrize(
    ("notices", "own", "message"),
    [
        ("notices: {remind_after: 1h}", "", "nobody would be told"),
        (
            "notices:" + MAIL.replace("127.0.0.1", "mail.example.com"),
            "",
            "security none: mail.example.com is another",
        ),
        (
            "notices:" + MAIL + "    user_name: a\n    password_file: password",
            "",
            "security none sends no password",
        ),
        ("notices:" + MAIL + "    user_name: a", "", "user_name and password_file belong together"),
        (
            "notices:" + MAIL.replace("it@example.com", "'it@example.com\\r\\nBcc: x@y.z'"),
            "",
            "plain mail address",
        ),
        ("notices:" + MAIL + "    timeout: 2m", "", "notices.mail.timeout"),
        ("notices:" + MAIL + "    password: hemmelig", "", "unknown key; did you mean 'password_file'"),
        ("notices: {webhook: {base_url: 'https://a.example', secret_file: none}}", "", "no file at"),
        ("notices:" + MAIL, "    notices: {to: []}\n", "municipalities.101.notices.to"),
        (
            "notices: {webhook: {base_url: 'https://a.example', secret_file: secret}}",
            "    notices: {to: [it@example.com]}\n",
            "municipalities.101.notices.to: there is no mail server",
        ),
    ],
)
def test_a_mistake_in_the_section_is_told_at_its_place(
    tmp_path: Path, notices: str, own: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        settings(tmp_path, notices, own)
    assert "hemmelig" not in str(caught.value)


def test_a_municipality_may_name_whom_to_tell(tmp_path: Path) -> None:
    found = settings(tmp_path, "notices:" + MAIL, "    notices: {to: [skole@example.com]}\n")
    assert found.municipalities[0].recipients == ("skole@example.com",)  # type: ignore[attr-defined]


@pytest.mark.parametrize("secret", ["", "whsec_", "kanarina", "whsec_" + base64.b64encode(b"short").decode()])
def test_what_is_no_webhook_secret_is_refused_unquoted(secret: str, bench: Bench) -> None:
    with pytest.raises(ConfigError) as caught:
        WebhookNotifier(None, "/", secret, bench.clock.now)  # type: ignore[arg-type]  # nothing is called
    assert str(caught.value).startswith("secret_file: not a Standard Webhooks secret")
    assert not secret or secret not in str(caught.value).replace("(whsec_", "")

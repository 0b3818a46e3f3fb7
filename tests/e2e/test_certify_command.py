"""Whoever is made up is deleted at the receiver, whichever signal ends `skolebro certify`, and whenever."""

from __future__ import annotations

import base64
import secrets
import signal
from pathlib import Path
from threading import Event

import pytest

from bridge.testing.loopback import Request, Response
from tests.support.process import background
from tests.support.vendor_receiver import VendorReceiver

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Counting(VendorReceiver):
    """Says when it has had so many requests."""

    def __init__(self, secret: str, many: int) -> None:
        super().__init__(secret)
        self._many, self.has_many = many, Event()

    def answer(self, request: Request) -> Response | None:
        if self.arrivals >= self._many:
            self.has_many.set()
        return super().answer(request)


@pytest.mark.parametrize(("number", "many"), [(signal.SIGINT, 60), (signal.SIGTERM, 60), (signal.SIGINT, 300)])
def test_a_signal_ends_it_when_all_is_deleted(tmp_path: Path, number: int, many: int) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text(SECRET)
    with Counting(SECRET, many) as receiver:
        words = ["certify", receiver.url, "--secret-file", path, "--pupils", "40"]
        with background(words, tmp_path) as process:
            assert receiver.has_many.wait(120)
            process.signal(number)
            done = process.end()
        assert (done.ended(130).returncode, receiver.held) == (130, {})
    assert "interrupted. All that was made up there is deleted again." in done.stderr
    assert "all gone" in done.stdout

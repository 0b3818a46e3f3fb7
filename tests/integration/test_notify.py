"""Notices go out by real SMTP and real HTTP: over TLS that is verified, signed, once, and without a name."""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from svix.webhooks import Webhook as OtherWebhook

from bridge.adapters.http import HttpEdge
from bridge.adapters.notify_mail import MailNotifier
from bridge.adapters.notify_mail import MailServer as Server
from bridge.adapters.notify_webhook import WebhookNotifier
from bridge.domain.errors import ConfigError
from bridge.observe import configure_logging
from bridge.ports import HoldFacts, Notice, NoticeFailed
from bridge.testing.loopback import LoopbackServer, Request, Response
from tests.support.certificates import Authority, authority
from tests.support.daemon import Daemon
from tests.support.exports import Export
from tests.support.smtp import MailServer, server_context
from tests.support.world import DAYS, MUNICIPALITY, World, webhook_secret

NOW = datetime(2026, 8, 11, 6, 0, tzinfo=UTC)
SENDER, IT, SCHOOL = "skolebro@example.com", "it@example.com", "skole@example.com"
PASSWORD = "hemmelig-kode-4711"
NOTICE = Notice(
    "notice-1",
    "opened",
    "101",
    NOW,
    "Skolebro: 1 hold waits for a decision in Prøveby (101)",
    "1 hold waits.\n.\nPrøveby\n",
    (HoldFacts(7, "snapshot", "101001", None, ("shrunken",), {"person.deleted": 12}, NOW),),
)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def tls(ours: Authority) -> ssl.SSLContext:
    return server_context(ours.issue("mail"))


def mailer(
    server: MailServer, security: str, ours: Authority | None = None, *, seconds: float = 30, **more: Any
) -> MailNotifier:
    place = Server(
        "127.0.0.1",
        server.port,
        security,  # type: ignore[arg-type]  # one of the three
        more.pop("login", None),
        ours.file if ours else None,
        timedelta(seconds=seconds),
    )
    return MailNotifier(place, SENDER, [IT, SCHOOL], **more)


def failing(notifier: MailNotifier) -> NoticeFailed:
    with pytest.raises(NoticeFailed) as caught:
        notifier.send(NOTICE)
    assert caught.value.__cause__ is None
    return caught.value


# ---------------------------------------------------------------- mail


def test_one_message_goes_to_all_over_starttls_after_a_login(ours: Authority, tls: ssl.SSLContext) -> None:
    with MailServer(tls, users={"bro": PASSWORD}) as server:
        mailer(server, "starttls", ours, login=("bro", PASSWORD)).send(NOTICE)
        (mail,) = server.mails
    assert (mail.sender, mail.recipients, mail.is_secured, mail.user) == (SENDER, (IT, SCHOOL), True, "bro")
    assert mail.message["Subject"] == NOTICE.subject
    assert mail.text == NOTICE.text
    assert [line for is_secured, line in server.heard if not is_secured] == ["ehlo example.com", "STARTTLS"]


def test_nothing_is_said_before_tls_where_it_begins_at_once(ours: Authority, tls: ssl.SSLContext) -> None:
    with MailServer(tls, at_once=True, users={"bro": PASSWORD}) as server:
        mailer(server, "tls", ours, login=("bro", PASSWORD)).send(NOTICE)
        assert [mail.user for mail in server.mails] == ["bro"]
    assert all(is_secured for is_secured, _ in server.heard)


def test_a_server_on_this_machine_needs_no_tls() -> None:
    with MailServer() as server:
        mailer(server, "none").send(NOTICE)
        assert server.mails[0].text == NOTICE.text


def test_a_municipality_of_its_own_recipients_tells_them_alone() -> None:
    with MailServer() as server:
        notifier = mailer(server, "none", recipients_of={"102": ["naboby@example.com"]})
        notifier.send(NOTICE)
        notifier.send(replace(NOTICE, municipality="102"))
        assert [mail.recipients for mail in server.mails] == [(IT, SCHOOL), ("naboby@example.com",)]
        assert server.mails[1].message["To"] == "naboby@example.com"


def test_a_try_sends_no_message(ours: Authority, tls: ssl.SSLContext) -> None:
    with MailServer(tls, users={"bro": PASSWORD}) as server:
        mailer(server, "starttls", ours, login=("bro", PASSWORD)).probe()
        assert server.mails == []
        assert [line.split(" ")[0].upper() for _, line in server.heard][-2:] == ["AUTH", "QUIT"]


@pytest.mark.parametrize(("security", "at_once"), [("starttls", False), ("tls", True)])
def test_a_certificate_of_a_strange_authority_is_refused_before_the_password(
    ours: Authority, tls: ssl.SSLContext, tmp_path: Path, security: str, at_once: bool
) -> None:
    stranger = authority(tmp_path, "stranger")
    with MailServer(tls, at_once=at_once, users={"bro": PASSWORD}) as server:
        error = failing(mailer(server, security, stranger, login=("bro", PASSWORD)))
        assert failing(mailer(server, security, None)).reason == "certificate_refused"
    assert error.reason == "certificate_refused"
    assert not any("AUTH" in line or "MAIL" in line.upper() for _, line in server.heard)


def test_a_certificate_of_another_host_is_refused(ours: Authority) -> None:
    with MailServer(server_context((ours.file, ours.file.with_suffix(".key")))) as server:
        assert failing(mailer(server, "starttls", ours)).reason == "certificate_refused"


def test_a_server_that_takes_tls_away_gets_neither_password_nor_message() -> None:
    with MailServer(users={"bro": PASSWORD}) as server:
        error = failing(mailer(server, "starttls", login=("bro", PASSWORD)))
    assert error.reason == "not_supported"
    assert not any("AUTH" in line or "mail" in line.lower() for _, line in server.heard)


def test_a_password_without_tls_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match="sends no password"):
        MailNotifier(Server("127.0.0.1", 25, "none", ("bro", PASSWORD)), SENDER, [IT])


def test_a_password_that_mail_cannot_carry_is_told_unquoted() -> None:
    with pytest.raises(ConfigError, match="ASCII") as caught:
        MailNotifier(Server("127.0.0.1", 25, "tls", ("bro", "blåbærgrød")), SENDER, [IT])
    assert "grød" not in str(caught.value)


def test_a_file_without_authorities_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="ca_file"):
        MailNotifier(Server("127.0.0.1", 25, "tls", ca_file=tmp_path / "ca.pem"), SENDER, [IT])


def test_a_refused_login_is_told_without_name_and_password(ours: Authority, tls: ssl.SSLContext) -> None:
    with MailServer(tls, users={"bro": "other"}) as server:
        error = failing(mailer(server, "starttls", ours, login=("bro-kanarina", PASSWORD)))
    assert error.reason == "login_refused"
    assert "535" in str(error)
    assert "kanarina" not in str(error) and PASSWORD not in str(error)


@pytest.mark.parametrize(
    ("command", "reply", "reason"),
    [
        ("MAIL", "550 no <kanarina@example.com>", "sender_refused"),
        ("RCPT", "550 no <kanarina@example.com>", "recipients_refused"),
        ("DATA", "451 kanarina is full", "refused"),
        ("END", "554 kanarina is spam", "refused"),
        ("CONNECT", "554 go away", "refused"),
    ],
)
def test_what_the_server_refuses_is_told_by_reason_and_number(command: str, reply: str, reason: str) -> None:
    with MailServer() as server:
        server.replies[command] = reply
        error = failing(mailer(server, "none"))
        assert server.mails == []
    assert error.reason == reason
    assert "kanarina" not in str(error)


def test_one_unknown_recipient_does_not_keep_it_from_the_others() -> None:
    out = io.StringIO()
    configure_logging(stream=out, json=True)
    with MailServer() as server:
        server.refused = {SCHOOL}
        mailer(server, "none").send(NOTICE)
        assert server.mails[0].recipients == (IT,)
    configure_logging(stream=io.StringIO())
    line = json.loads(out.getvalue())
    assert (line["event"], line["count"]) == ("notice.refused", 1)
    assert "example.com" not in out.getvalue()


def test_nobody_there_is_told_as_such() -> None:
    server = MailServer().start()
    server.stop()
    assert failing(mailer(server, "none")).reason == "connect_failed"


@pytest.mark.parametrize("security", ["none", "starttls"])
def test_a_server_that_says_a_byte_now_and_then_is_left_in_time(security: str) -> None:
    with MailServer() as server:
        server.pause = 0.05
        server.replies["EHLO"] = "250-" + "x" * 100_000
        assert failing(mailer(server, security, seconds=0.3)).reason == "timeout"


def test_a_server_that_ends_without_manners_has_the_message_all_the_same() -> None:
    with MailServer() as server:
        server.replies["QUIT"] = "421 too late"
        mailer(server, "none").send(NOTICE)
        assert len(server.mails) == 1


# ---------------------------------------------------------------- webhook


class Receiver(LoopbackServer):
    """Takes notices, or answers as it is told."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self.taken: list[Request] = []
        self.response = Response(204)

    def answer(self, request: Request) -> Response:
        if self.response.status < 300:
            self.taken.append(request)
        return self.response


@dataclass
class Hook:
    receiver: Receiver
    notifier: WebhookNotifier
    secret: str


@pytest.fixture
def hook() -> Iterator[Hook]:
    secret = webhook_secret()
    with Receiver() as receiver:
        edge = HttpEdge(receiver.url)
        yield Hook(receiver, WebhookNotifier(edge, "/hooks", secret, lambda: datetime.now(UTC)), secret)
        edge.close()


@pytest.mark.parametrize("judge", [Webhook, OtherWebhook])
def test_a_notice_is_signed_as_standard_webhooks_says(hook: Hook, judge: type[Webhook]) -> None:
    hook.notifier.send(NOTICE)
    (request,) = hook.receiver.taken
    judge(hook.secret).verify(request.body, dict(request.headers))
    assert (request.method, request.path) == ("POST", "/hooks")
    assert json.loads(request.body) == {
        "type": "skolebro.notice.opened",
        "timestamp": "2026-08-11T06:00:00+00:00",
        "data": {
            "municipality": "101",
            "subject": NOTICE.subject,
            "text": NOTICE.text,
            "holds": [
                {
                    "hold": 7,
                    "subject": "snapshot",
                    "institution": "101001",
                    "target": None,
                    "reasons": ["shrunken"],
                    "counts": {"person.deleted": 12},
                    "opened_at": "2026-08-11T06:00:00+00:00",
                }
            ],
        },
    }


def test_a_changed_notice_does_not_pass(hook: Hook) -> None:
    hook.notifier.send(NOTICE)
    (request,) = hook.receiver.taken
    with pytest.raises(Exception, match="signature"):
        Webhook(hook.secret).verify(request.body.replace(b"12", b"13"), dict(request.headers))


def test_while_secrets_change_either_one_will_do(hook: Hook) -> None:
    new = webhook_secret()
    edge = HttpEdge(hook.receiver.url)
    WebhookNotifier(edge, "/", f"{new}\n{hook.secret}", lambda: datetime.now(UTC)).send(NOTICE)
    edge.close()
    (request,) = hook.receiver.taken
    for secret in (new, hook.secret):
        Webhook(secret).verify(request.body, dict(request.headers))


def test_a_repeat_carries_the_same_webhook_id(hook: Hook) -> None:
    for _ in range(2):
        hook.notifier.send(NOTICE)
    assert [request.headers["webhook-id"] for request in hook.receiver.taken] == ["notice-1", "notice-1"]


@pytest.mark.parametrize("status", [302, 400, 401, 404, 410, 429, 500, 503])
def test_any_other_answer_is_a_failure(hook: Hook, status: int) -> None:
    hook.receiver.response = Response(status, b"Kanarina", {"Retry-After": "120", "Location": "/elsewhere"})
    with pytest.raises(NoticeFailed) as caught:
        hook.notifier.send(NOTICE)
    assert (caught.value.reason, caught.value.retry_after) == (f"status_{status}", timedelta(seconds=120))
    assert "Kanarina" not in str(caught.value)


def test_a_receiver_with_a_strange_certificate_is_told_nothing(tls: ssl.SSLContext) -> None:
    with Receiver(tls) as receiver:
        edge = HttpEdge(receiver.url)
        with pytest.raises(NoticeFailed) as caught:
            WebhookNotifier(edge, "/", webhook_secret(), lambda: NOW).send(NOTICE)
        edge.close()
        assert caught.value.reason == "tls_failed"
        assert receiver.arrivals == 0


# ---------------------------------------------------------------- the real command

PLANTED = {
    "FirstName": "Kanårina",
    "FamilyName": "Fuglekvæddersen",
    "CivilRegistrationNumber": "3112994987",
    "UserId": "kanaa001",
}


def told_world(root: Path, **notices: Any) -> World:
    return World(root, institutions=["101001"], sections={"notices": notices})


def by_mail(server: MailServer, **more: Any) -> dict[str, Any]:
    return {
        "server": "127.0.0.1",
        "port": server.port,
        "security": "none",
        "sender": SENDER,
        "to": [IT],
        "timeout": "10s",
        **more,
    }


def hold_one(world: World) -> set[str]:
    """Let a school lose nearly everybody, a planted pupil among them; returns the user ids of all of them."""
    export = Export.of(DAYS[0] / "101001.xml").cut(10)
    for name, text in PLANTED.items():
        export.set(export.person(export.pupils[-1]), name, text)
    world.drop_bytes("101001.xml", export.bytes())
    world.sync()
    users = {row[0] for row in world.rows("SELECT person FROM entities WHERE kind = 'contribution'")}
    shrunken = Export.of(DAYS[0] / "101001.xml").cut(1)
    world.drop_bytes("101001.xml", shrunken.bytes())
    return users


def test_a_sync_tells_once_by_mail_and_webhook_and_names_nobody(tmp_path: Path) -> None:
    secret = webhook_secret()
    with MailServer() as server, Receiver() as receiver:
        world = told_world(tmp_path)
        hook = {"base_url": receiver.url, "path": "/in", "secret_file": world.secret("hook", secret)}
        world.settings["notices"] = {"mail": by_mail(server), "webhook": hook}
        world.write()
        users = hold_one(world)
        assert server.mails == []
        result = world.run("sync").ended(0)
        for _ in range(2):
            world.run("sync").ended(0)
        (mail,), (request,) = server.mails, receiver.taken
    (hold,) = world.holds()
    assert PLANTED["UserId"] in {*users} & {*hold["people"]}
    assert "skolebro holds show 1" in mail.text
    Webhook(secret).verify(request.body, dict(request.headers))
    everything = (
        str(mail.message["Subject"])
        + mail.content.decode()
        + server.text
        + request.body.decode()
        + result.stderr
        + result.stdout
    )
    assert not [word for word in {*users, *PLANTED.values()} if word in everything]


def test_a_sync_whose_mail_server_is_down_says_so_and_does_its_work_all_the_same(tmp_path: Path) -> None:
    server = MailServer().start()
    server.stop()
    world = told_world(tmp_path, mail=by_mail(server))
    hold_one(world)
    result = world.run("sync").ended(0)
    assert "nobody answers there" in result.stderr and "skolebro holds list" in result.stderr
    assert len(world.holds()) == 1
    with server:
        world.run("sync").ended(0)
        assert len(server.mails) == 1
        world.run("sync").ended(0)
        assert len(server.mails) == 1


def test_a_test_notice_shows_whether_people_can_be_told(tmp_path: Path) -> None:
    with MailServer() as server:
        world = told_world(tmp_path, mail=by_mail(server), console_url="https://skolebro.example")
        assert "handed over" in world.run("notices", "test").ended(0).stdout
        assert "test of notices for Prøveby (0751)" in str(server.mails[0].message["Subject"])
        assert "https://skolebro.example" in server.mails[0].text
        world.municipality["notices"] = {"to": [SCHOOL]}
        world.write()
        assert world.run("notices", "test", "--json").ended(0).json == {"ways": {"mail": "sent"}, "problems": []}
        assert server.mails[1].recipients == (SCHOOL,)
    assert world.run("notices", "test", "--json").ended(1).json["ways"] == {"mail": "connect_failed"}


def test_a_test_without_anybody_to_tell_says_what_is_missing(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert "notices: missing" in world.run("notices", "test").ended(2).stderr


def test_a_check_tries_the_mail_server_and_sends_nothing(tmp_path: Path) -> None:
    with MailServer() as server:
        world = told_world(tmp_path)
        hook = {"base_url": "https://127.0.0.1:9", "secret_file": world.secret("hook", webhook_secret())}
        world.settings["notices"] = {"mail": by_mail(server), "webhook": hook}
        world.write()
        found = {one["name"]: one for one in checked(world, 0)}
        assert found["notices mail"]["text"] == "works"
        assert "not tried" in found["notices webhook"]["text"]
        assert server.mails == []
        assert server.heard
    found = {one["name"]: one for one in checked(world, 1)}
    assert "nobody answers there" in found["notices mail"]["text"]
    assert world.run("check", "--offline").ended(0)


def checked(world: World, code: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.run("check", "--json").ended(code).json
    return found


def test_a_hostile_name_of_a_municipality_adds_no_header_to_what_is_sent(tmp_path: Path) -> None:
    with MailServer() as server:
        world = told_world(tmp_path, mail=by_mail(server))
        world.municipality["name"] = "By\r\nBcc: all@example.com\r\n\r\nEvil"
        world.write()
        world.run("notices", "test").ended(0)
        (mail,) = server.mails
    assert mail.recipients == (IT,)
    assert mail.message["Bcc"] is None
    assert "Evil" in str(mail.message["Subject"])


def test_a_mistake_that_is_found_when_it_is_used_stops_a_sync_before_anything_is_taken_in(tmp_path: Path) -> None:
    with MailServer() as server:
        world = told_world(tmp_path, mail=by_mail(server))
        (tmp_path / "hook").write_text(webhook_secret())
        (tmp_path / "hook").chmod(0o644)
        world.settings["notices"]["webhook"] = {"base_url": "https://127.0.0.1:9", "secret_file": "hook"}
        world.write()
        assert "notices.webhook.secret_file" in world.run("sync").ended(2).stderr
        (tmp_path / "hook").chmod(0o600)
        world.settings["notices"]["webhook"]["base_url"] = "http://alarm.example"
        world.write()
        assert "notices.webhook.base_url must begin with https" in world.run("sync").ended(2).stderr
        assert world.rows("SELECT * FROM runs") == []


@pytest.mark.slow
def test_the_daemon_tells_of_a_hold_while_it_goes_on_and_tells_it_once_over_restarts(tmp_path: Path) -> None:
    server = MailServer().start()
    server.stop()
    world = told_world(tmp_path, mail=by_mail(server))
    world.settings["web"] = {"listen": "127.0.0.1:0"}
    world.write()
    hold_one(world)
    with Daemon(world.config) as daemon:
        daemon.start().wait_until_ready()
        daemon.wait_until(lambda: bool(daemon.logged("notice.failed")), "the mail server is found to be down")
        assert len(world.holds()) == 1
        assert daemon.stop() == 0
        with server:
            daemon.start().wait_until_ready()
            assert server.wait_for(1)
            daemon.wait_until(lambda: bool(world.holds()[0]["notified_at"]), "it is written down")
            assert daemon.stop() == 0
            daemon.start().wait_until_ready()
            daemon.wait_until(lambda: daemon.status()["municipalities"] != [], "its status is shown")
            assert daemon.stop() == 0
            assert len(server.mails) == 1
        assert [line["way"] for line in daemon.logged("notice.sent")] == ["mail"]
        assert len(daemon.logged("notice.failed")) == 1
    assert MUNICIPALITY in str(server.mails[0].message["Subject"])

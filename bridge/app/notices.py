"""The ways to people that a configuration names, and whoever tells them of holds."""

from __future__ import annotations

from datetime import timedelta

from bridge.app.bridge import Bridge
from bridge.config import MailSection, WebhookSection, explained, secret_reader
from bridge.engine.asking import GoOn, always
from bridge.engine.notice_texts import Writer
from bridge.engine.notices import Notices, NoticeWitness, Way, hand_over
from bridge.ports import Notifier

_PACE = timedelta(minutes=10)


def make_notices(bridge: Bridge, witness: NoticeWitness, go_on: GoOn = always) -> Notices | None:
    """Return whoever tells people, None where nobody is to be told; secrets are read. Raises `ConfigError`."""
    settings = bridge.settings.notices
    if settings is None:
        return None
    ways = []
    if settings.mail is not None:
        ways.append(Way("mail", _mail(bridge, settings.mail)))
    if settings.webhook is not None:
        ways.append(Way("webhook", _webhook(bridge, settings.webhook)))
    return Notices(
        store=bridge.store,
        ways=ways,
        writer=Writer({one.code: one.name for one in bridge.settings.municipalities}, settings.console_url),
        witness=witness,
        now=bridge.clock.now,
        chance=bridge.clock.random,
        remind_after=settings.remind_after,
        go_on=go_on,
    )


def unhurried(bridge: Bridge, notices: Notices) -> Notices:
    """The same for a daemon: what is found in one pass, or soon after, is told together."""
    notices.pace, notices.is_busy = _PACE, lambda code: code in bridge.in_pass
    return notices


def untold(notices: Notices) -> list[str]:
    """Plain sentences for the ways in which people could not be told."""
    return [f"notices by {way.name}: {way.failure}" for way in notices.ways if way.failure is not None]


def send_test(bridge: Bridge, notices: Notices, municipality: str) -> list[str]:
    """Send a test notice for one municipality in every way; returns plain sentences for what failed."""
    notice = notices.writer.test(municipality, bridge.clock.new_id(), bridge.clock.now())
    for way in notices.ways:
        hand_over(notices, way, notice)
    return untold(notices)


def _mail(bridge: Bridge, mail: MailSection) -> Notifier:
    from bridge.adapters.notify_mail import MailNotifier, MailServer  # half of the verbs tell nobody

    own = {one.code: one.recipients for one in bridge.settings.municipalities if one.recipients is not None}
    with explained(bridge.settings.path, "notices.mail", mail):
        login = None
        if mail.user_name is not None and mail.password_file is not None:
            login = (mail.user_name, secret_reader(mail)(mail.password_file))
        server = MailServer(mail.server, mail.at_port, mail.security, login, mail.ca_file, mail.timeout)
        return MailNotifier(server, mail.sender, mail.to, own)


def _webhook(bridge: Bridge, webhook: WebhookSection) -> Notifier:
    from bridge.adapters.http import HttpEdge
    from bridge.adapters.notify_webhook import WebhookNotifier

    with explained(bridge.settings.path, "notices.webhook", webhook):
        secrets = secret_reader(webhook)(webhook.secret_file)
        http = HttpEdge(webhook.base_url, timeout=webhook.timeout, ca_file=webhook.ca_file)
        return WebhookNotifier(http, webhook.path, secrets, bridge.clock.now)

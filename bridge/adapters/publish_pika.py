"""An event counts as published when RabbitMQ has confirmed it, and never before."""

# mypy: disable-error-code="import-untyped"
# (pika ships no types)
from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

import msgspec
from pika import URLParameters
from pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from bridge.adapters.pika_session import Broken, Message, Session
from bridge.domain.errors import ConfigError, ContractBroken, TargetError, TargetUnauthorised, TargetUnavailable
from bridge.domain.events import Event, attributes, routing_key
from bridge.domain.lazily import Lazily
from bridge.ports import Sent

CONTENT_TYPE = "application/cloudevents+json"
_REFUSED = (AuthenticationError, ProbableAuthenticationError, ProbableAccessDeniedError)
_ACCESS_REFUSED, _PRECONDITION_FAILED = 403, 406


class PikaPublisher:
    """`EventPublisher` on a durable RabbitMQ topic exchange, which it declares.

    A message is one CloudEvent in structured form, persistent; its message id is the event's, so that a
    repeat is recognised, and its routing key is ``<municipality>.<entity>.<operation>``. Used by one
    thread at a time; the connection stays open between calls and is replaced when it broke.
    """

    def __init__(
        self,
        url: str,
        exchange: str = "skolebro.events",
        *,
        window: int = 1_000,
        timeout: timedelta = timedelta(seconds=30),
        mandatory: bool = True,
    ) -> None:
        """Connects at first use.

        `url` holds the credentials and is never shown. `window`: how many events may be unconfirmed at
        once. `timeout`: for connecting, and for a whole call of `publish`. `mandatory`: an event that no
        queue takes comes back and counts as not published; turn it off where nobody listening is fine.
        Raises `ConfigError` when the URL is none.
        """
        self._parameters = parameters_of(url, timeout)
        self._exchange, self._window, self._mandatory = exchange, window, mandatory
        self._timeout = timeout.total_seconds()
        self._session: Session | None = None

    def publish(self, events: Sequence[Event]) -> Sent:
        """Publish in order and say how many of the first are settled; the rest may have arrived or not.

        Raises `TargetUnavailable` when not even the first is (its reason is closed, nack, timeout or
        unreachable), `TargetUnauthorised`, or `ContractBroken` when the exchange exists with other properties.
        """
        messages = Lazily(events, _message)  # made while the broker is at work on those before
        is_reused = self._session is not None
        try:
            return self._attempt(messages)
        except Broken as error:
            if not (is_reused and error.reason == "closed"):
                raise _translated(error, self._exchange) from error
        try:  # the connection had ended while nobody looked
            return self._attempt(messages)
        except Broken as error:
            raise _translated(error, self._exchange) from error

    def close(self) -> None:
        """Say goodbye to the broker; may be called twice."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _attempt(self, messages: Sequence[Message]) -> Sent:
        if not messages:
            return Sent(0)
        try:
            session = self._session = self._session or Session(self._parameters, self._exchange, self._timeout)
            settled = session.publish(messages, self._window, self._mandatory, self._timeout)
        except AMQPError as error:
            self.close()
            raise Broken("closed") from error
        if settled.must_reconnect:
            self.close()
        if settled.settled == 0:
            raise settled.trouble or Broken("timeout")
        return Sent(settled.settled, frozenset(i for i in settled.unrouted if i < settled.settled))


def _message(event: Event) -> Message:
    told = attributes(event)
    body = msgspec.json.encode({**told, "data": msgspec.Raw(event.data)})
    return Message(event.id, event.type, routing_key(event), CONTENT_TYPE, told["traceparent"], body)


def parameters_of(url: str, timeout: timedelta) -> URLParameters:
    """Read the broker's URL, without quoting it. Raises `ConfigError`."""
    whole = re.sub(r"(?<=[^/:])//$", "/%2F", url)  # kombu's way to write the virtual host "/"
    try:
        if not whole.startswith(("amqp://", "amqps://")):
            raise ValueError
        parameters = URLParameters(whole)
    except Exception:
        raise ConfigError("the broker's URL is not amqp://<user>:<password>@<host>:<port>/<vhost>") from None
    # Between two calls nobody turns the loop, so a heartbeat could not be answered.
    parameters.heartbeat = 0
    parameters.connection_attempts = 1
    parameters.socket_timeout = parameters.stack_timeout = timeout.total_seconds()
    parameters.client_properties = {"connection_name": "skolebro events"}
    return parameters


def _translated(error: Broken, exchange: str) -> TargetError:
    cause = error.__cause__
    if error.code == _PRECONDITION_FAILED:
        return ContractBroken(f"the exchange {exchange} exists, but not as a durable topic exchange")
    if error.code == _ACCESS_REFUSED or isinstance(cause, _REFUSED):
        return TargetUnauthorised("the broker refuses our credential, or what it may do")
    return TargetUnavailable(error.reason)

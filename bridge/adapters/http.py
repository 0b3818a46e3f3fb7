"""One remote system behind one kept connection: a request ends in a complete answer or in `TargetUnavailable`."""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Condition, Lock, Thread
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests
import requests.adapters
import requests.structures
import requests.utils
import tenacity
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, IncompleteRead, InvalidChunkLength, NewConnectionError

from bridge.connector import HttpResponse
from bridge.domain.errors import ConfigError, TargetUnavailable

REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
"""RFC 9110 §9.2.2: doing it twice is doing it once."""

CONNECT_FAILED, CONNECTION_LOST, ANSWER_CUT = "connect_failed", "connection_lost", "answer_cut"
TIMEOUT, TLS_FAILED, TOO_LARGE = "timeout", "tls_failed", "answer_too_large"
MALFORMED, REQUEST_INVALID = "answer_malformed", "request_invalid"

TRIES = 3
BLINK = timedelta(seconds=10)
_CHUNK = 64 * 1024

Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]
Observer = Callable[[str, str, float], None]


class HttpEdge:
    """`bridge.connector.Http` over requests: TLS 1.2 or later and always verified, no redirect followed.

    `timeout` is the deadline of a whole request, its blink retries included (only a name service that
    hangs is out of its reach); `connect_timeout` is that of one connection attempt. `headers` (or what
    they return) go with every request. `ca_file` replaces the public certificate authorities;
    `client_cert` are files with certificate and key, `client_identity` a PEM of chain and encrypted key with
    the key's password. `observer` hears of each request once: method, status class
    ("2xx") or reason of failure, seconds.

    One thread uses an edge at a time; a second one waits.

    Raises `ConfigError` for a base URL with user information, a query or a scheme other than https (http is
    for loopback only), and for certificate files that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: timedelta = timedelta(seconds=30),
        connect_timeout: timedelta = timedelta(seconds=5),
        headers: Headers | None = None,
        ca_file: Path | None = None,
        client_cert: tuple[Path, Path] | None = None,
        client_identity: tuple[bytes, bytes] | None = None,
        max_body: int = 16 * 1024 * 1024,
        proxy: str | None = None,
        observer: Observer | None = None,
        before: Callable[[], None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = _checked(base_url)
        self._timeout = timeout.total_seconds()
        self._connect_timeout = connect_timeout.total_seconds()
        self._headers = headers or {}
        self._max_body = max_body
        self._observer = observer
        self._before = before
        self._sleep = sleep
        self._clock = clock
        self._lock = Lock()
        self._line = _Line()
        self._session = _session(_Adapter(self._line, _tls(ca_file, client_cert, client_identity)), proxy)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        repeatable: bool | None = None,
    ) -> HttpResponse:
        """Send one request to `path` below the base URL and return whatever status came back.

        A broken connection is tried again (3 times and 10 s in all) where a repeat does no harm
        (`repeatable`, by default RFC 9110 §9.2.2) or where no connection was made in the first place.

        Raises:
            TargetUnavailable: no complete answer came; `reason` is a code, and no text or cause quotes
                the query, a header or a body.
        """
        is_repeatable = method in REPEATABLE if repeatable is None else repeatable
        with self._lock:
            began = self._clock()
            result = REQUEST_INVALID
            try:
                with self._line.deadline(self._timeout):
                    answer = self._retrying(is_repeatable)(
                        self._try, method, self._base + path, headers, params, body, began + self._timeout
                    )
                result = f"{answer.status // 100}xx"
            except TargetUnavailable as error:
                result = error.reason
                raise
            finally:
                if self._observer is not None:
                    self._observer(method, result, self._clock() - began)
        return answer

    def close(self) -> None:
        """Hang up; the next request would connect anew."""
        with self._lock:
            self._session.close()
            self._line.end()

    def _retrying(self, is_repeatable: bool) -> tenacity.Retrying:
        blinks = {CONNECT_FAILED, CONNECTION_LOST, ANSWER_CUT} if is_repeatable else {CONNECT_FAILED}
        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_before_delay(BLINK),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=3),
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, TargetUnavailable) and e.reason in blinks),
            sleep=self._sleep,
            reraise=True,
        )

    def _try(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        params: Mapping[str, str] | None,
        body: bytes | None,
        until: float,
    ) -> HttpResponse:
        left = max(until - self._clock(), 0.001)
        all_headers = {**self._fixed_headers(), **(headers or {})}
        self._before()
        reason = TIMEOUT
        try:
            with self._session.request(
                method,
                url,
                params=params,
                data=body,
                headers=all_headers,
                timeout=(min(self._connect_timeout, left), left),
                allow_redirects=False,
                stream=True,
            ) as response:
                answer = self._read(response)
            # A connection that our own deadline shut looks like the natural end of a body without a length.
            if not self._line.is_over:
                return answer
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            reason = _reason(error)
        except TargetUnavailable as error:
            reason = error.reason
        except OSError:
            reason = CONNECTION_LOST
        except ValueError:
            reason = REQUEST_INVALID
        finally:
            self._line.release()
        # Raised out here, without a cause: the libraries' texts quote the URL with its query, and headers.
        raise TargetUnavailable(TIMEOUT if self._line.is_over else reason)

    def _fixed_headers(self) -> Mapping[str, str]:
        return self._headers() if callable(self._headers) else self._headers

    def _read(self, response: requests.Response) -> HttpResponse:
        body = bytearray()
        while chunk := response.raw.read(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > self._max_body:
                raise TargetUnavailable(TOO_LARGE)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(response.status_code, headers, bytes(body))


class _Line:
    """The one connection of an edge, held by a second handle so that a deadline can cut it at any time.

    requests' timeouts are for each read, so a server that sends a byte now and then holds us for ever.
    The handle is a duplicate, because the TLS layer takes the original over while it shakes hands.
    One thread watches over request after request: a timer for each would cost half as much as the request.
    """

    def __init__(self) -> None:
        self._lock = Condition()
        self._handle: socket.socket | None = None
        self._is_hung_up = False
        self._until: float | None = None
        self._watcher: Thread | None = None
        self.is_over = False

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Cut whatever connection there is after `seconds`, unless the block is left before."""
        with self._lock:
            self._until, self.is_over = time.monotonic() + seconds, False
            if self._watcher is None:
                self._watcher = Thread(target=self._watch, name="http-deadline", daemon=True)
                self._watcher.start()
        try:
            yield
        finally:
            with self._lock:
                self._until = None

    def hold(self, connection: socket.socket) -> socket.socket:
        """Take a new connection in hand; one that was made too late is closed.

        Raises:
            TimeoutError: the deadline has passed.
        """
        self.drop()
        with self._lock:
            if self.is_over:
                connection.close()
                raise TimeoutError
            self._handle, self._is_hung_up = connection.dup(), False
        return connection

    def hang_up(self) -> None:
        """Note that the connection was closed; its last answer may still be read to the end."""
        self._is_hung_up = True

    def release(self) -> None:
        """Let go of a connection that was closed: else the other side would not hear of it."""
        if self._is_hung_up:
            self.drop()

    def drop(self) -> None:
        """Let go of the connection, whatever its state."""
        with self._lock:
            if self._handle is not None:
                self._handle.close()
                self._handle = None

    def end(self) -> None:
        """Let go of the connection and of the watching thread."""
        self.drop()
        with self._lock:
            self._lock.notify_all()

    def _watch(self) -> None:
        """Sleep from deadline to deadline, and end when nothing runs.

        All deadlines of a line are equally long, so the next one is never before the one slept for.
        """
        with self._lock:
            while self._until is not None:
                left = self._until - time.monotonic()
                if left > 0:
                    self._lock.wait(left)
                else:
                    self._cut()
            self._watcher = None

    def _cut(self) -> None:
        self._until, self.is_over = None, True
        if self._handle is not None:
            with suppress(OSError):  # the other side was first
                self._handle.shutdown(socket.SHUT_RDWR)


class _Adapter(requests.adapters.HTTPAdapter):
    """requests' adapter with our connection classes and our TLS context, behind a proxy too."""

    def __init__(self, line: _Line, tls: ssl.SSLContext) -> None:
        self._pools = _pools(line)
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        place, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return place, {"ssl_context": self._tls}

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Nothing more to say: the TLS context verifies, and knows the only authorities that count."""


def _pools(line: _Line) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return line.hold(super()._new_conn())

        def close(self) -> None:
            super().close()
            line.hang_up()

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return line.hold(super()._new_conn())

        def close(self) -> None:
            super().close()
            line.hang_up()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class _Session(requests.Session):
    """A session that never sees a redirect as one, so it neither follows nor reads ahead."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


def _session(adapter: _Adapter, proxy: str | None) -> requests.Session:
    # Its records quote URLs with their query, and headers: both may name a person.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    session = _Session()
    session.trust_env = False  # no proxy, no .netrc and no authority that the configuration does not name
    session.headers = requests.structures.CaseInsensitiveDict(
        {"User-Agent": "skolebro", "Accept": "*/*", "Accept-Encoding": "identity"}
    )
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    session.proxies = {"http": proxy, "https": proxy} if proxy else {}
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _tls(
    ca_file: Path | None, client_cert: tuple[Path, Path] | None, identity: tuple[bytes, bytes] | None
) -> ssl.SSLContext:
    """Return a verifying context. Raises `ConfigError` naming the file that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authorities = ca_file or Path(requests.utils.DEFAULT_CA_BUNDLE_PATH)
    try:
        context.load_verify_locations(cafile=authorities)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{authorities} holds no certificate authorities in PEM form") from error
    if client_cert is not None:
        try:
            # An empty password, or OpenSSL would ask for one on the terminal.
            context.load_cert_chain(*client_cert, password="")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{client_cert[0]} and {client_cert[1]} are not a certificate and its unencrypted key in PEM form"
            ) from error
    if identity is not None:
        _load_identity(context, *identity)
    return context


def _load_identity(context: ssl.SSLContext, pem: bytes, password: bytes) -> None:
    """OpenSSL reads chains from files only: this one is gone at once, and its key is encrypted meanwhile."""
    with NamedTemporaryFile(suffix=".pem") as file:
        file.write(pem)
        file.flush()
        try:
            context.load_cert_chain(file.name, password=password)
        except (OSError, ValueError) as error:
            raise ConfigError("the certificate and its key cannot be used for TLS") from error


def _checked(base_url: str) -> str:
    """Return the base URL without a closing slash. The texts never quote it: it may hold a password."""
    parts = _split(base_url)
    if parts is None or not parts.hostname:
        raise ConfigError("base_url must be https://host[:port][/path]")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("base_url must not hold a user name or password: name a secret file instead")
    if parts.query or parts.fragment:
        raise ConfigError("base_url must end with its path")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ConfigError("base_url must begin with https:// (http:// is for loopback addresses only)")
    return base_url.rstrip("/")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port else None
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: BaseException) -> str:
    """Say in one word why no answer came, from the most telling error that the libraries wrapped."""
    reasons = {reason for cause in _wrapped(error) for kind, reason in _REASONS if isinstance(cause, kind)}
    return next((reason for _, reason in _REASONS if reason in reasons), REQUEST_INVALID)


_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    # Before what is more general. A connection attempt that timed out is no time-out of the request.
    (NewConnectionError, CONNECT_FAILED),
    (ConnectTimeoutError, CONNECT_FAILED),
    (ssl.SSLError, TLS_FAILED),
    (urllib3.exceptions.SSLError, TLS_FAILED),
    (urllib3.exceptions.ReadTimeoutError, TIMEOUT),
    (TimeoutError, TIMEOUT),
    (urllib3.exceptions.ProxyError, CONNECT_FAILED),
    (IncompleteRead, ANSWER_CUT),
    (InvalidChunkLength, ANSWER_CUT),
    (http.client.IncompleteRead, ANSWER_CUT),
    (http.client.RemoteDisconnected, CONNECTION_LOST),
    (ConnectionError, CONNECTION_LOST),
    (http.client.HTTPException, MALFORMED),
    (urllib3.exceptions.DecodeError, MALFORMED),
    (urllib3.exceptions.InvalidHeader, MALFORMED),
    (OSError, CONNECTION_LOST),
)


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it carries: requests puts urllib3's error in `args`, that one in `reason`.

    requests' own are left out: each of them is an OSError, whatever happened.
    """
    if not isinstance(error, requests.RequestException):
        yield error
    for inner in (*error.args, getattr(error, "reason", None), getattr(error, "original_error", None)):
        if isinstance(inner, BaseException) and inner is not error:
            yield from _wrapped(inner)

"""One request and its answer: sessions, headers, the reading of a body within its bounds. Nothing here repeats anything."""

import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from urllib3.connectionpool import ConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from models.errors import SetupError, TransientError
from tasks.adapters.scm.connections import ON_THE_WAY, trouble
from tasks.adapters.scm.credentials import ClientCertificate
from tasks.adapters.scm.values import Unreadable, integer

LARGEST_BODY = 32 * 1024 * 1024
LARGEST_ERROR_BODY = 1024 * 1024
CHUNK = 64 * 1024
KINDS_OF_HEADERS = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of SCM."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises: Unreadable, which names the content type."""
        try:
            return json.loads(self.body, strict=False)
        except (ValueError, RecursionError):
            raise Unreadable(f"it is no JSON but {self.content_type()}") from None

    def object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises: Unreadable."""
        found = self.json()
        if not isinstance(found, dict):
            raise Unreadable("it is no JSON object")
        return found

    def content_type(self) -> str:
        """For messages: what the body says it is."""
        given = "".join(letter for letter in self.headers.get("Content-Type", "") if letter.isprintable())[:80]
        return given or "of no stated type" if self.body else "empty"

    def retry_after(self) -> float | None:
        """Seconds that SCM asks to wait, by number or date."""
        given = self.headers.get("Retry-After", "").strip()
        if (seconds := integer(given)) is not None:
            return float(max(seconds, 0))
        try:
            until = parsedate_to_datetime(given)
        except (ValueError, TypeError, IndexError):
            return None
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max((until - datetime.now(UTC)).total_seconds(), 0.0)

    def total(self) -> int | None:
        """`X-Total-Count` (contract 3)."""
        found = integer(self.headers.get("X-Total-Count"))
        return found if found is not None and found >= 0 else None


class NoAuth(AuthBase):
    """Being an `auth`, it keeps requests from looking into a .netrc file."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _encoded(value: str) -> str | bytes:
    """http.client writes Latin-1; what does not fit goes as UTF-8."""
    return value if value.isascii() else value.encode("latin-1" if _fits_latin_1(value) else "utf-8")


def _fits_latin_1(value: str) -> bool:
    return max(map(ord, value), default=0) < 256


class _Request(requests.PreparedRequest):
    """A request to SCM's address; `target` is what follows it."""

    target = ""


class _Adapter(HTTPAdapter):
    """requests' transport, which finds the way to SCM's address once: which pool, with which proxy and CA bundle, by which form of
    the address. All else that it sends, such as a request for a token, goes as ever."""

    _way: tuple[ConnectionPool, str] | None = None

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        if not isinstance(request, _Request):
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        if self._way is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            super().cert_verify(pool, request.url, verify, cert)    # type: ignore[no-untyped-call]  # requests publishes no type
            self._way = pool, super().request_url(request, proxies).removesuffix(request.target)
        return self._way[0]

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        if self._way is None or conn is not self._way[0]:
            super().cert_verify(conn, url, verify, cert)    # type: ignore[no-untyped-call]  # as above

    def request_url(self, request: Any, proxies: Any) -> str:
        known = isinstance(request, _Request) and self._way
        return f"{known[1]}{request.target}" if known else super().request_url(request, proxies)

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """No cookies, no guess at an encoding: nobody asks for them."""
        if not isinstance(req, _Request):
            return super().build_response(req, resp)
        response = requests.Response()
        response.status_code, response.headers, response.raw, response.request, response.url = resp.status, resp.headers, resp, req, req.url or ""
        return response

    def close(self) -> None:
        self._way = None
        super().close()


class _CertificateAdapter(_Adapter):
    """Speaks TLS with a client certificate, to SCM directly and through a proxy."""

    def __init__(self, context: ssl.SSLContext, *, pool: int) -> None:
        self._context = context
        super().__init__(pool_maxsize=pool, max_retries=0)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        return super().proxy_manager_for(proxy, **more, ssl_context=self._context)


class _Session(requests.Session):
    """Sees no redirect: requests would read its whole body and judge its target even when it is not to be followed."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - the name and the argument are requests'
        return None


def session(pool: int, certificate: ClientCertificate | None = None) -> requests.Session:
    """A session that keeps no cookies and repeats nothing; many threads may use it.

    Raises: SetupError when the client certificate cannot be used.
    """
    made = _Session()
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _CertificateAdapter(_context(certificate), pool=pool) if certificate else _Adapter(pool_maxsize=pool, max_retries=0)
    made.mount("https://", adapter)
    made.mount("http://", _Adapter(pool_maxsize=pool, max_retries=0))
    made.headers.clear()
    made.headers.update({"User-Agent": "certflow", "Accept-Encoding": "gzip, deflate"})
    return made


class Address:
    """SCM's address, spoken to by requests' own transport over kept connections; many threads may use it.

    What a session finds out anew for each call (proxies, the CA bundle, the form of the address) is found out once: it costs
    nearly as much processor time as the call itself. Cookies, redirects and .netrc files mean nothing here.
    """

    def __init__(self, base_url: str, session: requests.Session) -> None:
        self._base_url, self._session = base_url, session
        self._headers: dict[tuple[tuple[str, str], ...], CaseInsensitiveDict[str]] = {}

    def send(
        self, method: str, path: str, *, headers: Mapping[str, str], timeout: tuple[float, float], query: Mapping[str, str | int] | None = None,
        body: bytes | None = None,
    ) -> requests.Response:
        """The head of the answer to one request; its body is unread. Raises: what `trouble` understands."""
        base, adapter, environment = self._known
        request = _Request()
        request.target = f"{path}{'?' * bool(query)}{urlencode(query or {})}"
        request.method, request.url, request.body, request.hooks = method, f"{base}{request.target}", body, {}
        request.headers = self._prepared(headers)
        if body is not None:
            request.headers = CaseInsensitiveDict({**request.headers, "Content-Length": str(len(body))})
        return adapter.send(request, timeout=timeout, **environment)

    def _prepared(self, headers: Mapping[str, str]) -> CaseInsensitiveDict[str]:
        """The headers, proved to be fit for HTTP once: they are the same in call after call."""
        given = tuple(headers.items())
        if (known := self._headers.get(given)) is None:
            request = requests.PreparedRequest()
            request.prepare_headers({**self._session.headers, **{name: _encoded(value) for name, value in given}})
            if len(self._headers) >= KINDS_OF_HEADERS:    # tokens of OAuth2 come and go
                self._headers.clear()
            known = self._headers[given] = request.headers
        return known

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    @cached_property
    def _known(self) -> tuple[str, HTTPAdapter, dict[str, Any]]:
        address = requests.Request("GET", self._base_url).prepare().url or self._base_url
        adapter = self._session.get_adapter(address)
        assert isinstance(adapter, HTTPAdapter)  # noqa: S101 - it was mounted by `session`
        return address.rstrip("/"), adapter, dict(self._session.merge_environment_settings(address, {}, True, None, None))


def _context(certificate: ClientCertificate) -> ssl.SSLContext:
    context = create_urllib3_context()
    memory = os.memfd_create("certflow-client-certificate")    # OpenSSL reads files only; this one is never on a disk
    try:
        os.write(memory, f"{certificate.certificate.strip()}\n{certificate.key.strip()}\n".encode())
        # A password function keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(f"/proc/self/fd/{memory}", password=lambda: b"")
    except (ssl.SSLError, OSError, ValueError, TypeError) as error:
        raise SetupError(
            f"the account's client_certificate and client_key in Vault cannot be used ({type(error).__name__}): "
            "store a PEM certificate and its unencrypted PEM key"
        ) from None
    finally:
        os.close(memory)
    return context


def chunks(response: requests.Response, host: str, *, clock: Callable[[], float], seconds: float) -> Iterator[bytes]:
    """The decoded body, piece by piece as it arrives.

    `seconds` bounds the time spent waiting for SCM, not what the reader does in between. Raises: TransientError.
    """
    waited = 0.0
    while True:
        before = clock()
        try:
            piece = response.raw.read1(CHUNK, decode_content=True)
        except ON_THE_WAY as error:
            raise trouble(error, host) from None
        waited += clock() - before
        if not piece:
            return
        if waited > seconds:
            raise TransientError(f"{host} did not end its answer within {seconds:.0f} s: ask for less at once")
        yield piece


def whole(response: requests.Response, host: str, *, clock: Callable[[], float], seconds: float) -> Answer:
    """The answer with its body; an error body beyond its bound counts as none. Raises: TransientError."""
    failed = response.status_code >= 300
    most = LARGEST_ERROR_BODY if failed else LARGEST_BODY
    body = bytearray()
    for piece in chunks(response, host, clock=clock, seconds=seconds):
        body += piece
        if len(body) > most:
            if failed:
                body.clear()
                break
            raise TransientError(f"the answer of {host} is larger than {most // 1024 // 1024} MB: ask for less at once")
    return Answer(response.status_code, response.headers, bytes(body))

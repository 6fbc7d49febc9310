"""One call to Vault over hvac: timeouts, login, and every failure as a sentence in our words.

No call is repeated here, save once after a new AppRole login; TransientError is for the task layer.
"""

import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
from hvac.adapters import RawAdapter
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError

from models.errors import SetupError, TransientError
from tasks.adapters.vault.login import AppRole
from tasks.adapters.vault.parts import Answer
from tasks.adapters.vault.settings import VaultSettings

PRECONDITION_FAILED = 412
"""Vault Enterprise: this node has not seen the newest state yet."""

DR_SECONDARY = 472
"""Answer of `sys/health` on a disaster recovery secondary."""

READABLE = frozenset({200, 204, 400, 403, 404, 413, DR_SECONDARY})
"""The answers that callers look into; every other one is an error here."""

POOL_SIZE = 16


class AnswerLostError(TransientError):
    """A write was sent, and no answer came that says what became of it. The adapter looks before it tells its caller."""


class Wire:
    """Sends calls with a token and answers with Vault's JSON. Thread-safe."""

    def __init__(self, settings: VaultSettings, *, timeout: tuple[float, float], clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._session = _Session()
        self._session.verify = settings.ca_cert or True
        # Plain http must not leave this host: without this, HTTP_PROXY would take it to a proxy.
        self._session.trust_env = not settings.stays_on_this_host
        self._session.auth = _leave_as_is    # else requests would send what a .netrc file holds for this host
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=POOL_SIZE))
        # The adapter below hvac.Client, which would itself read the environment and ~/.vault-token.
        # A redirect is not followed: it would carry the token to another host.
        self._http = RawAdapter(base_uri=settings.url, session=self._session, timeout=timeout, allow_redirects=False)
        self._login = None if settings.token else AppRole(settings, self.send, clock)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def ask(
        self, method: str, path: str, *, json: Mapping[str, Any] | None = None, params: Mapping[str, str] | None = None,
        changes: bool = False,
    ) -> Answer:
        """Send with the token; after a 403 once more with a new AppRole login. The answer's status is one of `READABLE`.

        Raises: TransientError; AnswerLostError instead for a call that `changes` something and may have done so; SetupError.
        """
        token = self._settings.token or (self._login.token() if self._login else "")
        answer = self.send(method, path, json=json, params=params, token=token, changes=changes)
        if answer.status == requests.codes.forbidden and self._login:
            token = self._login.token(refused=token)
            answer = self.send(method, path, json=json, params=params, token=token, changes=changes)
        return answer

    def refused(self, answer: Answer, *, path: str, capability: str) -> NoReturn:
        """Say why a call got 403: the token, or the policy that lacks `capability` on `path`. Raises: SetupError."""
        lacks = f'its policy lacks "{capability}" on {path} (deployments/vault-policies/ has what is needed: worker.hcl, for consumers reader.hcl)'
        if self._login:
            raise SetupError(f"Vault refused the AppRole login's token: {lacks}", status=answer.status)
        ended = "Vault refused the token: it has ended or was revoked, or belongs to another namespace; set a new VAULT_TOKEN"
        if answer.says("invalid token"):
            raise SetupError(ended, status=answer.status)
        if not self.token_is_known():
            raise SetupError(f"{ended} (if it is still good, {lacks})", status=answer.status)
        raise SetupError(f"Vault refused the call: the token is good, but {lacks}", status=answer.status)

    def token_is_known(self) -> bool:
        """Vault knows the token and lets it look at itself."""
        return bool(self.ask("get", "auth/token/lookup-self").status == requests.codes.ok)

    def send(
        self, method: str, path: str, *, json: Mapping[str, Any] | None = None, params: Mapping[str, str] | None = None,
        token: str | None = None, in_namespace: bool = True, changes: bool = False,
    ) -> Answer:
        """Send once. Raises as `ask`."""
        headers = {"X-Vault-Token": token} if token else {}
        if in_namespace and self._settings.namespace:
            headers["X-Vault-Namespace"] = self._settings.namespace
        try:
            return self._read(self._http.request(
                method, f"v1/{path}", headers=headers, raise_exception=False, json=json, params=params))
        except AnswerLostError as lost:
            raise lost if changes else TransientError(str(lost), status=lost.status) from None
        except requests.exceptions.RequestException as error:
            found = self._unanswered(error)
            raise found if changes or not isinstance(found, AnswerLostError) else TransientError(str(found)) from None
        except OSError as error:
            raise SetupError(
                f"the trusted certificates for Vault cannot be read ({type(error).__name__}): look at VAULT_CACERT and REQUESTS_CA_BUNDLE"
            ) from None

    def _read(self, response: requests.Response) -> Answer:
        status, url = response.status_code, self._settings.url
        if 300 <= status < 400:
            raise SetupError(
                f"Vault at {url} redirects to {_host(response.headers.get('Location', ''))}: it may be a standby node; "
                "set VAULT_ADDR to the active node or to the address of the cluster", status=status,
            )
        answer = _parsed(response)
        if status == requests.codes.service_unavailable and answer and (answer.says("sealed") or answer.part("sealed")):
            raise TransientError(f"Vault at {url} is sealed: an operator must unseal it", status=status)
        if status == requests.codes.not_implemented:
            raise SetupError(f"Vault at {url} is not initialised: run `vault operator init`", status=status)
        if status == requests.codes.too_many_requests:
            raise TransientError(f"Vault at {url} answered 429: its rate limit quota is used up, try again later", status=status)
        if status == PRECONDITION_FAILED:
            raise TransientError(f"Vault at {url} has not caught up with its newest state (412): try again", status=status)
        if status == requests.codes.internal_server_error and answer and (answer.says("exceeds allowed") or answer.says("too large")):
            return Answer(requests.codes.request_entity_too_large, {})    # Vault 1.21 and its raft storage say it with 500
        if status >= 500:
            raise AnswerLostError(f"Vault at {url} answered {status}: see its log, or that of the proxy before it", status=status)
        if answer is None or status not in READABLE:
            raise SetupError(f"{url} does not answer like Vault ({status}): look at VAULT_ADDR and at proxies in between", status=status)
        if status == requests.codes.bad_request and answer.says("upgrading from non-versioned"):
            raise TransientError("Vault is upgrading the mount to versions: it answers again in a moment", status=status)
        if answer.says("no handler for route"):
            raise SetupError(
                f"Vault at {url} has nothing mounted there: set CERTFLOW_VAULT_MOUNT (now {self._settings.mount}) to a KV version 2 mount, "
                "and VAULT_NAMESPACE to its namespace", status=status,
            )
        return answer

    def _unanswered(self, error: requests.exceptions.RequestException) -> SetupError | TransientError:
        url, cause = self._settings.url, type(error).__name__
        if isinstance(error, requests.exceptions.SSLError):
            reason = _tls_reason(error)
            if "EOF" in reason:    # the other side hung up, as a restarting proxy does
                return AnswerLostError(f"the TLS connection to Vault at {url} was cut ({cause}): try again")
            return SetupError(
                f"the TLS connection to Vault at {url} failed ({reason}): set VAULT_CACERT to the certificate of its CA, and see that "
                "the address is one that its certificate names"
            )
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return TransientError(f"Vault at {url} cannot be reached in time ({cause}): look at VAULT_ADDR, the network and firewalls")
        if isinstance(error, requests.exceptions.Timeout):
            return AnswerLostError(f"Vault at {url} did not answer in time ({cause}): try again")
        if isinstance(error, requests.exceptions.ProxyError):
            return AnswerLostError(f"the proxy before Vault at {url} failed ({cause}): look at HTTPS_PROXY and NO_PROXY")
        if isinstance(error, requests.exceptions.ConnectionError):
            if isinstance(_root(error), NewConnectionError):
                return TransientError(f"Vault at {url} cannot be reached ({cause}): is it running, and is VAULT_ADDR right?")
            return AnswerLostError(f"the connection to Vault at {url} was cut before it answered ({cause}): try again")
        if isinstance(error, ValueError):    # InvalidURL, InvalidProxyURL, InvalidHeader, InvalidJSONError
            return SetupError(f"no call to Vault can be made from these settings ({cause}): look at VAULT_ADDR and the proxy variables")
        return AnswerLostError(f"the answer of Vault at {url} could not be read to its end ({cause}): try again")


class _Session(requests.Session):
    """Never looks where a redirect leads: requests does so even when it does not follow, and trips over a broken address."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - the signature of requests
        return None


def _leave_as_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _parsed(response: requests.Response) -> Answer | None:
    if response.status_code in {requests.codes.no_content, requests.codes.request_entity_too_large}:
        return Answer(response.status_code, {})
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return None
    return Answer(response.status_code, body) if isinstance(body, dict) else None


def _root(error: BaseException) -> object:
    """What urllib3 met, inside of what requests made of it."""
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", inner)


def _tls_reason(error: BaseException) -> str:
    root = _root(error)
    inner = root.args[0] if isinstance(root, Exception) and root.args else root
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message
    return (inner.reason or type(inner).__name__) if isinstance(inner, ssl.SSLError) else type(inner).__name__


def _host(location: str) -> str:
    try:
        parts = urlsplit(location)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "another address"
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else "another address"

"""What went wrong on the way to SCM, as a sentence that says what to do. The text of the cause may hold addresses with
passwords of a proxy, so only its class is named."""

import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3.exceptions

from models.errors import CertflowError, SetupError, TransientError

ON_THE_WAY = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError)
"""Whatever the sending or reading of one request raises."""

_CLIENT_CERTIFICATE_ALERTS = ("certificate_required", "certificate_unknown", "bad_certificate", "certificate_expired", "unknown_ca")


def trouble(error: BaseException, host: str) -> CertflowError:
    """SetupError where a person must act, else TransientError; nothing is said about whether SCM took the call."""
    causes = list(_causes(error))
    cause = causes[-1]
    named = f"({type(cause).__name__})"

    def any_is(*kinds: type[BaseException]) -> bool:
        return any(isinstance(one, kinds) for one in causes)

    if any("407" in str(one) for one in causes if isinstance(one, OSError)) and any_is(requests.exceptions.ProxyError):
        return SetupError(f"the proxy to {host} wants a login (407) {named}: set it in HTTPS_PROXY")
    if any_is(requests.exceptions.ProxyError, urllib3.exceptions.ProxyError):
        return TransientError(f"the proxy to {host} does not answer {named}: look at HTTPS_PROXY and NO_PROXY")
    if any_is(ssl.SSLCertVerificationError):
        return SetupError(f"the TLS certificate of {host} cannot be verified {named}: name the right CA bundle in REQUESTS_CA_BUNDLE")
    if any(alert in _reason(one) for one in causes for alert in _CLIENT_CERTIFICATE_ALERTS):
        return SetupError(f"{host} does not accept the account's client certificate {named}: register it in SCM, or renew it, and store it in Vault")
    if any_is(ssl.SSLError, urllib3.exceptions.SSLError, requests.exceptions.SSLError):
        return TransientError(f"no TLS connection to {host} {named}: look whether its address and port are right")
    if any_is(socket.gaierror, urllib3.exceptions.NameResolutionError):
        return TransientError(f"the name {host} is not known to DNS {named}: look at the account's base_url and at the name server")
    if any_is(ConnectionRefusedError):
        return TransientError(f"{host} refused the connection {named}: look whether its address and port are right, and the server runs")
    if any_is(requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError):
        return TransientError(f"{host} could not be reached in time {named}: look at the network and the firewall")
    if any_is(TimeoutError, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
        return TransientError(f"{host} did not answer in time {named}: try again, with less at once if it was a report")
    if any_is(urllib3.exceptions.InvalidHeader):    # of the answer: requests has a class of its own for ours
        return TransientError(f"the answer of {host} breaks the rules of HTTP {named}: try again, and look whether it is SCM")
    if any_is(requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader, UnicodeError):
        return SetupError(f"no request can be made for {host} {named}: look at the account's base_url, login and customer_uri in Vault")
    if any(type(one) is OSError and "CA certificate bundle" in str(one) for one in causes):
        return SetupError("REQUESTS_CA_BUNDLE names no file that can be read: correct it")
    return TransientError(f"the connection to {host} broke {named}: try again")


def _reason(error: BaseException) -> str:
    return (getattr(error, "reason", None) or "").lower() if isinstance(error, ssl.SSLError) else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what lies below it, each once, the outermost first."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        below = [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
        waiting += [found for found in below if isinstance(found, BaseException)]

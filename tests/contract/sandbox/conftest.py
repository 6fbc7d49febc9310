"""Ways to speak to the sandbox as a client of SCM would, without any code of ours."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

UNIVERSITY, MULTI_DOMAIN = 3100, 5201
ISSUED_SECONDS = 120


class Speaker:
    """Calls of one port with one login."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        self.base = base
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers.update(headers)

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        return self.http.request(method, self.base + path, json=body, timeout=30, allow_redirects=False, **more)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.call("GET", path, params=query)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def done(self, method: str, path: str, body: Any = None) -> None:
        answer = self.call(method, path, body)
        assert answer.status_code == 204, f"{path}: {answer.status_code} {answer.text[:500]}"

    def refusal(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, int]:
        """Status and code of a call that must be refused."""
        answer = self.call(method, path, body, **more)
        assert answer.status_code >= 400, f"{path}: {answer.status_code} {answer.text[:500]}"
        found = answer.json()
        assert found["description"]
        return answer.status_code, found["code"]

    def enroll(self, name: str = "www.example.com", **more: Any) -> int:
        answer = self.call("POST", "/ssl/v1/enroll", order_body(name, **more))
        assert answer.status_code == 200, answer.text
        return int(answer.json()["sslId"])

    def issued(self, ssl_id: int) -> dict[str, Any]:
        """Its details, once it is issued."""
        deadline = time.monotonic() + ISSUED_SECONDS
        while (details := self.get(f"/ssl/v1/{ssl_id}"))["status"] != "Issued":
            assert time.monotonic() < deadline, details
            time.sleep(0.02)
        return dict(details)

    def leaf(self, ssl_id: int) -> x509.Certificate:
        answer = self.call("GET", f"/ssl/v1/collect/{ssl_id}?format=x509CO")
        assert answer.status_code == 200, answer.text
        return x509.load_pem_x509_certificate(answer.content)

    def report(self, **asked: Any) -> dict[int, dict[str, Any]]:
        """The rows of a report by their number."""
        answer = self.call("POST", "/report/v1/ssl-certificates?output_type=buffered", asked)
        assert answer.status_code == 200, answer.text[:500]
        found = answer.json()
        assert found["statusCode"] == 0
        rows = {row["id"]: row for row in found["reports"]}
        assert len(rows) == len(found["reports"])
        return rows


def new_csr(common_name: str, key: Any = None, *, names: tuple[str, ...] = ()) -> str:
    """A request in PEM; P-256 unless a key is given."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def order_body(name: str = "www.example.com", **more: Any) -> dict[str, Any]:
    """What enroll wants; a value of None leaves a field out."""
    body = {"orgId": UNIVERSITY, "certType": MULTI_DOMAIN, "term": 90, "comments": "a test", **more}
    return {field: value for field, value in {"csr": new_csr(name), **body}.items() if value is not None}


@pytest.fixture
def body() -> Callable[..., dict[str, Any]]:
    return order_body


@pytest.fixture
def csr() -> Callable[..., str]:
    return new_csr


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def speak() -> Iterator[Callable[..., Speaker]]:
    """speak(base, headers): a client, closed after the test."""
    made: list[Speaker] = []

    def one(base: str, headers: dict[str, str]) -> Speaker:
        made.append(Speaker(base, headers))
        return made[-1]

    yield one
    for speaker in made:
        speaker.http.close()


@pytest.fixture
def login(sandbox: Any) -> dict[str, str]:
    """The headers of the sandbox's account."""
    account = sandbox.line["account"]
    return {"login": account["login"], "password": account["password"], "customerUri": account["customer_uri"]}


@pytest.fixture
def scm(sandbox: Any, login: dict[str, str], speak: Callable[..., Speaker]) -> Speaker:
    """The old host with a header login."""
    return speak(sandbox.line["scm"], login)


@pytest.fixture
def new_token(sandbox: Any) -> Callable[..., requests.Response]:
    """Asks for a bearer token."""
    def ask(**more: str) -> requests.Response:
        client = sandbox.line["client"]
        form = {"grant_type": "client_credentials", "client_id": client["client_id"], "client_secret": client["client_secret"], **more}
        with requests.Session() as http:
            http.trust_env = False
            return http.post(client["token_url"], data=form, timeout=30)
    return ask


@pytest.fixture
def admin_host(sandbox: Any, new_token: Callable[..., requests.Response], speak: Callable[..., Speaker]) -> Speaker:
    """The 25.9 host with a bearer token."""
    return speak(sandbox.line["scm_admin"], {"Authorization": f"Bearer {new_token().json()['access_token']}"})

"""Who may call: the admins of the account, their passwords and rights, and the OAuth2 client with its tokens."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from secrets import compare_digest, token_urlsafe

CUSTOMER_URI = "example-uni"
MRAO = "MRAO"
PRIVILEGES = (
    "autoApproveCertificates", "sslRequest", "sslRenew", "sslReplace", "sslRevoke", "sslApprove", "sslManage", "allowDCV",
    "allowManageDomains",
)
UNLIMITED = "NEVER_EXPIRE"


@dataclass(kw_only=True)
class Admin:
    """An admin of the account (contract 5.18)."""

    id: int
    login: str
    password: str
    email: str
    forename: str
    surname: str
    kind: str = "API"
    roles: list[tuple[str, int | None]] = field(default_factory=lambda: [(MRAO, None)])
    privileges: tuple[str, ...] = PRIVILEGES
    password_state: str = "ALIVE"
    password_expires: date | None = None
    suspended: bool = False
    failed_attempts: int = 0

    @property
    def name(self) -> str:
        return f"{self.forename} {self.surname}"

    @property
    def is_mrao(self) -> bool:
        return any(role == MRAO for role, _ in self.roles)


@dataclass(kw_only=True)
class Client:
    """The OAuth2 client: its secret, and the tokens that are valid."""

    client_id: str
    client_secret: str
    tokens: dict[str, datetime] = field(default_factory=dict)

    def new_token(self, until: datetime) -> str:
        token = token_urlsafe(32)
        self.tokens[token] = until
        return token

    def knows(self, token: str, now: datetime) -> bool:
        until = self.tokens.get(token)
        return until is not None and now < until


@dataclass(kw_only=True)
class Accounts:
    """All admins and the client. `own` is the admin of the printed account."""

    admins: dict[int, Admin]
    client: Client
    lock_after: int

    @property
    def own(self) -> Admin:
        return self.admins[71]

    def by_login(self, login: str) -> Admin | None:
        return next((one for one in self.admins.values() if one.login == login), None)

    def log_in(self, login: str, password: str, customer: str) -> Admin | None:
        """The admin, or None. A wrong password is counted, and too many of them lock the admin."""
        admin = self.by_login(login)
        if admin is None or customer != CUSTOMER_URI:
            return None
        locked = admin.suspended or admin.failed_attempts >= self.lock_after
        if locked or not compare_digest(admin.password.encode(), password.encode()):
            admin.failed_attempts += 1
            return None
        admin.failed_attempts = 0
        return admin


def start(today: date, *, password: str, client_secret: str, lock_after: int) -> Accounts:
    """The accounts at the start: an MRAO for the API, an approver, and somebody whose login is similar."""
    def admin(number: int, login: str, forename: str, surname: str, *, kind: str = "API") -> Admin:
        return Admin(
            id=number, login=login, password=password if number == 71 else token_urlsafe(16), email=f"{login}@example.com",
            forename=forename, surname=surname, kind=kind, password_expires=today + timedelta(days=60))

    admins = [admin(71, "api-mrao", "Api", "Master"), admin(72, "api-mrao-test", "Api", "Test"),
              admin(73, "registrar", "Rosa", "Registrar", kind="STANDARD")]
    return Accounts(
        admins={one.id: one for one in admins}, client=Client(client_id="example-client", client_secret=client_secret),
        lock_after=lock_after)

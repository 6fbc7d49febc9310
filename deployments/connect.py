"""`connect ACCOUNT`: put the login of an SCM account into Vault, asked for or read from a file, proved by one read call."""

from pydantic import TypeAdapter, ValidationError

from deployments import account_data, questions
from models.errors import ConflictError, InputError
from models.parameters import Account
from tasks import accounts
from tasks.adapters.scm import credentials_from
from tasks.adapters.vault import VersionState
from tasks.services import open_services


def connect(account: str, *, source: str | None, replace: bool, proof: bool) -> str:
    """Store the account's data; a sentence that says what was seen and where they lie.

    Nothing is written unless the data are complete and, with `proof`, SCM lets us in with them. The write is check-and-set on
    the version that was there when we began.

    Raises: InputError for data that cannot be used; ConflictError when somebody changed the account meanwhile; SetupError and
    LoginError as Vault and SCM say.
    """
    path = f"accounts/{_account_name(account)}"
    with open_services() as svc:
        version = svc.vault.version(path) or 0
        known = svc.vault.versions(path).get(version) == VersionState.KEPT    # who replaces a login need not be able to read it
        _may_replace(account, known=known, replace=replace, may_ask=source is None)
        secret = account_data.read(source) if source is not None else questions.ask()
        credentials_from(secret)
        said = accounts.prove(secret) if proof else "not tried, as --no-proof says"
        try:
            written = svc.vault.write(path, secret, cas=version)
        except ConflictError:
            raise ConflictError(f"account {account} was changed by somebody else meanwhile: nothing was written, begin again") from None
    return f"account {account} is connected ({said}); its data are version {written} of {path} in Vault"


def _account_name(account: str) -> str:
    try:
        return TypeAdapter[str](Account).validate_python(account)
    except ValidationError:
        raise InputError(
            "an account's name has 1 to 63 lower-case letters, digits, - and _, and begins with a letter or a digit"
        ) from None


def _may_replace(account: str, *, known: bool, replace: bool, may_ask: bool) -> None:
    if not known or replace:
        return
    if not may_ask:
        raise InputError(f"account {account} is connected already: say --replace to replace its data")
    if not questions.yes(f"Account {account} is connected already. Replace its data?"):
        raise InputError(f"account {account} stays as it is")

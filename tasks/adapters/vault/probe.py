"""Proof that a Vault can serve Certflow, before it has to."""

from models.errors import SetupError
from tasks.adapters.vault.wire import DR_SECONDARY, Wire

NEEDED = (
    ("data", "accounts", ("read",)),
    ("data", "keys", ("create", "read")),
    ("data", "passwords", ("read",)),
    ("data", "live", ("create", "update", "read")),
    ("metadata", "accounts", ("read",)),
    ("metadata", "keys", ("list", "delete")),
    ("metadata", "live", ("read", "list")),
    ("destroy", "live", ("update",)),
)
"""What the flows do, as Vault's capabilities; deployments/vault-policies/worker.hcl grants them. `connect` writes accounts besides."""

PROBE = "certflow-probe"
"""A name that no entry has: capabilities are asked for it, nothing is read or written."""


def proved(wire: Wire, mount: str, prefix: str) -> tuple[str, ...]:
    """Health, login and policy. Answers what could not be proved.

    Raises: SetupError with the sentence that says what to do; TransientError when Vault is away or sealed.
    """
    # In the root namespace always: Vault Enterprise does not serve it in others.
    health = wire.send("get", "sys/health", params={"standbyok": "true", "perfstandbyok": "true"}, in_namespace=False)
    if health.status == DR_SECONDARY:
        raise SetupError("this Vault is a disaster recovery secondary and serves no secrets: set VAULT_ADDR to the primary")
    paths = {f"{mount}/{kind}/{prefix}/{folder}/{PROBE}": (f"{mount}/{kind}/{prefix}/{folder}/*", words) for kind, folder, words in NEEDED}
    answer = wire.ask("post", "sys/capabilities-self", json={"paths": list(paths)})
    if answer.status == 403 and not wire.token_is_known():
        wire.refused(answer, path="sys/capabilities-self", capability="update")
    if answer.status != 200:
        return (
            f"what the policy allows below {mount}/ could not be asked (sys/capabilities-self answered {answer.status}): "
            "it will show at the first order",
        )
    missing = [
        f'"{word}" on {shown}'
        for path, (shown, words) in paths.items()
        for word in words
        if not {word, "root"} & set(_granted(answer.part("data", path) or answer.part(path)))
    ]
    if missing:
        raise SetupError(f"the policy of Vault's login lacks {', '.join(missing)}: deployments/vault-policies/worker.hcl has all that is needed")
    return ()


def _granted(capabilities: object) -> list[str]:
    return [str(word) for word in capabilities] if isinstance(capabilities, list) else []

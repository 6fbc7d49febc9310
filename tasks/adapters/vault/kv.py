"""Reading and writing entries. Writing is always check-and-set: it takes effect once or not at all, and we know which."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from models.errors import AmbiguousError, CertflowError, ConflictError, InputError, SetupError, TransientError
from tasks.adapters.vault.parts import Answer, Entry, VersionState, entry_in, is_number, not_version_2, version_states
from tasks.adapters.vault.paths import entry_segments, folder_segments, quoted, segments
from tasks.adapters.vault.probe import proved
from tasks.adapters.vault.settings import VaultSettings
from tasks.adapters.vault.wire import AnswerLostError, Wire

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0


class Vault:
    """Certflow's part of a Vault: `accounts/ keys/ passwords/ live/` below mount and prefix, and nothing else. Thread-safe.

    Every method may raise TransientError (Vault is away, sealed, slow or overloaded: try again), SetupError (a person must act;
    the sentence says what) and InputError (the path is none of ours). `timeout` is (connect, answer) in seconds.
    """

    def __init__(
        self, settings: VaultSettings, *, timeout: tuple[float, float] = (CONNECT_SECONDS, ANSWER_SECONDS),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._address = settings.url
        self._mount = segments(settings.mount.strip("/"))
        self._prefix = segments(settings.prefix.strip("/"))
        self._wire = Wire(settings, timeout=timeout, clock=clock)
        self._clock = clock
        self._mount_proved = False

    def __repr__(self) -> str:
        return f"Vault({self._address}, {'/'.join(self._mount)}/)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client of Vault holds a login and is not pickled")

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def read(self, path: str) -> Entry | None:
        """The newest version; None when it was never written, or when its newest version was deleted or destroyed."""
        return self._read(path, {})

    def read_version(self, path: str, version: int) -> Entry | None:
        """One version; None when there is none of that number, or it was deleted or destroyed."""
        return self._read(path, {"version": str(version)}) if version > 0 else None    # 0 would mean the newest

    def version(self, path: str) -> int | None:
        """The number of the newest version, deleted or not, without reading the secret; None when it was never written."""
        metadata = self._metadata(path)
        number = metadata.part("data", "current_version") if metadata else None
        if metadata and not is_number(number):
            raise SetupError(not_version_2("/".join(self._mount)))
        return number or None

    def versions(self, path: str) -> dict[int, VersionState]:
        """The versions that Vault still counts, oldest first, with what has become of them."""
        metadata = self._metadata(path)
        return version_states(metadata.part("data", "versions"), self._clock()) if metadata else {}

    def list(self, path: str) -> list[str]:
        """The names of the entries directly in a folder such as `keys`; names that Certflow cannot have written are left out."""
        folder = folder_segments(path)
        answer = self._ask("get", "metadata", folder, "list", params={"list": "true"})
        if answer.status == 404:
            return []
        keys = answer.part("data", "keys")
        if not isinstance(keys, list):
            raise SetupError(not_version_2("/".join(self._mount)))
        return [name for name in keys if isinstance(name, str) and _is_name(name)]

    def create(self, path: str, data: Mapping[str, Any]) -> int:
        """Write what was never written; answers its version number.

        Raises: ConflictError when there is an entry already, or was one that is deleted; AmbiguousError as `write`.
        """
        try:
            return self.write(path, data, cas=0)
        except SetupError as refused:
            # A policy that allows `create` alone answers 403, not a version conflict, where something was written before.
            if refused.status == 403 and self.read(path) is not None:
                raise ConflictError(f"{path} is in Vault already: look at it before you try again") from None
            raise

    def write(self, path: str, data: Mapping[str, Any], *, cas: int) -> int:
        """Write a new version if the newest is still `cas` (as `version` tells it; 0: never written); answers the new number.

        Raises: ConflictError when somebody was faster; AmbiguousError when the answer was lost and looking was not possible
        either; InputError for data that are no JSON object of valid text.
        """
        where = entry_segments(path)
        body = {"options": {"cas": cas}, "data": _storable(path, data)}
        try:
            answer = self._ask("post", "data", where, "update" if cas else "create", json=body, changes=True)
        except AnswerLostError as lost:
            return self._settled(path, body["data"], cas, lost)
        if answer.status == 400:
            raise ConflictError(f"{path} in Vault is no longer at version {cas}: somebody was faster, look at it before you try again")
        if answer.status == 413:
            raise InputError(f"the entry for {path} is larger than Vault takes")
        number = answer.part("data", "version")
        if answer.status != 200 or not is_number(number):
            raise SetupError(f"Vault did not store {path} as a new version ({answer.status}): {not_version_2('/'.join(self._mount))}")
        return int(number)

    def destroy_versions(self, path: str, versions: Iterable[int]) -> None:
        """Destroy the contents of these versions for good, and of no others. May run twice."""
        numbers = sorted(set(versions))
        if numbers:
            self._ask("post", "destroy", entry_segments(path), "update", json={"versions": numbers})

    def delete_all(self, path: str) -> None:
        """Remove the entry with all its versions for good. May run twice."""
        self._ask("delete", "metadata", entry_segments(path), "delete")

    def check(self) -> tuple[str, ...]:
        """Prove that Vault is reachable and unsealed, that the login works, that the mount is KV version 2, and that the policy
        allows what Certflow does. Answers sentences about what could not be proved; nothing is written.
        """
        unproved = proved(self._wire, "/".join(self._mount), "/".join(self._prefix))
        self._mount_proved = False
        if not self._prove_mount():
            raise SetupError(
                f"Vault has no mount {'/'.join(self._mount)}/, or the policy of its login gives nothing below it: set CERTFLOW_VAULT_MOUNT "
                "to a KV version 2 mount, and VAULT_NAMESPACE to its namespace"
            )
        return unproved

    def _read(self, path: str, params: dict[str, str]) -> Entry | None:
        answer = self._ask("get", "data", entry_segments(path), "read", params=params)
        if answer.status == 404 and answer.part("data", "metadata") is None:
            return None
        return entry_in(answer, mount="/".join(self._mount))

    def _metadata(self, path: str) -> Answer | None:
        answer = self._ask("get", "metadata", entry_segments(path), "read")
        return None if answer.status == 404 else answer

    def _settled(self, path: str, data: Any, cas: int, lost: AnswerLostError) -> int:
        """Look what became of a write whose answer was lost."""
        try:
            entry = self.read(path)
            newest = entry.version if entry else self.version(path) or 0
        except CertflowError as error:
            raise AmbiguousError(f"{path} may or may not have been written: {lost}; looking failed too: {error}") from None
        if entry and newest == cas + 1 and entry.data == data:
            return newest
        if newest == cas:
            raise TransientError(f"{path} was not written: {lost}", status=lost.status) from None
        raise ConflictError(f"{path} in Vault is at version {newest}, not {cas}: somebody was faster, look at it before you try again") from None

    def _ask(
        self, method: str, kind: str, where: tuple[str, ...], capability: str, *, json: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None, changes: bool = False,
    ) -> Answer:
        self._prove_mount()
        answer = self._wire.ask(method, quoted(*self._mount, kind, *self._prefix, *where), json=json, params=params, changes=changes)
        if answer.status == 403:
            shown = "/".join((*self._mount, kind, *self._prefix, where[0], "*"))
            self._wire.refused(answer, path=shown, capability=capability)
        mismatch = changes and answer.says("check-and-set parameter did not match")
        if (answer.status == 404 and answer.errors) or (answer.status == 400 and not mismatch):
            # Vault's words are shown only where nothing secret was sent that they could repeat.
            words = "" if json is not None else f": {' '.join(' '.join(answer.errors).split())[:200]}"
            raise SetupError(f"Vault refused to {capability} {'/'.join(where)} ({answer.status}){words}", status=answer.status)
        return answer

    def _prove_mount(self) -> bool:
        """Once, as far as Vault tells: a mount of KV version 1 would take our paths for names and store keys without versions.

        Raises: SetupError when it is another kind of mount.
        """
        if self._mount_proved:
            return True
        answer = self._wire.ask("get", f"sys/internal/ui/mounts/{quoted(*self._mount)}")
        mount = "/".join(self._mount)
        if answer.status == 200:
            if str(answer.part("data", "path")).strip("/") != mount:
                raise SetupError(f"CERTFLOW_VAULT_MOUNT is {mount}, but Vault's mount there is {answer.part('data', 'path')}")
            if answer.part("data", "type") != "kv" or str(answer.part("data", "options", "version")) != "2":
                raise SetupError(not_version_2(mount))
        # Any other answer proves nothing, now or later: the call itself will say what is wrong.
        self._mount_proved = True
        return answer.status == 200


def _is_name(text: str) -> bool:
    try:
        return len(segments(text)) == 1
    except InputError:
        return False


def _storable(path: str, data: Mapping[str, Any]) -> Any:
    try:
        text = json.dumps(dict(data), ensure_ascii=False, allow_nan=False)
        text.encode()    # Vault would replace half a surrogate pair silently
    except (TypeError, ValueError):
        raise InputError(f"the entry for {path} holds something that is neither text nor a plain value") from None
    return json.loads(text)

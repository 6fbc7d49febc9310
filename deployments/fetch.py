"""`fetch NAME FOLDER`: what a live name serves, as files for programs that cannot read Vault."""

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from deployments import file_set
from deployments.file_set import File
from models.errors import SetupError
from tasks.live import Served, served

AFTER_IS_DUE = ".certflow-after"
"""There while the command after a change has not run to a good end."""

SECRET, PUBLIC = 0o600, 0o644
_NAMES_SHOWN = 10


def fetch(name: str, folder: Path, *, after: str | None) -> None:
    """Bring the folder's files to what the name serves, say what is new, and run `after` (a shell command) when something is.

    A command that fails, or was killed, runs again at the next fetch that names one. Raises: as `served` and `file_set`, and SetupError
    when the command fails; whatever is raised, the folder holds one whole set.
    """
    if not os.path.exists(folder):
        served(name)    # no folder is made for a name that serves nothing
    with file_set.alone(folder):
        found = served(name)    # read here: another fetch may have brought a newer version while we waited
        files = _files(found)
        changed = file_set.differing(folder, files)
        due = folder / AFTER_IS_DUE
        if changed and after:
            with file_set.in_words(folder):
                due.touch(mode=SECRET)    # before the change: whoever is killed behind it has told nobody
        file_set.put(folder, files, version=found.version)
        news = f"new in {folder}: {', '.join(one if one in files else f'{one} (gone)' for one in changed)}" if changed else "unchanged"
        print(f"{name}: {news}; {_about(found, now=datetime.now(UTC))}", flush=True)
        if after and os.path.exists(due):
            _run(after)
            with file_set.in_words(folder):
                due.unlink()
            print(f"{name}: {after}: done")


def _files(found: Served) -> Mapping[str, File]:
    files = {
        "cert.pem": File(found.certificate.encode(), PUBLIC), "chain.pem": File(found.chain.encode(), PUBLIC),
        "fullchain.pem": File((found.certificate + found.chain).encode(), PUBLIC),
    }
    if found.private_key:
        files["privkey.pem"] = File(found.private_key.encode(), SECRET)
    if found.keystore:
        files[f"keystore.{found.keystore.extension}"] = File(found.keystore.content, SECRET)
        files["keystore.password"] = File(found.keystore.password.encode(), SECRET)    # no line end: some programs would take it in
    return files


def _about(found: Served, *, now: datetime) -> str:
    more = f" and {len(found.names) - _NAMES_SHOWN} more" if len(found.names) > _NAMES_SHOWN else ""
    ends = "ended" if found.not_after <= now else "ends"
    no_key = "" if found.private_key else "; no privkey.pem and no keystore, since the key of its CSR was never with Certflow"
    return f"for {', '.join(found.names[:_NAMES_SHOWN])}{more}, {ends} {found.not_after:%Y-%m-%d %H:%M} UTC{no_key}"


def _run(after: str) -> None:
    try:
        status = subprocess.run(["/bin/sh", "-c", after], stdin=subprocess.DEVNULL, check=False).returncode  # noqa: S603 - the caller's own words
    except (OSError, ValueError) as error:
        raise SetupError(f"the command after the change cannot be started ({error}): the files are new, the next fetch runs it again") from None
    if status:
        raise SetupError(f"the command after the change ended with status {status} ({after}): the files are new, the next fetch runs it again")

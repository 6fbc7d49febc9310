"""Files in a folder that change all at once, and never by halves.

    FOLDER/privkey.pem                 -> .current/privkey.pem     a link for each file; it never changes
    FOLDER/.current                    -> .certflow-v7-k3x9q2ab    one rename moves it, and with it all files
    FOLDER/.certflow-v7-k3x9q2ab/      the files of now; beside it those of before, for whoever has just opened them

Whoever is killed at any point leaves the old files or the new ones. What is not ours in the folder is never touched.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import InputError, SetupError

CURRENT = ".current"
NEXT = ".certflow-next"
VERSION = ".certflow-v"
LOCK = ".certflow-lock"


@dataclass(frozen=True)
class File:
    """What a file holds, and who may read it."""

    content: bytes = field(repr=False)
    mode: int


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make the folder if it is missing (0700), and wait until nobody else works on its files. Raises: SetupError."""
    with in_words(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with in_words(folder):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for another fetch into {folder}", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def in_words(folder: Path) -> Iterator[None]:
    """Say what the system refuses. Raises: SetupError."""
    try:
        yield
    except OSError as error:
        raise SetupError(
            f"the files in {folder} cannot be brought up to date ({error.strerror}): those that are there stay one whole set; "
            "see to its space and rights, then fetch again"
        ) from None


def differing(folder: Path, files: Mapping[str, File]) -> list[str]:
    """The names of the files that are new, changed or no longer there, sorted.

    Raises: InputError when something of another owner has one of the names; SetupError when the folder cannot be read.
    """
    with in_words(folder):
        current = _current(folder)
        for name in files:
            if os.path.lexists(folder / name) and not _is_ours(folder / name):
                raise InputError(f"{folder / name} is there and is not Certflow's: move it away, or name another folder; nothing was changed")
        held = {path.name: path.read_bytes() for path in current.iterdir()} if current and current.is_dir() else {}
        return sorted(name for name in held.keys() | files.keys() if name not in files or held.get(name) != files[name].content)


def put(folder: Path, files: Mapping[str, File], *, version: int) -> None:
    """Let the folder hold these files. Call it `alone`, after `differing`; it may run twice. Raises: SetupError, as `differing`."""
    changed = differing(folder, files)
    with in_words(folder):
        made = _written(folder, files, version) if changed else None
        for name in files:
            if not os.path.lexists(folder / name):
                os.symlink(f"{CURRENT}/{name}", folder / name)    # fails, and so overwrites nothing, where a stranger was faster
        if made:
            _move(folder, made)
        _drop_links(folder, files)
        _sync(folder)


def _current(folder: Path) -> Path | None:
    link = folder / CURRENT
    if not os.path.lexists(link):
        return None
    target = os.readlink(link) if link.is_symlink() else ""
    if not target.startswith(VERSION) or "/" in target:
        raise InputError(f"{link} is there and is not Certflow's: move it away, or name another folder; nothing was changed")
    return folder / target


def _is_ours(path: Path) -> bool:
    return path.is_symlink() and os.readlink(path) == f"{CURRENT}/{path.name}"


def _written(folder: Path, files: Mapping[str, File], version: int) -> Path:
    """A new folder with the files, on the disk for sure; what a killed fetch began, and what came before the files of now, is gone."""
    current = _current(folder)
    for old in list(folder.iterdir()):
        if old.name.startswith(VERSION) and old != current and not old.is_symlink():
            shutil.rmtree(old)
    made = Path(tempfile.mkdtemp(prefix=f"{VERSION}{version}-", dir=folder))
    try:
        for name, file in files.items():
            with open(os.open(made / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(file.content)
                out.flush()
                os.fchmod(out.fileno(), file.mode)    # whatever the umask says
                os.fsync(out.fileno())
        made.chmod(0o755)    # the folder around it decides who comes in, as its owner set it
        _sync(made)
    except OSError:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return made


def _move(folder: Path, made: Path) -> None:
    with suppress(FileNotFoundError):
        os.unlink(folder / NEXT)
    os.symlink(made.name, folder / NEXT)
    os.replace(folder / NEXT, folder / CURRENT)


def _drop_links(folder: Path, wanted: Collection[str]) -> None:
    """Links of ours whose file the current set does not have lead nowhere."""
    for path in list(folder.iterdir()):
        if path.name not in wanted and _is_ours(path):
            path.unlink()


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

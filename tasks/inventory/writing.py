"""The inventory as a file for spreadsheets: one for each run, complete or not there at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from models.errors import SetupError
from models.inventory import Tally
from models.spreadsheet import CELL, HEAD, LINE, csv
from tasks.adapters.store import lines
from tasks.adapters.store.chosen import Chosen
from tasks.batches import in_turn
from tasks.retry import step
from tasks.services import Services, open_services

FOLDER = "reports"

READERS = 2
"""Of SQLite, at once."""


@step
def write(wanted: Chosen) -> tuple[str, Tally]:
    """Write every line of the inventory into a file of its own below `reports` in CERTFLOW_HOME; its path, and what was counted on the way.

    Only its owner may read it. Raises: SetupError when it cannot be written; nothing is left of it then.
    """
    tally = Tally(now=wanted.now)
    with open_services() as svc:
        file = svc.settings.home / FOLDER / f"inventory-{wanted.account}-{wanted.now:%Y%m%dT%H%M%S.%fZ}.csv"
        with _complete_or_absent(file) as out:
            out.write(csv(CELL.join(HEAD)))
            for table in _tables(svc, wanted):
                _count(table, tally)
                out.write(csv(table))
    return str(file), tally


def _tables(svc: Services, wanted: Chosen) -> Iterator[str]:
    with svc.store.reading(streaming=True) as session:
        if svc.store.engine.dialect.name == "postgresql":
            yield from lines.tables(session, wanted)
            return
        ends = lines.pieces(session)

    def read(end: int) -> str:
        with svc.store.reading() as session:
            return lines.piece(session, wanted, end)

    yield from filter(None, in_turn(read, ends, at_once=READERS))


def _count(table: str, tally: Tally) -> None:
    """Written out, since it is done a million times."""
    for line in table.split(LINE):
        (
            order_id, ssl_id, _, _, living, name, _, _, _, _, _, _, _, not_before, ends, algorithm, size, origin, requested_via, _, _, _, _,
        ) = line.split(CELL)
        tally.lines += 1
        tally.certificates += not_before != ""
        if living == "yes":
            tally.add(ends, origin, requested_via, algorithm, size, number=ssl_id or order_id, name=name)


@contextmanager
def _complete_or_absent(file: Path) -> Iterator[IO[str]]:
    """A file that gets its name when it is whole, safely on the disk, with rights for its owner alone."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with NamedTemporaryFile(    # its mode is 0600
            "w", dir=file.parent, prefix=f".{file.stem}-", suffix=".part", newline="", encoding="utf-8", buffering=1 << 20, delete=False,
        ) as out:
            try:
                yield out.file
                out.flush()
                os.fsync(out.fileno())
                Path(out.name).replace(file)
            finally:
                Path(out.name).unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(
            f"the report cannot be written below {file.parent} ({type(error).__name__}: {error.strerror}): check CERTFLOW_HOME and its disk"
        ) from None

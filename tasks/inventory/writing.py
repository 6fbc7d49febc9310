"""The inventory as a file for spreadsheets: one for each run, complete or not there at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from models.errors import SetupError
from models.inventory import Tally
from models.spreadsheet import HEAD, Safe, dashed, line, listed, moment, safe
from tasks.adapters.store import inventory
from tasks.adapters.store.chosen import Chosen
from tasks.retry import step
from tasks.services import open_services

FOLDER = "reports"


@step
def write(wanted: Chosen) -> tuple[str, Tally]:
    """Write every line of the inventory into a file of its own below `reports` in CERTFLOW_HOME; its path, and what was counted on the way.

    Only its owner may read it. Raises: SetupError when it cannot be written; nothing is left of it then.
    """
    tally = Tally(now=wanted.now)
    with open_services() as svc:
        file = svc.settings.home / FOLDER / f"inventory-{wanted.account}-{wanted.now:%Y%m%dT%H%M%S.%fZ}.csv"
        with _complete_or_absent(file) as out, svc.store.reading() as session:
            out.write(line(HEAD))
            known = Safe()
            for some in inventory.lines(session, wanted):
                out.write("".join(_lines(some, wanted.account, known, tally)))
    return str(file), tally


def _lines(some: inventory.Lines, account: str, known: Safe, tally: Tally) -> Iterator[str]:
    """The lines as CSV; each is counted on the way. Written out, since it is done a million times."""
    tally.lines += len(some)
    for (
        ends, not_before, order_id, ssl_id, status, common_name, names, organization_id, organization, profile, term_days, serial_number, issuer,
        algorithm, size, origin, requested_via, requester, requested_at, live_name, waiting_because, stored, living,
    ) in some:
        tally.certificates += stored
        if living:
            tally.add(ends or "", origin, requested_via, algorithm, size, number=ssl_id or order_id, name=common_name)
        yield line((
            dashed(order_id), f"{ssl_id or ''}", account, status, "yes" if living else "no", safe(common_name), safe(listed(names)),
            known[organization], f"{organization_id or ''}", known[profile], f"{term_days or ''}", safe(serial_number), known[issuer],
            moment(not_before), moment(ends), known[algorithm], known[size], origin, known[requested_via], safe(requester),
            moment(requested_at), safe(live_name), safe(waiting_because),
        ))


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

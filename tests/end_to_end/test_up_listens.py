"""Where `up` and everything that it starts listen: on this machine only."""

from pathlib import Path
from typing import Any

LISTENS = "0A"
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
"""127.0.0.1 and ::1 as the kernel writes them."""


def _ours(port: int) -> list[Path]:
    """The processes that one `up` has started, at any depth, by the port in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"CERTFLOW_UI_PORT={port}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(folder)
        except OSError:
            continue
    return found


def _sockets(process: Path) -> set[str]:
    names = set()
    for file in (process / "fd").iterdir():
        try:
            names.add(str(file.readlink()).removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    return names


def test_up_and_all_its_processes_listen_on_the_loopback_only(up: Any) -> None:
    """SECURITY: Prefect's API without a login; DESIGN 4: 127.0.0.1 only"""
    listening: dict[str, str] = {}
    for kind in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == LISTENS:
                listening[parts[9]] = parts[1]
    ours = {listening[one] for process in _ours(up.port) for one in _sockets(process) & set(listening)}
    assert len(ours) >= 4    # Prefect, SCM in three ways or two, Vault
    assert f"{up.port:04X}" in {one.split(":")[1] for one in ours}
    assert {one.split(":")[0] for one in ours} <= LOOPBACK, ours

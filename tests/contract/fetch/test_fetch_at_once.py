"""Readers, killers and other fetches while the files change: nobody ever sees half of a set."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tasks.adapters import pki

KILLED_AT_EACH_STEP = '''
import json, os, shutil, signal, sys
import deployments.fetch
from deployments.__main__ import main

base, work, after = sys.argv[1:]
STEPS = {"os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "os.chmod", "os.utime", "fcntl.flock", "subprocess.Popen"}

def run(number, folder):
    """In a child: fetch, killed before its n-th step on files."""
    left = number
    def step(event, about):
        nonlocal left
        if event in STEPS or event == "open" and str(about[0]).startswith(folder):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
    real = os.fsync
    def fsync(fd):
        step("os.rename", ())
        real(fd)
    os.fsync = fsync
    sys.addaudithook(step)
    os._exit(main(["fetch", "www.example.com", folder, "--after", after.replace("FOLDER", folder)]))

killed = []
while True:
    folder = f"{work}/{len(killed) + 1}"
    if os.path.exists(base):
        shutil.copytree(base, folder, symlinks=True)
    child = os.fork()
    if not child:
        run(len(killed) + 1, folder)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        sys.exit(os.waitstatus_to_exitcode(status))
    killed.append(folder)
    print(json.dumps(folder), flush=True)
'''


@pytest.mark.slow
@pytest.mark.parametrize("before", ["nothing", "another type", "two changes"])
def test_killed_at_any_step_it_leaves_one_whole_set_and_the_next_fetch_ends_the_work(live, fetch, consumer, tmp_path, before) -> None:
    """RULES D1"""
    base, work = tmp_path / "base", tmp_path / "work"
    work.mkdir()
    old: dict[str, bytes] = {}
    for kind in {"nothing": (), "another type": ("JKS",), "two changes": ("PKCS12", "PKCS12")}[before]:
        live.serve(entry := live.issue(kind))
        assert fetch(into=base) == 0
        old = live.files(entry)
    live.serve(entry := live.issue())
    new = live.files(entry)
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_STEP, str(base), str(work), "cp FOLDER/cert.pem FOLDER.told"], env=consumer,
        capture_output=True, text=True, timeout=120, check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    killed = [Path(json.loads(line)) for line in done.stdout.splitlines() if line.startswith('"')]
    assert len(killed) > 25
    left = [live.seen(folder) for folder in killed]
    assert all(seen in (old, new) for seen in left)
    assert old in left
    assert new in left
    for folder in killed:
        assert fetch("--after", f"cp {folder}/cert.pem {folder}.told", into=folder) == 0
        assert live.seen(folder) == new
        assert Path(f"{folder}.told").read_bytes() == new["cert.pem"]
        assert len(list(folder.glob(".certflow-v*"))) <= 2
        assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == set(new)


def test_a_reader_gets_key_and_certificate_of_one_version_while_they_change(live, fetch, folder) -> None:
    """RULES D1: whoever opens .current once reads one set, and the links by name are never broken"""
    entries = [live.issue(), live.issue()]
    live.serve(entries[0])
    fetch()
    known = [live.files(entry) for entry in entries]
    seen: list[int] = []
    wrong: list[object] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            try:
                opened = os.open(folder / ".current", os.O_RDONLY | os.O_DIRECTORY)
                found = {name: Path(f"/proc/self/fd/{opened}/{name}").read_bytes() for name in known[0]}
                os.close(opened)
                key, certificate = pki.key_from_pem(found["privkey.pem"].decode()), pki.read_certificates(found["cert.pem"])[0]
                if found not in known or pki.public_key_sha256(key) != pki.public_key_sha256(certificate):
                    wrong.append(sorted(found))
                seen.append(known.index(found))
                if (folder / "fullchain.pem").read_bytes() not in (known[0]["fullchain.pem"], known[1]["fullchain.pem"]):
                    wrong.append("fullchain.pem")
            except (OSError, ValueError) as error:
                wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 31):
            live.serve(entries[number % 2])
            assert fetch() == 0
    finally:
        ended.set()
        reader.join(timeout=120)
    assert wrong == []
    assert set(seen) == {0, 1}


def test_who_has_just_opened_the_old_set_can_read_it_to_its_end(live, fetch, folder) -> None:
    """The set before the newest stays; older ones go."""
    live.serve(first := live.issue())
    fetch()
    opened = (folder / ".current").resolve()
    live.serve(live.issue())
    fetch()
    assert {path.name: path.read_bytes() for path in opened.iterdir()} == live.files(first)
    live.serve(live.issue())
    fetch()
    assert not opened.exists()
    assert len(list(folder.glob(".certflow-v*"))) == 2


def test_of_several_at_once_one_brings_the_change(live, typed, folder, tmp_path) -> None:
    """The command after it runs once."""
    live.serve(entry := live.issue())
    processes = [typed("--after", f"echo told >> {tmp_path}/log") for _ in range(4)]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], said
    assert sum("unchanged" in out for out, _ in said) == 3
    assert (tmp_path / "log").read_text() == "told\n"
    assert live.seen(folder) == live.files(entry)


def test_one_that_waited_does_not_bring_an_older_version_back(live, typed, fetch, folder) -> None:
    """Vault is read when nobody else can change the files."""
    live.serve(live.issue())
    fetch()
    with (folder / ".certflow-lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = typed()
        assert "waiting for another fetch" in process.stdout.readline()
        live.serve(newest := live.issue())
    _, error = process.communicate(timeout=180)
    assert (process.returncode, error) == (0, "")
    assert live.seen(folder) == live.files(newest)

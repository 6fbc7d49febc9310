"""`fetch --after COMMAND`: runs after a change, and again until it has run to a good end."""


def test_it_runs_by_a_shell_after_a_change_and_only_then(live, fetch, folder, tmp_path) -> None:
    """What it sees is the new set."""
    told = tmp_path / "told"
    command = f"cat {folder}/cert.pem > {told} && echo done >> {told}"
    live.serve(first := live.issue())
    assert fetch("--after", command) == 0
    assert told.read_text() == first["certificate"] + "done\n"
    told.unlink()
    assert fetch("--after", command) == 0
    assert not told.exists()
    live.serve(second := live.issue())
    assert fetch("--after", command) == 0
    assert told.read_text() == second["certificate"] + "done\n"


def test_one_that_fails_fails_the_fetch_and_runs_again_though_nothing_changed(live, fetch, folder, tmp_path, capfd) -> None:
    """A server that was not reloaded serves the old certificate until it ends."""
    live.serve(entry := live.issue())
    log = tmp_path / "log"
    failing, working = f"echo failed >> {log}; exit 7", f"echo worked >> {log}"
    assert fetch("--after", failing) == 1
    said = capfd.readouterr()
    assert "ended with status 7" in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert live.seen(folder) == live.files(entry)
    assert fetch("--after", failing) == 1
    assert "unchanged" in capfd.readouterr().out
    assert fetch() == 0    # names no command: what is owed stays owed
    assert fetch("--after", working) == 0
    assert fetch("--after", working) == 0
    assert log.read_text().split() == ["failed", "failed", "worked"]


def test_one_that_was_named_later_does_not_run_without_a_change(live, fetch, tmp_path) -> None:
    """After a change means after a change."""
    live.serve(live.issue())
    fetch()
    assert fetch("--after", f"touch {tmp_path}/told") == 0
    assert not (tmp_path / "told").exists()


def test_one_that_cannot_be_found_is_a_sentence(live, fetch, capfd) -> None:
    """No traceback."""
    live.serve(live.issue())
    assert fetch("--after", "/nowhere/reload") == 1
    assert "ended with status 127 (/nowhere/reload)" in capfd.readouterr().err

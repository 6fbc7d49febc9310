"""Run a command that ends when its starter ends, whichever way: `python leash.py SECONDS COMMAND...`.

The starter holds the other end of our standard input and never writes to it. When that ends, by wish or since the starter was
killed, the command gets SIGTERM, SECONDS to end in, and then its whole process group is killed: a flow run has processes of
its own that nobody else would end. Started as a file, so that it costs 20 ms and imports nothing.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress


def main() -> int:
    seconds, *command = sys.argv[1:]
    # A group of its own: Ctrl-C on the terminal reaches the starter only, which then ends everything in order.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - the starter's own command
    # Whoever reads the command's output must see its end when the command ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    threading.Thread(target=_end_with_starter, args=(child, float(seconds)), daemon=True).start()
    status = child.wait()
    _kill_group(child.pid)
    # No clean-up of the thread that still reads: Python would wait for its lock on standard input.
    os._exit(status if status >= 0 else 128 - status)


def _end_with_starter(child: "subprocess.Popen[bytes]", seconds: float) -> None:
    while os.read(0, 1024):
        pass
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(seconds)
    _kill_group(child.pid)


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    main()

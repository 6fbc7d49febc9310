"""The peak of this process's memory."""

import re
from pathlib import Path


def peak_mb() -> float:
    """Of this program alone: `ru_maxrss` would also count what the process was before it became this program."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found.group(1)) / 1024

"""How much memory the container of this process leaves to it."""

from __future__ import annotations

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def free_in_container() -> int | None:
    """Bytes that are free within the container's limit; None without a limit, or where it is unknown.

    Files that Linux caches count as used there, but make room when memory is needed, so they count as free here.
    """
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        if limit == "max":
            return None
        used = int((CGROUP / "memory.current").read_text())
        stated = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return max(0, int(limit) - used + int(stated["inactive_file"]))
    except (OSError, ValueError, KeyError):  # no container, or cgroups of another version
        return None

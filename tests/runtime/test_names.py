"""What `import runtime` gives, and what it does not import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import runtime


def test_every_public_name_can_be_imported_and_no_other() -> None:
    assert dir(runtime) == runtime.__all__
    for name in runtime.__all__:
        assert getattr(runtime, name) is not None
    with pytest.raises(AttributeError, match="module 'runtime' has no attribute 'run_soundscape'"):
        runtime.run_soundscape  # type: ignore[attr-defined]  # noqa: B018


def test_a_worker_imports_nothing_of_what_starts_runs() -> None:
    program = "import sys, runtime.workers.worker; print({'runtime.run', 'runtime.archive'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"

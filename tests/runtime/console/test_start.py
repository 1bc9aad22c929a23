"""Starting a command."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "import sys; from runtime.console.start import command_of; sys.exit(command_of('slow')())"
INTERRUPTED = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
CAUGHT = """
def main():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        return 130
    return 3
"""


def _run(folder: Path, module: str, before: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "slow.py").write_text(module)
    program = f"import sys; sys.path.append({str(folder)!r}); {before}{PROGRAM}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_ctrl_c_during_the_imports_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    run = _run(tmp_path, f"{INTERRUPTED}def main(): return 3\n")
    assert (run.returncode, run.stderr) == (-signal.SIGINT, "")


def test_after_the_imports_ctrl_c_interrupts_as_in_any_program(tmp_path: Path) -> None:
    run = _run(tmp_path, f"import os, signal\n{CAUGHT}")
    assert (run.returncode, run.stderr) == (130, "")


@pytest.mark.parametrize("module", [f"{INTERRUPTED}def main(): return 3\n", f"import os, signal\n{CAUGHT}"])
def test_an_ignored_ctrl_c_stays_ignored(tmp_path: Path, module: str) -> None:
    run = _run(tmp_path, module, "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); ")
    assert (run.returncode, run.stderr) == (3, "")

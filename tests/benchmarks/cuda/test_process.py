"""The process of a step that fails, dies or hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cuda import process
from benchmarks.cuda.process import run_step
from benchmarks.cuda.step import Context, Result
from benchmarks.measuring.usage import alive
from tests.support.processes import until

STEP = """
import os, subprocess, time
from benchmarks.cuda.step import Trials
def fail():
    {}
def measure(context, keep):
    trials = Trials(context, keep, {{"about": "a step"}})
    trials.measure("good", lambda: {{"figure": os.getpid()}})
    trials.measure("bad", fail)
    trials.measure("long", lambda: {{}}, needs_s=10_000)
    trials.measure("last", lambda: {{"figure": os.getpid()}})
    return trials.result()
"""


SLEEPER = "open(os.environ['SLEEPER'], 'w').write(str(subprocess.Popen(['sleep', '600']).pid))"


def outcome(
    folder: Path,
    patch: pytest.MonkeyPatch,
    fails: str,
    device: str = "cpu",
    look: Callable[[Result], object] = lambda _: None,
) -> tuple[Result, list[Result]]:
    """What a step gives, and what it kept, one of whose trials does this; `look` is called with each thing kept."""
    name = f"a_step_{len(fails)}"
    (folder / f"{name}.py").write_text(STEP.format(fails))
    patch.syspath_prepend(folder)
    kept: list[Result] = []

    def keep(result: Result) -> None:
        kept.append(result)
        look(result)

    context = Context({}, device, None, None, True, time.monotonic() + 3600, folder, {})
    return run_step(name, context, keep), kept


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        ("raise ValueError('bad luck')", "ValueError: bad luck"),
        ("from runtime.errors import DeviceError; raise DeviceError('no card')", "no card"),
        (f"{SLEEPER}; os.kill(os.getpid(), 11)", "its process was killed by signal 11"),
    ],
)
def test_a_trial_that_fails_or_kills_its_process_costs_no_other_and_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, said: str
) -> None:
    monkeypatch.setenv("SLEEPER", str(tmp_path / "sleeper"))
    result, kept = outcome(tmp_path, monkeypatch, fails)
    trials = result["trials"]
    assert (result["about"], trials["bad"]) == ("a step", {"error": said})
    assert trials["long"] == {"skipped": "no time: it needs about 10000 s"}
    same_process = trials["good"] == trials["last"]
    assert same_process == ("kill" not in fails)
    assert "error" not in result
    assert kept[0]["running"] == "good" and kept[-1]["trials"] == trials
    assert (tmp_path / "sleeper").exists() == ("kill" in fails)
    until(lambda: not any(alive(int(path.read_text())) for path in tmp_path.glob("sleeper")))


def test_a_new_process_goes_on_after_a_death_between_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dies_between.py").write_text(
        "import os\n"
        "from benchmarks.cuda.step import Trials\n"
        "def measure(context, keep):\n"
        "    trials = Trials(context, keep)\n"
        "    for name in ('one', 'two') if context.quick else ():\n"
        "        known = name in trials.found\n"
        "        trials.measure(name, lambda: {'figure': 1})\n"
        "        known or os._exit(3)\n"
        "    context.quick or os._exit(3)\n"
        "    return trials.result()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    context = Context({}, "cpu", None, None, True, time.monotonic() + 3600, tmp_path, {})
    died = {"error": "its process ended with code 3"}
    result = run_step("dies_between", context, lambda _: None)
    assert result == {"between trials": [died, died], "trials": {"one": {"figure": 1}, "two": {"figure": 1}}}
    assert run_step("dies_between", replace(context, quick=False), lambda _: None) == died


def test_a_new_process_goes_on_after_an_error_that_breaks_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = "from benchmarks.cuda import step; step._is_broken = lambda: True; raise ValueError('illegal address')"
    result, _ = outcome(tmp_path, monkeypatch, fails, device="cuda:0")
    trials = result["trials"]
    assert trials["bad"] == {"error": "ValueError: illegal address"}
    assert trials["good"] != trials["last"] and "error" not in result and "again" not in result


def test_a_step_that_hangs_is_ended_in_its_time_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_S", 1.0)
    monkeypatch.setenv("SLEEPER", str(tmp_path / "sleeper"))
    sleeper = tmp_path / "sleeper"
    monkeypatch.setattr(Context, "left", lambda _: 0.0 if sleeper.exists() else 3600.0)

    def look(result: Result) -> None:
        if result.get("running") == "bad":
            until(sleeper.exists)

    result, _ = outcome(tmp_path, monkeypatch, f"{SLEEPER}; time.sleep(600)", look=look)
    assert result["trials"]["bad"] == {"error": "it did not end in its time, so its process was ended"}
    assert result["error"] == "its time was over before it was through"
    assert result["trials"]["good"]["figure"] > 0
    until(lambda: not alive(int((tmp_path / "sleeper").read_text())))


def test_a_step_that_keeps_nothing_for_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "silent_step.py").write_text("import time\ndef measure(context, keep):\n    time.sleep(600)\n")
    monkeypatch.syspath_prepend(tmp_path)
    context = Context({}, "cpu", None, None, True, time.monotonic() + 3600, tmp_path, {}, silent_s=1)
    result = run_step("silent_step", context, lambda _: None)
    assert result == {"error": "it said nothing for 1 s, so its process was ended"}


def test_a_step_that_cannot_be_imported_has_failed(tmp_path: Path) -> None:
    context = Context({}, "cpu", None, None, True, time.monotonic() + 3600, tmp_path, {})
    result = run_step("no_such_step", context, lambda _: None)
    assert result["error"] == "ModuleNotFoundError: No module named 'no_such_step'"


def test_tf32_is_measured_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    (tmp_path / "two_processes.py").write_text(
        "import os\n"
        "def measure(context, keep):\n"
        "    seen = [context.tf32, os.environ.get('NVIDIA_TF32_OVERRIDE'), context.last, os.getpid()]\n"
        "    return {'seen': [*context.begun.get('seen', []), seen]}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    on_cpu = Context({}, "cpu", None, None, True, time.monotonic() + 3600, tmp_path, {})
    (alone,) = run_step("two_processes", on_cpu, print, by_tf32=True)["seen"]
    assert alone[:3] == [False, "1", True]
    without, tf32 = run_step("two_processes", replace(on_cpu, device="cuda:0"), print, by_tf32=True)["seen"]
    assert (without[:3], tf32[:3]) == ([False, "0", False], [True, None, True])
    assert without[3] != tf32[3]

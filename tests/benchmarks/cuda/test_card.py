"""What `nvidia-smi` is asked, by one that stands in for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.cuda import card

ANSWER = "Some Card, 580.1, 81559 MiB, 9.0, 1980 MHz, 2619 MHz, 700.00 W, 30, 345 MHz, 1593 MHz, 70.1 W, 0 %, 5 MiB"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What it was asked, a line for each time."""
    script, log = tmp_path / "nvidia-smi", tmp_path / "asked"
    script.write_text(f'#!/bin/sh\necho "$@" >> {log}\necho "{ANSWER}"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    card.described.cache_clear()
    return log


def test_a_card_is_described_once(asked: Path) -> None:
    assert card.name("cuda:0") == "Some Card"
    assert card.described("cuda:0")["memory.used"] == "5 MiB"
    (line,) = asked.read_text().splitlines()
    assert line.startswith("--id=0 --query-gpu=name,driver_version,")


@pytest.mark.parametrize(
    ("visible", "device", "called"), [("3", "cuda:0", "3"), ("2, GPU-ab", "cuda:1", "GPU-ab"), ("", "cuda:1", "1")]
)
def test_the_card_that_cuda_sees_is_asked_for(
    asked: Path, monkeypatch: pytest.MonkeyPatch, visible: str, device: str, called: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    card.described(device)
    assert asked.read_text().startswith(f"--id={called} ")

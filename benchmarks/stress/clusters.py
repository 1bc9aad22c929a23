"""A Ray cluster whose nodes, actors and drivers are killed again and again ends with the rows of a plain run."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from pathlib import Path

import psutil

from benchmarks.stress.nodes import Nodes, ray_nodes, wait_for
from benchmarks.stress.promises import perch_run, promise, watched_run
from convert.proof.synthetic import write_soundscape
from runtime import archive_status, merge_archive

SEED, RECORDINGS, MINUTES = 2026, 60, 5
KILLS = 2 * ("actor", "node", "both nodes", "driver")
PATIENCE_S = 300.0


def ray(folder: Path, model: Path) -> None:
    """Kills nodes, actors and drivers of a Ray cluster at random moments."""
    source, out, plain = folder / "recordings", folder / "out", folder / "plain.parquet"
    source.mkdir()
    for i in range(RECORDINGS):
        write_soundscape(source / f"{i:02d}.wav", i, 60.0 * MINUTES)
    watched_run(source, model, plain)
    chance, killed, runs = random.Random(SEED), list[str](), 0
    kills = chance.sample(KILLS, len(KILLS))
    with ray_nodes() as nodes:
        while not out.exists() or archive_status(out).left:
            runs += 1
            killed += disturbed_run(source, model, out, nodes, chance, kills[len(killed) :])
    status, merged = archive_status(out), folder / "merged.parquet"
    print(f"  {runs} runs; killed: {', '.join(killed)}; {status.repeats} units stand in two parts", flush=True)
    promise(killed == kills, f"there was time for {len(killed)} of {len(kills)} kills")
    merge_archive(out, merged)
    promise(merged.read_bytes() == plain.read_bytes(), "the merged rows are the bytes of a plain run")


def disturbed_run(
    source: Path, model: Path, out: Path, nodes: Nodes, chance: random.Random, kills: list[str]
) -> list[str]:
    """One run, which ends by itself or because it is killed, with kills as long as it runs; returns what was killed."""
    nodes.fill()
    process = perch_run(source, model, out, "--dataset", "--ray", nodes.address)
    killed: list[str] = []
    for what in kills:
        wait_for(lambda: process.poll() is not None or nodes.actors())
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.0, 4.0))
        if process.poll() is not None:
            break
        kill(what, process, nodes)
        killed.append(what)
        if what == "driver":
            break
    _, errors = process.communicate(timeout=PATIENCE_S)
    by_us = killed[-1:] == ["driver"]
    promise(
        process.returncode == (-9 if by_us else 0), f"the run ended with code {process.returncode} {errors}".strip()
    )
    return killed


def kill(what: str, process: subprocess.Popen[str], nodes: Nodes) -> None:
    """Kills something of a run; nodes are replaced after a while."""
    print(f"  killing: {what}", flush=True)
    if what == "driver":
        process.kill()
    elif what == "actor":
        with contextlib.suppress(IndexError, psutil.NoSuchProcess):
            nodes.actors()[0].kill()
    else:
        nodes.kill_nodes(1 if what == "node" else 2)
        time.sleep(2)
        nodes.fill()

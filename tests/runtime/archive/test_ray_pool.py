"""How a pool deals with actors that end, fail or refuse. Ray is played by a few lines, so that each can be arranged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime import OutputError, PerchError
from runtime.archive import ray_pool
from runtime.archive.part import OK, UnitStatus
from runtime.archive.ray_actor import Group, Outcome
from runtime.archive.ray_pool import RayPool
from runtime.archive.unit import Unit

UNIT = Unit("0", "a.wav", "a.wav", "a", 1, 1, 0, 1, 12, 12.3)
STATUS = UnitStatus("0", "a.wav", 0, OK, None, [], 12, 12, 12, 1.0, 1.0, "here")


class RayError(Exception):
    """What Ray raises when an actor has ended."""


class FakeRay:
    """Ray, where a call is made when its answer is fetched. `refusals` are what actors answer first, in turn."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(
        self, score: Callable[[Group], Outcome], refusals: Sequence[str | Exception | None] = (), cpus: int = 5
    ) -> None:
        self._score, self._refusals, self._cpus = score, list(refusals), cpus
        self.killed = 0
        self.options: list[dict[str, Any]] = []
        """Of each actor."""

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self._cpus, "GPU": 2}

    def put(self, value: object) -> object:
        return value

    def wait(self, refs: list[Any], **_: object) -> tuple[list[Any], list[Any]]:
        return refs[:1], refs[1:]

    def get(self, ref: Callable[[], Any]) -> Any:
        return ref()

    def kill(self, actor: object) -> None:
        self.killed += 1

    def remote(self, actor: type) -> SimpleNamespace:
        made = SimpleNamespace(refusal=self._method(self._refusal), score=self._method(self._score))

        def with_options(**options: Any) -> SimpleNamespace:
            self.options.append(options)
            return SimpleNamespace(remote=lambda work: made)

        return SimpleNamespace(options=with_options)

    def _refusal(self) -> str | None:
        refusal = self._refusals.pop(0) if self._refusals else None
        if isinstance(refusal, Exception):
            raise refusal
        return refusal

    @staticmethod
    def _method(does: Callable[..., Any]) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda *arguments: lambda: does(*arguments))


def score(group: Group) -> Outcome:
    return Outcome([replace(STATUS, unit_id=unit.id) for unit, _ in group])


def pool_of(ray: FakeRay, tmp_path: Path, units: int = 100, device: str = "cpu", workers: int | None = None) -> RayPool:
    model = tmp_path / "perch.onnx"
    model.write_bytes(b"")
    setup = SimpleNamespace(threads=2, workers=1 if device == "cpu" else 6)
    work = SimpleNamespace(job=SimpleNamespace(device=device, setup=setup, models={"perch": model}))
    return RayPool(ray, work, units, workers)  # type: ignore[arg-type]


def groups(*sizes: int) -> list[Group]:
    """Groups of units with ids from 0."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [[(replace(UNIT, id=str(start + i)), Path()) for i in range(size)] for start, size in zip(starts, sizes)]


def done_by(pool: RayPool, *sizes: int) -> list[str]:
    """The ids of the units that are done, sorted."""
    with pool:
        outcomes = list(pool.outcomes(iter(groups(*sizes))))
    return sorted((status.unit_id for _, outcome in outcomes for status in outcome.done), key=int)


def test_actors_declare_what_they_take_and_leave_a_cpu_free(tmp_path: Path) -> None:
    ray = FakeRay(score, cpus=8)
    assert done_by(pool_of(ray, tmp_path), *[1] * 9) == [str(i) for i in range(9)]
    assert len(ray.options) == 3
    assert {(each["num_cpus"], each["num_gpus"], each["memory"]) for each in ray.options} == {(2, 0, 400_000_000)}
    on_cards = FakeRay(score, cpus=16)
    assert len(done_by(pool_of(on_cards, tmp_path, device="cuda:0"), *[1] * 9)) == 9
    assert [(each["num_cpus"], each["num_gpus"]) for each in on_cards.options] == [(6, 1)] * 2
    assert pool_of(ray, tmp_path, workers=50).wanted == 50
    assert pool_of(ray, tmp_path, units=1).wanted == 1


def test_a_unit_that_ends_each_actor_is_given_up_and_all_others_are_done_once(tmp_path: Path) -> None:
    def ends_at_5(group: Group) -> Outcome:
        if any(unit.id == "5" for unit, _ in group):
            raise RayError("the actor died")
        return score(group)

    pool = pool_of(FakeRay(ends_at_5), tmp_path)
    assert done_by(pool, 9, 1) == [str(i) for i in range(10) if i != 5]
    assert [(unit.id, why) for unit, why in pool.given_up] == [("5", "the actor died")]


def test_units_that_an_actor_left_over_are_done_by_others(tmp_path: Path) -> None:
    failures = iter([PerchError("no memory")])

    def half(group: Group) -> Outcome:
        error = next(failures, None)
        return score(group) if error is None else Outcome(score(group[:1]).done, error)

    pool = pool_of(FakeRay(half), tmp_path)
    assert done_by(pool, 4, 4) == [str(i) for i in range(8)]
    assert pool.given_up == []


def test_an_actor_that_cannot_take_part_gets_no_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ray = FakeRay(score, refusals=["node7: another model there", None])
    assert done_by(pool_of(ray, tmp_path), 3, 3) == [str(i) for i in range(6)]
    assert [record.getMessage() for record in caplog.records] == ["a node cannot take part: node7: another model there"]
    assert ray.killed == 2


def test_a_run_ends_where_no_actor_starts(tmp_path: Path) -> None:
    why = "The actor died because of an error raised in its creation task\nNo module named 'runtime'"
    ray = FakeRay(score, refusals=[RayError(why)] * 100)
    with pytest.raises(PerchError, match=r"no actor starts \(No module named 'runtime'\); every node needs"):
        done_by(pool_of(ray, tmp_path), 3)


def test_a_run_ends_where_no_actor_gets_anything_done(tmp_path: Path) -> None:
    pool = pool_of(FakeRay(lambda group: Outcome((), PerchError("the model cannot be loaded"))), tmp_path)
    with pytest.raises(PerchError, match="nothing can be done on the Ray cluster: the model cannot be loaded"):
        done_by(pool, *[50] * 20)


def test_a_run_ends_where_all_actors_are_lost_at_work(tmp_path: Path) -> None:
    def ends(group: Group) -> Outcome:
        raise RayError("out of memory")

    pool = pool_of(FakeRay(ends), tmp_path, units=1000)
    with pytest.raises(PerchError, match=r"every actor on the Ray cluster was lost .*: out of memory"):
        done_by(pool, *[50] * 20)


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    pool = pool_of(FakeRay(lambda group: Outcome((), OutputError("no space left"))), tmp_path)
    with pytest.raises(OutputError, match="no space left"):
        done_by(pool, 3)


def test_a_cluster_without_room_is_waited_for_with_a_warning_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray_pool, "WARN_S", -1.0)
    monkeypatch.setattr(ray_pool, "PATIENCE_S", 0.01)
    ray = FakeRay(score)
    monkeypatch.setattr(ray, "wait", lambda refs, **_: ([], refs))
    with pytest.raises(PerchError, match=r"had no room for an actor, which needs 2 CPUs and 0\.4 GB, for 0 minutes"):
        done_by(pool_of(ray, tmp_path), 3)
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for room on the Ray cluster: an actor needs 2 CPUs and 0.4 GB"
    ]

"""What is scored next, without workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from runtime.workers.protocol import Done, Opened, Rows, Task
from runtime.workers.schedule import Schedule

WINDOWS = 12


def schedule(
    recordings: int, room: Callable[[], bool] = lambda: True, time_left: Callable[[], float] | None = None
) -> Schedule:
    return Schedule([Task(i, Path(f"{i}.wav")) for i in range(recordings)], room, 120, time_left)


def windows(task: Task) -> np.ndarray:
    return np.arange(WINDOWS)[task.offset :: task.step]


def score(to_score: Schedule, task: Task) -> None:
    indices = windows(task)
    to_score.note(task, Rows(indices, {}, np.ones(len(indices), bool)))
    to_score.note(task, Done(None, WINDOWS))


def taken(to_score: Schedule) -> Task:
    task = to_score.next()
    assert task is not None
    return task


def test_tasks_come_in_order_and_parts_before_what_follows() -> None:
    tasks = schedule(3)
    first = taken(tasks)
    assert first == Task(0, Path("0.wav"))
    tasks.note(first, Opened(3, 250))
    assert [taken(tasks).part for _ in range(2)] == [1, 2]
    assert taken(tasks).recording == 1
    assert tasks.share(first) == 1 / 3


def test_nobody_works_ahead_without_room() -> None:
    room = False
    tasks = schedule(3, room=lambda: room)
    first = taken(tasks)  # what all wait for is always scored
    assert tasks.next() is None
    score(tasks, first)
    assert taken(tasks).recording == 1
    room = True
    assert taken(tasks).recording == 2


def test_a_task_that_crashed_is_tried_again_alone() -> None:
    tasks = schedule(4)
    first, second = taken(tasks), taken(tasks)
    assert tasks.retry(first)
    assert tasks.next() is None  # not beside the second
    score(tasks, second)
    assert taken(tasks) == first
    assert tasks.next() is None  # nor anything beside it
    assert not tasks.retry(first)
    assert taken(tasks).recording == 2
    score(tasks, taken(tasks))
    assert tasks.unfinished


def test_every_window_is_visited_once_where_there_is_time() -> None:
    tasks = schedule(5, room=lambda: False, time_left=lambda: 1e9)
    visited: list[tuple[int, int]] = []
    while tasks.unfinished:
        task = taken(tasks)
        visited += [(task.recording, int(index)) for index in windows(task)]
        score(tasks, task)
    assert sorted(visited) == [(i, k) for i in range(5) for k in range(WINDOWS)]


def test_every_recording_is_visited_before_any_is_finished() -> None:
    tasks = schedule(50, room=lambda: False, time_left=lambda: 1e-6)
    first = [taken(tasks) for _ in range(2)]
    for task in first:
        score(tasks, task)
    assert {task.step for task in first} == {2}
    rest = [taken(tasks) for _ in range(48)]
    assert [task.recording for task in rest] == list(range(2, 50))
    assert min(task.step for task in rest) > 2  # so little time is left that every other window is too much
    for task in rest:
        score(tasks, task)
    again = taken(tasks)
    assert again.offset == again.step // 2 == rest[0].step // 2  # the widest gaps first


def test_shares_of_a_recording_add_up() -> None:
    tasks = schedule(1, time_left=lambda: 1e-6)
    total = 0.0
    while tasks.unfinished:
        task = taken(tasks)
        score(tasks, task)
        total += tasks.share(task)
    assert total == 1

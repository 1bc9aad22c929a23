"""A request: checked by itself, and the one source of signature, docstring, `--help`, documentation and journal."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from runtime import Detections, InputError, Model, run_soundscapes
from runtime.model.artifact import read_artifact
from runtime.model.profile import Setup
from runtime.request.archive import ArchiveOptions
from runtime.request.field import option, options_of
from runtime.request.keywords import python_help
from runtime.request.parser import make_parser, parse_args, request_of, terminal_help
from runtime.request.request import Request
from runtime.request.values import number
from runtime.workers.job import make_job

OPTIONS = options_of(Request)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"activation": "relu"}, "activation is 'relu', but must be 'none', 'sigmoid' or 'softmax'"),
        ({"normalize": None}, "normalize is None, but must be 'raw' or 'peak'"),
        ({"logit_scale": "x"}, "logit_scale is 'x', but must be None or 'perch-hoplite'"),
        ({"device": "gpu"}, "device is 'gpu', but must be 'auto', 'cpu', 'cuda' or 'cuda:1'"),
        ({"tf32": 1}, "tf32 is 1, but must be True or False"),
        ({"hop_s": 0}, "hop_s is 0, but must be more than 0 seconds and less than a day"),
        ({"hop_s": float("nan")}, "hop_s is nan"),
        ({"threads": 0}, "threads is 0, but must be at least 1"),
        ({"workers": "3"}, "workers is '3', but must be a whole number"),
        ({"fill": "none"}, "fill is 'none', but must be a number"),
        ({"deadline_s": -1}, "deadline_s is -1, but must be more than 0 seconds"),
        ({"deadline_s": float("inf")}, "deadline_s is inf, but must be more than 0 seconds and at most a year"),
        ({"progress": 3}, "progress is 3, but must be True, False or a function"),
        ({"detections": {"top": 3}}, "must be a Detections, such as Detections(top=3)"),
        ({"unmapped": "genus"}, "unmapped is 'genus', but must be 'zero' or a number, or one of"),
        ({"outputs": 5}, "outputs is 5, but must be a name or a list of names"),
        ({"outputs": ["label", 5]}, "outputs is ['label', 5], but must be a name"),
        ({"outputs": [["label"]]}, "outputs is [['label']], but must be a name"),
        ({"resume": True}, "resume needs a sink"),
        ({"detections": Detections(top=1)}, "detections need a sink"),
        (
            {"channel": "both"},
            "channel is 'both', but must be 'mix', 'left', 'right', 'each', 'loudest', or a channel's number",
        ),
        ({"channel": 0}, "channel is 0, but must be"),
        ({"channel": 1.5}, "channel is 1.5, but must be"),
        ({"segments": "peaks", "channel": "loudest"}, "has no channel in which segments='peaks' could look"),
        ({"segments": "peaks", "smooth": [1]}, "smooth takes the mean of neighbouring windows"),
        ({"segments": "peaks", "shifts": [0, 1]}, "shifts move the windows of a grid"),
        ({"segments": "peaks", "pool": "max", "hop_s": 2.5}, "windows around peaks have no hop"),
        ({"pool": "max"}, "pool needs hop_s, which says how far apart windows start: half a window or less"),
        ({"pool": "median", "hop_s": 2.5}, "pool is 'median', but must be None, 'max' or 'mean'"),
        ({"pool": "max", "hop_s": 2.5, "shifts": [0, 1]}, "pool and shifts both say which windows make a row"),
        ({"shifts": [0.5, -0.5]}, "shifts is [0.5, -0.5], but must be seconds, with 0 for the window itself"),
        ({"shifts": [0, float("inf")]}, "must be seconds, with 0"),
        ({"shifts": 0}, "shifts is 0, but must be seconds, with 0"),
        ({"on_deadline": "interpolate", "resume": True, "sink": "x.csv"}, "cannot be resumed"),
    ],
)
def test_what_cannot_be_used_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=re.escape(problem)):
        Request(**options)


@pytest.mark.parametrize("wrong", [[1, 2], [], [1, 0, 1], [1, -1, 1], [1, float("nan"), 1], ["x"]])
def test_weights_that_make_no_mean_are_refused(wrong: list[float]) -> None:
    with pytest.raises(InputError, match="must be the weights of a window"):
        Request(smooth=wrong)


def test_a_channel_has_one_value_whatever_it_is_called() -> None:
    for one, other in (("left", 1), ("2", "right"), ("12", 12)):
        assert dict(Request(channel=one).journal()) == dict(Request(channel=other).journal())


def test_weights_of_any_size_are_shares() -> None:
    for smooth in ([1e39, 2e39, 1e39], [1e-50, 2e-50, 1e-50]):
        assert Request(smooth=smooth).weights == (0.25, 0.5, 0.25)


@pytest.mark.parametrize(
    ("function", "own"),
    [(run_soundscapes, ["soundscapes", "model"]), (Model.run, ["self", "samples", "sample_rate", "name"])],
)
def test_signature_and_docstring_are_the_requests(function: Callable[..., object], own: list[str]) -> None:
    parameters = inspect.signature(function).parameters
    assert list(parameters) == [*own, *(field.name for field in fields(Request))]
    assert {name: parameters[name].default for name in list(parameters)[len(own) :]} == {
        field.name: field.default for field in fields(Request)
    }
    assert get_type_hints(function).keys() | {"self"} == {*parameters, "return", "self"}
    assert function.__doc__ is not None
    doc = " ".join(function.__doc__.split())
    assert "request:" not in doc
    helps = [f" {each.name}: {' '.join(python_help(each).split())}" for each in OPTIONS]
    assert "".join(helps) + " Returns: " in doc


def test_keywords_that_nobody_knows_are_refused() -> None:
    with pytest.raises(TypeError, match=r"run_soundscapes\(\) got an unexpected keyword argument 'outptus'"):
        run_soundscapes("in", "perch.onnx", outptus=["label"])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"run_soundscapes\(\) missing a required argument: 'model'"):
        run_soundscapes("in")  # type: ignore[call-arg]


def test_help_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10000")
    said = make_parser().format_help()
    for each in (*OPTIONS, *options_of(Detections), *options_of(ArchiveOptions)):
        if each.group:
            assert f"\n{each.group}:\n" in said
            assert terminal_help(each) in said
            assert "`" not in terminal_help(each)
            assert all(flag in said for flag in each.flags)
        else:
            assert each.name in ("detections", "progress")
    assert "after --activation. Windows" in said
    assert "(default: the length of a window, 5 s)" in said
    assert "--sink" not in said


def test_command_line_asks_for_what_python_does() -> None:
    arguments = "in --model m.onnx -o out.csv"
    assert request_of(parse_args(arguments.split())) == Request(sink="out.csv")
    assert request_of(parse_args(f"{arguments} --file-scale --quiet".split())).file_scale == 2
    more = (
        "--outputs label,embedding --device cpu --workers 2 --hop 2.5 --unmapped -3.5 --smooth 1,2,1 --deadline 85m "
        "--fill -1 --recording-timeout 60s --resume --top 3 --format raven --quiet --sink other.csv --max-peaks 3 "
        "--tf32"
    )
    assert request_of(parse_args(f"{arguments} {more}".split())) == Request(
        outputs=("label", "embedding"),
        device="cpu",
        workers=2,
        hop_s=2.5,
        unmapped="-3.5",  # type: ignore[arg-type]
        smooth=(1.0, 2.0, 1.0),
        deadline_s=5100.0,
        fill=-1.0,
        recording_timeout_s=60.0,
        tf32=True,
        resume=True,
        sink="other.csv",
        max_peaks=3,
        detections=Detections(top=3, format="raven"),
        progress=False,
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("in --model m.onnx", "required: -o/--output"),
        ("in -o out.csv", "required: --model"),
        ("--map-report map.csv in --model m.onnx", "required: -o/--output"),
        ("--doctor in", "--doctor goes with --model, --device, not with SOUNDSCAPES"),
        ("--doctor --outputs label --map-report x.csv", "not with --outputs, --map-report"),
        ("--doctor --top 3", "not with --top"),
        ("--doct", "unrecognized arguments: --doct"),
        ("in --model m.onnx -o out.csv --hop 5x", "argument --hop: '5x' is no time; write 85m, 1.5h or 300s"),
        (
            "--model m.onnx -o out.csv --file-scale in/",
            "'in/' is no number, such as 2; write it, or name another option",
        ),
        ("in --model m.onnx -o out.csv --smooth 1,x", "'1,x' are no numbers; write them like 1,2,1"),
        ("in --model m.onnx -o out.csv --activation relu", "invalid choice: 'relu'"),
    ],
)
def test_wrong_use_is_said(arguments: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_args(arguments.split())
    assert problem in capsys.readouterr().err


def test_journal_is_that_of_all_versions(model: Path) -> None:
    """So what an older version left is resumed."""
    request = Request(
        outputs=["label", "embedding", "label"],
        hop_s=2.5,
        namespace="ebird2021",
        smooth=[1, 2, 1],
        embedding_dtype="float16",
        deadline_s=60,
        workers=3,
        progress=print,
    )
    job = make_job(read_artifact(model), model, request, "cuda:1", Setup(3, 1, 2), None)
    assert job.options == {
        "outputs": ("label", "embedding"),
        "hop": 80000,
        "normalize": "raw",
        "segments": "grid",
        "max_peaks": None,
        "classes": None,
        "class_columns": None,
        "unmapped": None,
        "namespace": "ebird2021",
        "logit_scale": None,
        "activation": "none",
        "smooth": (0.25, 0.5, 0.25),
        "embedding_dtype": "float16",
        "device": "cuda",
        "batch_size": 2,
        "threads": 1,
    }
    assert job.request.progress is False  # it goes to other processes


def test_tf32_is_recorded_where_it_changes_rows(model: Path) -> None:
    def options(device: str, **asked: bool) -> dict[str, object]:
        return make_job(read_artifact(model), model, Request(**asked), device, Setup(1, 1, 2), None).options

    assert options("cuda:1", tf32=True) == {**options("cuda:1"), "tf32": True}
    assert options("cpu", tf32=True) == options("cpu")


@dataclass(frozen=True, kw_only=True)
class Later(Request):
    """A request of a later version."""

    gain: float = option(1.0, "what samples are multiplied by", check=number, recording=True)


def test_a_new_option_leaves_older_journals_as_they_are() -> None:
    assert dict(Later().journal()) == dict(Request().journal())
    assert dict(Later(gain=2).journal()) == {**dict(Request().journal()), "gain": 2.0}
    assert Later(gain=2).of_recordings == {"normalize": "raw", "channel": "mix", "gain": 2.0}


def test_values_may_begin_with_a_minus() -> None:
    arguments = "wavs --model m.onnx -o out.csv --shifts -0.5,0 --timezone -03:30 --fill -1e3"
    request = request_of(parse_args(arguments.split()))
    assert (request.shifts, request.timezone, request.fill) == ((-0.5, 0), "-03:30", -1000)


def test_options_are_made_once_and_not_in_each_run() -> None:
    assert options_of(Request) is OPTIONS

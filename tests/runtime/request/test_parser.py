"""What the command line says of wrong arguments: one line, with options called as they are there."""

from __future__ import annotations

import pytest

from runtime.request.parser import in_flags, parse_args


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["recordings"], "the following arguments are required: -o/--output, --model"),
        (["recordings", "--bogus"], "unrecognized arguments: --bogus"),
        (["recordings", "--resum"], "unrecognized arguments: --resum"),
        (["recordings", "--deadline", "-3"], "argument --deadline: '-3' is no time; write 85m, 1.5h or 300s"),
    ],
)
def test_wrong_arguments_are_one_line(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_args([*args, *(["--model", "x", "-o", "y.csv"] if said.startswith("unrec") else [])])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"perch-run: {said}; `perch-run --help` explains the options\n"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("hop_s is 0, but must be more", "--hop is 0, but must be more"),
        ("workers is 0, but must be at least 1", "--workers is 0, but must be at least 1"),
        (
            "cannot resume a.csv: hop_s was 5 and is 2.5; pool was x",
            "cannot resume a.csv: --hop was 5 and is 2.5; --pool was x",
        ),
        ("windows have no hop; leave out hop_s, or use segments='grid'", None),
        ("the model has no output 'label'; workers die", "the model has no output 'label'; workers die"),
        ("there is no model at /data/batch_size/hop_s.onnx", "there is no model at /data/batch_size/hop_s.onnx"),
    ],
)
def test_options_are_called_by_their_flags(message: str, shown: str | None) -> None:
    assert in_flags(message) == (shown or "windows have no hop; leave out --hop, or use --segments grid")

"""The rows of an unfinished run on disk: what comes back is what was written, or is refused."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import InputError
from runtime.rows.block import Block, Columns
from runtime.rows.changes import changes
from runtime.rows.finished import Finished
from runtime.rows.formats.csv_file import CsvFile
from runtime.rows.sinks import FileSink, Target
from runtime.rows.spool import ChangedError, Spool, unfinished_run

ABOUT = {"sample_rate": "32000"}
COLUMNS = Columns({"label": (3,), "embedding": (2, 2)}, {"label": ("a", "b", "c")}, ABOUT, {"embedding": "float16"})
RUN = {"model": "abc", "threads": 1, "outputs": ("label", "embedding")}


def part(number: int) -> tuple[Block, Finished]:
    rows = 2 + number
    random = np.random.default_rng(number)
    outputs = {
        "label": random.standard_normal((rows, 3), np.float32),
        "embedding": random.standard_normal((rows, 2, 2)).astype(np.float16),
    }
    ids = [f"r{number}_{5 * (i + 1)}" for i in range(rows)]
    starts = 5.0 * np.arange(rows)
    status = np.array(["scored"] * (rows - 1) + ["failed"], "<U12")
    block = Block(f"/in/r{number}.wav", ids, starts, starts + 5, status, outputs)
    return block, Finished(f"/in/r{number}.wav", f"r{number}", 10, 20, 0, 1, None, None, ("a note",))


FINISHED = asdict(part(0)[1])


def filled(target: Path, parts: int = 3) -> Spool:
    spool = Spool(target, COLUMNS, RUN, resume=False)
    for number in range(parts):
        spool.append(*part(number))
    return spool


def same(found: Block, expected: Block) -> None:
    assert (found.path, found.row_ids, found.status.tolist()) == (
        expected.path,
        expected.row_ids,
        expected.status.tolist(),
    )
    for name, values in expected.outputs.items():
        assert found.outputs[name].dtype == values.dtype
        np.testing.assert_array_equal(found.outputs[name], values)


def test_rows_come_back_in_this_run_and_the_next(tmp_path: Path) -> None:
    spool = filled(tmp_path / "out.csv")
    for number, block in enumerate(spool.blocks()):
        same(block, part(number)[0])
    spool.close(keep=True)
    assert unfinished_run(tmp_path / "out.csv") == json.loads(json.dumps(RUN))
    again = Spool(tmp_path / "out.csv", COLUMNS, RUN, resume=True)
    assert [finished.name for finished, _ in again.finished] == ["r0", "r1", "r2"]
    assert again.finished[1][1] == {"failed": 1, "scored": 2}
    again.append(*part(3))
    assert [block.row_ids for block in again.blocks()] == [part(number)[0].row_ids for number in range(4)]
    again.close(keep=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_rows_cut_off_during_a_run_are_missed(tmp_path: Path, share: float) -> None:
    spool = filled(tmp_path / "out.csv")
    with spool.path.open("r+b") as file:
        file.truncate(int(share * spool.path.stat().st_size))
    left = "none is left; delete it" if share == 0 else r"the first \d are there .* --resume"
    with pytest.raises(ChangedError, match=rf"changed by another program.* of 3 finished .* {left}"):
        list(spool.blocks())
    with pytest.raises(ChangedError, match=left):
        spool.append(*part(3))
    spool.close(keep=None)
    again = Spool(tmp_path / "out.csv", COLUMNS, RUN, resume=True)
    whole = len(again.finished)
    assert whole == {0.0: 0, 0.1: 0, 0.5: 1, 0.99: 2}[share]
    for number, block in enumerate(again.blocks()):
        same(block, part(number)[0])
    again.close(keep=False)


def test_any_changed_byte_is_noticed(tmp_path: Path) -> None:
    spool = filled(tmp_path / "out.csv")
    data = spool.path.read_bytes()
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        spool.path.write_bytes(changed)
        with pytest.raises(ChangedError):
            list(spool.blocks())
    spool.path.write_bytes(data)
    assert len(list(spool.blocks())) == 3
    spool.close(keep=True)
    for at in range(0, len(data), 31):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        spool.path.write_bytes(changed)
        try:
            again = Spool(tmp_path / "out.csv", COLUMNS, RUN, resume=True)
        except InputError as error:
            assert "is in the way" in str(error)
            assert spool.path.read_bytes() == changed
            continue
        assert len(again.finished) < 3
        for number, block in enumerate(again.blocks()):
            same(block, part(number)[0])
        again.close(keep=True)


def test_rows_of_another_run_in_their_place_are_noticed(tmp_path: Path) -> None:
    spool, other = filled(tmp_path / "out.csv"), filled(tmp_path / "other.csv", 0)
    for number in (0, 2, 1):  # whole records, as long in all
        other.append(*part(number))
    spool.path.write_bytes(other.path.read_bytes())
    with pytest.raises(ChangedError):
        list(spool.blocks())
    for each in (spool, other):
        each.close(keep=False)


def edited(path: Path, number: int, **changes: object) -> None:
    """Changes a record's text, with the checksum that goes with it."""
    data, start = path.read_bytes(), 0
    for _ in range(number + 1):
        text, body = (int.from_bytes(data[start + i : start + i + 8], "little") for i in (0, 8))
        begin, start = start, start + 16 + text + 4 + body
    header = json.dumps({**json.loads(data[begin + 16 : begin + 16 + text]), **changes}).encode()
    head = len(header).to_bytes(8, "little") + data[begin + 8 : begin + 16] + header
    crc32 = zlib.crc32(head).to_bytes(4, "little")
    path.write_bytes(data[:begin] + head + crc32 + data[begin + 16 + text + 4 :])


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        (0, {"run": {**RUN, "threads": 0}}, "threads was 0 and is 1"),
        (0, {"run": [1]}, "is in the way"),
        (0, {"format": 4}, r"not left by a run of this version \(its format is 4, this version's is 5\)"),
        (1, {"row_ids": ["x_5"]}, "is in the way"),
        (1, {"row_ids": 7}, "is in the way"),
        (1, {"counts": {"scored": "2"}}, "is in the way"),
        (1, {"finished": {"path": 1}}, "is in the way"),
        (1, {"finished": FINISHED | {"notes": None}}, "is in the way"),
        (1, {"finished": FINISHED | {"failure": 1}}, "is in the way"),
        (1, {"finished": FINISHED | {"windows": "2"}}, "is in the way"),
    ],
)
def test_texts_that_make_no_sense_are_refused(
    tmp_path: Path, number: int, changes: dict[str, object], message: str
) -> None:
    spool = filled(tmp_path / "out.csv")
    spool.close(keep=True)
    edited(spool.path, number, **changes)
    before = spool.path.read_bytes()
    with pytest.raises(InputError, match=message):
        Spool(tmp_path / "out.csv", COLUMNS, RUN, resume=True)
    assert spool.path.read_bytes() == before


def test_deep_text_is_no_traceback(tmp_path: Path) -> None:
    text = b'{"format": 5, "run": ' + b"[" * 10**6
    head = len(text).to_bytes(8, "little") + bytes(8) + text
    (tmp_path / "out.csv.partial").write_bytes(head + zlib.crc32(head).to_bytes(4, "little"))
    assert unfinished_run(tmp_path / "out.csv") == {}
    with pytest.raises(InputError, match="is in the way"):
        Spool(tmp_path / "out.csv", COLUMNS, RUN, resume=True)


@pytest.mark.parametrize("left", [0, 30, -1])
def test_a_first_record_that_broke_off_is_begun_anew(tmp_path: Path, left: int) -> None:
    spool = filled(tmp_path / "out.csv", 0)
    spool.close(keep=True)
    data = spool.path.read_bytes()
    spool.path.write_bytes(data[:left] if left else bytes(500))
    again = Spool(tmp_path / "out.csv", COLUMNS, RUN, resume=True)
    assert again.finished == []
    again.close(keep=True)
    assert spool.path.read_bytes() == data


def test_other_shapes_do_not_cost_the_rows(tmp_path: Path) -> None:
    filled(tmp_path / "out.csv").close(keep=True)
    before = (tmp_path / "out.csv.partial").read_bytes()
    narrow = replace(COLUMNS, shapes={"label": (2,)})
    with pytest.raises(InputError, match=r"outputs was .* and is"):
        Spool(tmp_path / "out.csv", narrow, {**RUN, "outputs": ("label",)}, resume=True)
    assert (tmp_path / "out.csv.partial").read_bytes() == before


def test_options_that_one_run_does_not_name_count(tmp_path: Path) -> None:
    filled(tmp_path / "out.csv").close(keep=True)
    with pytest.raises(InputError, match=r"gain was not given and is 2;"):
        Spool(tmp_path / "out.csv", COLUMNS, {**RUN, "gain": 2.0}, resume=True)
    with pytest.raises(InputError, match=r"outputs was .* and is not given"):
        Spool(tmp_path / "out.csv", COLUMNS, {name: value for name, value in RUN.items() if name != "outputs"}, True)


@pytest.mark.parametrize(("at", "advice"), [(600, "--resume"), (0, "none is left; delete it, and run anew")])
def test_a_file_is_not_made_of_rows_that_were_changed(tmp_path: Path, at: int, advice: str) -> None:
    columns = Columns({"label": (3,)}, {"label": ("a", "b", "c")})
    sink = FileSink(Target(tmp_path / "out.csv", CsvFile(), columns, 0.0), RUN, resume=False)
    for number in range(3):
        block, finished = part(number)
        sink.append(replace(block, outputs={"label": block.outputs["label"]}), finished)
    with (tmp_path / "out.csv.partial").open("r+b") as file:
        file.seek(at)
        file.write(b"overwritten")
    with pytest.raises(ChangedError, match=f"changed by another program.*{advice}"):
        sink.finish([])
    sink.close(keep=None)
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv.partial"]


@pytest.mark.parametrize(("keep", "stays"), [(True, True), (None, False), (False, False)])
def test_an_empty_spool_stays_where_a_run_was_interrupted(tmp_path: Path, keep: bool | None, stays: bool) -> None:
    filled(tmp_path / "out.csv", 0).close(keep)
    assert (tmp_path / "out.csv.partial").exists() is stays
    (tmp_path / "out.csv").touch()
    if stays:
        again = Spool(tmp_path / "out.csv", COLUMNS, RUN, resume=True)
        again.close(None)
        assert (tmp_path / "out.csv.partial").exists()  # it was there before


def test_a_run_that_begins_while_another_ends_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def close_late() -> None:
        close()
        others.append(filled(tmp_path / "out.csv", 0))

    first = filled(tmp_path / "out.csv", 0)
    others: list[Spool] = []
    close = first._file.close
    monkeypatch.setattr(first._file, "close", close_late)
    first.close(keep=False)
    others[0].close(keep=True)
    assert (tmp_path / "out.csv.partial").exists()


def test_changes_have_the_names_and_units_of_options() -> None:
    assert changes({"hop": 160000, "smooth": [0.25, 0.5]}, {"hop": 80000, "tf32": True}, 32000) == [
        "hop_s was 5 and is 2.5",
        "tf32 was not given and is given",
        "smooth was 0.25,0.5 and is not given",
    ]
    assert changes({"model": "0" * 64, "hop": 1}, {"model": "1" * 64, "hop": 2}, 1) == [
        "the model's id was 000000000000 and is 111111111111"
    ]
    birds = [f"bird{i}" for i in range(30)]
    assert changes({"classes": birds}, {"classes": birds[:29]}, 1) == ["classes was different"]
    assert changes({"classes": ["a"], "unmapped": 0}, {}, 1) == ["classes was a and is not given"]
    assert changes({"class_columns": [1, 2]}, {"class_columns": [2, 1]}, 1) == [
        "what the classes stand for was different"
    ]

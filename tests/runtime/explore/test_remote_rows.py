from pathlib import Path

import pytest

from convert.proof.synthetic import soundscape
from runtime.explore.cli import main
from tests.support.recordings import write
from tests.support.runs import run
from tests.support.stores import Store


def test_recordings_in_s3_are_drawn_and_searched(
    store: Store, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        write(tmp_path / "in" / f"{name}.wav", soundscape(ord(name), 20))
    url = store.put_folder(tmp_path / "in", "explored")
    run(url, model, sink="rows.parquet", outputs=("label", "embedding"))
    store.proxy.reset()
    assert main(["plot", "rows.parquet", "--timeline", "a.wav", "-o", "timeline.html"]) == 0
    assert "cannot be found" not in capsys.readouterr().out
    assert "data:image/png" in (tmp_path / "timeline.html").read_text()
    assert main(["plot", "rows.parquet", "--embed", "2", "-o", "cloud.html"]) == 0
    out = capsys.readouterr().out
    assert "2 windows with spectrogram and sound in the page" in out
    assert "links to" not in out
    assert main(["search", "rows.parquet", "--like", f"{url}/a.wav@1.5", "--model", str(model)]) == 0
    assert store.proxy.of("explored/a.wav") > 0
    store.server.delete_object(Bucket="recordings", Key="explored/a.wav")
    assert main(["plot", "rows.parquet", "--timeline", "a.wav", "-o", "timeline.html"]) == 0
    assert f"{url}/a.wav cannot be found" in " ".join(capsys.readouterr().out.split())
    store.proxy.denied = "/"
    assert main(["plot", "rows.parquet", "--timeline", "a.wav", "-o", "timeline.html"]) == 2
    assert f"cannot read {url}/a.wav: access denied" in " ".join(capsys.readouterr().err.split())

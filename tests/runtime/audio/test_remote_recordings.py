import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convert.proof.synthetic import soundscape
from runtime.audio.containers import stream
from runtime.audio.paths import find_recordings
from runtime.audio.recording import Recording, Window
from runtime.errors import InputError
from runtime.remote import Location, find
from tests.support.pyav_files import encode
from tests.support.recordings import RATE, WINDOW, cut, write
from tests.support.stores import Store, hurry
from tests.support.wav_files import chunk, pcm, wav

MEGABYTE = 2**20


def write_all(folder: Path) -> None:
    """A recording of every kind, some as no program should write them."""
    folder.mkdir()
    minute, sound = soundscape(1, 70), soundscape(2, 12)
    for name in ("a.flac", "a.ogg", "a.mp3", "stereo.wav"):
        write(folder / name, np.stack([sound, -sound / 2], 1) if "stereo" in name else sound)
    write(folder / "long.wav", minute)  # 4.5 MB
    write(folder / "long.ogg", minute)
    encode(folder / "a.m4a", sound, RATE, "aac")
    cut(encode(folder / "cut.mka", sound, RATE, "flac", "matroska"), 0.6)
    cut(write(folder / "cut.flac", sound), 0.6)
    cut(write(folder / "cut.ogg", sound), 0.6)
    cut(write(folder / "cut.mp3", sound), 0.6)
    data = pcm(sound)
    (folder / "unfinished.wav").write_bytes(wav(data, RATE, size=0x7FFFF000, behind=bytes(300)))
    (folder / "odd.wav").write_bytes(wav(data, RATE, before=chunk(b"junk", bytes(70_001), padded=False)))
    (folder / "joined.wav").write_bytes(wav(data, RATE) * 2)
    count = np.concatenate([np.where(np.arange(32) == 10, 1, -1), np.zeros(224)]).astype("<i2").tobytes()  # 8 s
    lead = bytes(-44 % 512)
    (folder / "20240512_053000T.WAV").write_bytes(wav(lead + data[:512_000] + count + data[512_000:], RATE))
    flac = (folder / "a.flac").read_bytes()
    (folder / "twice.flac").write_bytes(flac * 2)
    (folder / "holed.flac").write_bytes(flac[:200_000] + bytes(60_000) + flac[260_000:])
    mp3 = (folder / "a.mp3").read_bytes()
    (folder / "holed.mp3").write_bytes(mp3[:20_000] + bytes(9_000) + mp3[25_000:] + bytes(20_000))
    (folder / "empty.wav").touch()
    (folder / "zeros.wav").write_bytes(bytes(10_000))
    (folder / "text.ogg").write_text("no sound")


def read(location: Location) -> tuple[list[Window], Recording]:
    recording = Recording(location, RATE, WINDOW)
    return list(recording.windows()), recording


def test_every_kind_of_recording_reads_as_its_copy_on_the_disk(store: Store, tmp_path: Path) -> None:
    write_all(tmp_path / "all")
    found = find_recordings(store.put_folder(tmp_path / "all", "all"))
    local = find_recordings(tmp_path / "all")
    assert found.names == local.names
    assert len(found.paths) == 21
    for place, path in zip(found.paths, local.paths):
        (windows, recording), (expected, copy) = read(place), read(path)
        assert (recording.failure, recording.count, recording.notes) == (copy.failure, copy.count, copy.notes), path
        assert Recording(place, RATE, WINDOW).count_parts() == Recording(path, RATE, WINDOW).count_parts()
        assert [window.index for window in windows] == [window.index for window in expected]
        for window, other in zip(windows, expected):
            np.testing.assert_array_equal(window.samples, other.samples, str(path))


def test_a_header_is_read_without_the_recording(store: Store) -> None:
    data = np.random.default_rng(0).bytes(MEGABYTE) * 100
    (file,) = find_recordings(store.put("header/large.wav", wav(data, RATE))).paths
    store.proxy.reset()
    assert Recording(file, RATE, WINDOW).promised_windows() == -(-50 * MEGABYTE // WINDOW)
    assert store.proxy.of("large.wav") == 2
    assert store.proxy.received < MEGABYTE / 2


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3", "a.flac", "a.wav"])
def test_a_recording_is_read_once(store: Store, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, soundscape(1, 30))
    (file,) = find_recordings(store.put(f"once/{name}", path.read_bytes())).paths
    store.proxy.reset()
    recording = Recording(file, RATE, WINDOW)
    recording.count_parts()
    assert len(list(recording.windows())) == 6
    assert store.proxy.received < 1.02 * path.stat().st_size + 10_000
    assert store.proxy.of(name) < 12


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3", "a.flac", "a.wav", "a.mka", "unfinished.wav"])
def test_a_cut_is_mended_or_fails_the_recording(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hurry(tmp_path / "hurry", monkeypatch)
    sound = soundscape(1, 40)
    path = tmp_path / name
    path = encode(path, sound, RATE, "flac", "matroska") if name == "a.mka" else write(path, sound)
    if name == "unfinished.wav":
        path.write_bytes(wav(pcm(sound), RATE, size=0x7FFFF000))
    (file,) = find_recordings(store.put(f"cut/{name}", path.read_bytes())).paths
    expected, _ = read(path)
    after = 50_000 if name.endswith((".ogg", ".mp3")) else 150_000  # these are read as a whole before any window
    store.proxy.cuts[name] = after, np.inf
    windows, recording = read(file)
    assert recording.failure is not None
    assert "could not be reached for 0.3 s" in recording.failure
    assert recording.count is None
    for window, other in zip(windows, expected):
        if window.samples is not None:
            np.testing.assert_array_equal(window.samples, other.samples)
    read_s = 5 * sum(window.samples is not None for window in windows)
    assert read_s < 40
    assert all(window.samples is None for window in windows[read_s // 5 :])

    monkeypatch.setattr("runtime.blocks.FAILED_S", 0)
    monkeypatch.setattr("runtime.stores.PATIENCE_S", 60)
    store.proxy.cuts[name] = after, 3
    windows, recording = read(file)
    assert recording.failure is None
    np.testing.assert_array_equal([w.samples for w in windows], [w.samples for w in expected])
    assert store.proxy.cuts[name][1] == 0


def test_an_error_of_the_disk_below_libsndfile_fails_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libsndfile takes it for the end of the file, and gives what came before it as if it was all."""
    path = tmp_path / "unfinished.wav"
    path.write_bytes(wav(pcm(soundscape(1, 30)), RATE, size=1000))
    real: Callable[..., int] = stream.Pieces.readinto

    def failing(self: stream.Pieces, buffer: memoryview) -> int:
        if self.tell() > MEGABYTE:
            raise OSError(5, "Input/output error")
        return real(self, buffer)

    monkeypatch.setattr(stream.Pieces, "readinto", failing)
    windows, recording = read(path)
    assert recording.failure == "input/output error"
    assert [window.samples is not None for window in windows] == [True] * 3 + [False] * 3


def test_a_file_that_is_gone_or_changed_says_so(store: Store, tmp_path: Path) -> None:
    url = store.put("changing/a.wav", wav(pcm(soundscape(1, 20)), RATE))
    (file,) = find_recordings(url).paths
    store.put("changing/a.wav", wav(pcm(soundscape(1, 10)), RATE))
    assert read(file)[1].failure == f"has changed since it was found, when it had {file.stat().st_size:,} bytes"
    store.put("changing/b.wav", b"1")
    (file,) = find_recordings(f"{url[:-5]}b.wav").paths
    store.server.delete_object(Bucket="recordings", Key="changing/b.wav")
    assert read(file)[1].failure == "there is no such file, folder or bucket"


NAMES = (
    *("b.WAV", "a/z.ogg", "c.Flac", "a/._z.ogg", ".hidden.wav", "notes.txt", "a/deep/er/x.mp3", "north/0500.wav"),
    *("south/0500.wav", "south/0500.flac", ".trash/a.wav", "south/@eaDir/b.wav", "a/phone.M4A", "Odd [1] name?.wav"),
    *("audacity/e0000001.au", "a/.cache/.more/c.wav", "south/.DS_Store", "ä/ö.wav", "50%20.wav", "#1.wav"),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.mark.parametrize(
    "sources",
    [
        *("/", "", "/*", "/*/0500.*", "/**", "/**/*.wav", "/s*h", "/.trash", "/.*/*", "/a|/south", "/south/@eaDir/*"),
        *(
            "/*/@eaDir",
            "/b.WAV",
            "/b.WAV|/b.WAV",
            "/notes.txt",
            "/Odd [1] name?.wav",
            "/a/**/x.mp3|/[bc]*",
            "/a/.cache",
        ),
        "/*/|/c.?lac",
    ],
)
def test_folders_and_globs_give_what_they_give_on_a_disk(store: Store, tree: Path, sources: str) -> None:
    url = store.put_folder(tree, "tree")
    store.put("tree/", b"")  # how consoles of stores make folders
    store.put("tree/a/", b"")
    local = find_recordings([f"{tree}{source}" for source in sources.split("|")])
    store.proxy.reset()
    found = find_recordings([f"{url}{source}" for source in sources.split("|")])
    assert found.below == local.below
    assert found.names == local.names
    assert [path.name for path in found.paths] == [path.name for path in local.paths]
    assert [path.stat().st_size for path in found.paths] == [path.stat().st_size for path in local.paths]
    assert str(found.root).removeprefix(url) == str(local.root).removeprefix(str(tree))
    assert (found.skipped, found.hidden_files, found.no_reader) == (
        *(local.skipped, local.hidden_files),
        local.no_reader,
    )
    assert {path.removeprefix(url) for path in found.hidden} == {path.removeprefix(str(tree)) for path in local.hidden}
    assert len(store.proxy.requests) <= 5 * len(sources.split("|"))


def test_places_on_a_disk_and_at_urls_together(store: Store, tree: Path, tmp_path: Path) -> None:
    url = store.put_folder(tree / "south", "south")
    found = find_recordings([tree / "south", url, f"file://{tree}/north"])
    base = str(tree).lstrip("/")
    assert found.names == (
        *("s3/recordings/south/0500.flac", "s3/recordings/south/0500.wav"),
        *(f"{base}/north/0500", f"{base}/south/0500.flac", f"{base}/south/0500.wav"),
    )
    assert found.root == ""
    with pytest.raises(InputError, match=r"there is no file or folder '.*/nowhere'"):
        find_recordings(f"file://{tmp_path}/nowhere")


def test_libsndfile_reads_the_same_through_python(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a.aiff", soundscape(1, 3))
    file = find(store.put("plain/a.aiff", path.read_bytes()))[""]
    with file.open() as opened, io.BytesIO(path.read_bytes()) as memory:
        np.testing.assert_array_equal(soundfile.read(opened)[0], soundfile.read(memory)[0])

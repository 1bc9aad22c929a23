import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from runtime.audio.paths import find_recordings
from runtime.audio.recording import Recording
from runtime.blocks import BlockCache
from runtime.errors import InputError
from runtime.remote import RemoteFile, RemoteFolder, find, path_below
from tests.support.recordings import RATE, WINDOW, write
from tests.support.stores import BUCKET, Store, hurry


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 0.1).astype(np.float32)


def remote(url: str) -> RemoteFile:
    return find(url)[""]


def test_only_what_is_looked_at_is_read(store: Store) -> None:
    data = noise(1).tobytes() * 250  # 32 MB
    file = remote(store.put("large.bin", data))
    store.proxy.reset()
    with file.open() as opened:
        assert opened.read(1000) == data[:1000]
        opened.seek(-1000, 2)
        assert opened.read() == data[-1000:]
        opened.seek(16_000_000)
        assert opened.read(10) == data[16_000_000:16_000_010]
    assert store.proxy.of("large.bin") == 3
    assert store.proxy.received < 500_000


def test_reading_on_fetches_every_byte_once_and_ever_more_at_once(store: Store) -> None:
    data = noise(100).tobytes()  # 12.8 MB
    file = remote(store.put("long.bin", data))
    store.proxy.reset()
    with file.open() as opened:
        assert b"".join(iter(lambda: opened.read(50_000), b"")) == data
        opened.seek(0)
        assert opened.read() == data
    assert store.proxy.of("long.bin") < 12
    assert store.proxy.received < 1.02 * len(data)


def test_memory_is_bounded_and_threads_read_what_is_there() -> None:
    files = {name: noise(50, name).tobytes() for name in range(3)}
    cache = BlockCache[int](lambda name, start, end: files[name][start:end], 2**22)

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(30):
            name, start = int(rng.integers(3)), int(rng.integers(6_000_000))
            for at in range(start, min(start + int(rng.integers(2_000_000)), 6_000_000), 60_000):
                assert cache.read(name, at, at + 60_000, 6_400_000) == files[name][at : at + 60_000]

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(read, range(4)))
    assert sum(map(len, cache._grains.values())) <= 2**22


def test_a_broken_connection_is_tried_again(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(tmp_path / "hurry", monkeypatch)
    monkeypatch.setattr("runtime.stores.PATIENCE_S", 60)
    data = noise(10).tobytes()
    file = remote(store.put("cut.bin", data))
    store.proxy.cuts["cut.bin"] = 100_000, 4
    assert file.open().read() == data
    assert store.proxy.cuts["cut.bin"][1] == 0


def test_a_connection_that_stays_broken_fails_with_the_reason_and_then_at_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(tmp_path / "hurry", monkeypatch)
    file = remote(store.put("cut.bin", noise(10).tobytes()))
    store.proxy.cuts["cut.bin"] = 100_000, np.inf
    with pytest.raises(OSError, match=r"could not be reached for 0.3 s"):
        file.open().read()
    tries = store.proxy.of("cut.bin")
    with pytest.raises(OSError, match=r"could not be reached for 0.3 s"):
        file.open().read()
    assert store.proxy.of("cut.bin") == tries
    monkeypatch.setattr("runtime.blocks.FAILED_S", 0)
    store.proxy.cuts.clear()
    assert len(file.open().read()) == file.size


def test_what_waiting_does_not_mend_fails_at_once(store: Store) -> None:
    missing, secret = remote(store.put("gone.wav", b"1")), remote(store.put("secret.wav", b"1"))
    store.server.delete_object(Bucket=BUCKET, Key="gone.wav")
    store.proxy.denied = "secret"
    with pytest.raises(FileNotFoundError, match="there is no such file, folder or bucket"):
        missing.open().read()
    with pytest.raises(PermissionError, match=r"access denied \(Access Denied\)"):
        secret.open().read()
    assert (store.proxy.of("gone.wav"), store.proxy.of("secret.wav")) == (1, 1)


@pytest.mark.parametrize("size", [10, 900_000, 1_000_001])
def test_a_file_whose_size_changed_fails(store: Store, size: int) -> None:
    file = remote(store.put("changing.wav", bytes(1_000_000)))
    store.put("changing.wav", bytes(size))
    with pytest.raises(OSError, match="has changed since it was found, when it had 1,000,000 bytes"):
        file.open().read()


def test_a_folder_of_files(store: Store) -> None:
    folder = RemoteFolder(f"s3://{BUCKET}/out")
    assert folder.files() == {}
    folder.write("rows/part-1", b"12345")
    folder.write("rows/part-1", b"123")
    folder.write("status/part-1", b"")
    assert folder.write_once("manifest", b"1")
    assert folder.write_once("manifest", b"1")
    assert not folder.write_once("manifest", b"2")
    assert folder.files() == {"rows/part-1": 3, "status/part-1": 0, "manifest": 1}
    assert folder.files("rows/pa") == folder.files("rows/") == {"rows/part-1": 3}
    assert folder.files("ro") == {"rows/part-1": 3}
    assert (folder.read("manifest"), folder.read("rows/part-1")) == (b"1", b"123")
    folder.remove("manifest")
    folder.remove("manifest")
    assert "manifest" not in folder.files()
    with pytest.raises(FileNotFoundError):
        folder.read("manifest")
    assert str(folder) == f"s3://{BUCKET}/out"


def test_a_lost_answer_does_not_hide_that_a_file_was_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(tmp_path / "hurry", monkeypatch)
    monkeypatch.setattr("runtime.stores.PATIENCE_S", 60)
    store.proxy.cuts["lost/manifest"] = 0, 1
    assert RemoteFolder(f"s3://{BUCKET}/lost").write_once("manifest", b"mine")
    assert [method for method, path in store.proxy.requests if "lost/manifest" in path].count("PUT") == 2


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "s3fs", None)
        patch.delitem(_registry, "s3", raising=False)
        with pytest.raises(InputError, match=r"^s3:// needs fsspec and s3fs: `pip install fsspec s3fs` \(or '.\[remo"):
            find("s3://bucket/a.wav")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(InputError, match=r"^gs:// needs fsspec and gcsfs: `pip install fsspec gcsfs`"):
        find_recordings("gs://bucket/a.wav")


def test_urls_that_lead_nowhere_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"s3://{BUCKET}/nowhere", "s3://no-such-bucket/a", f"s3://{BUCKET}/*.nothing"):
        with pytest.raises(InputError, match=f"^there is no file or folder '{url}'".replace("*", r"\*")):
            find_recordings(url)
    with pytest.raises(InputError, match=r"^cannot open nothing://a: Protocol not known: nothing$"):
        find_recordings("nothing://a")
    store.proxy.denied = "/"
    with pytest.raises(InputError, match=r"^cannot look for recordings at 's3://recordings/a' \(access denied"):
        find_recordings(f"s3://{BUCKET}/a")


class Ranges(SimpleHTTPRequestHandler):
    """Sends parts of files, unless they are called `whole`."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if "Range" not in self.headers or "whole" in path.name:
            return super().do_GET()
        start, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        data, size = path.read_bytes()[start : end + 1], path.stat().st_size
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{start + len(data) - 1}/{size}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None


@pytest.fixture
def website(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "website"
    folder.mkdir()
    site = ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Ranges(*a, directory=str(folder)))  # type: ignore[arg-type]
    Thread(target=site.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{site.server_port}"
    site.shutdown()
    site.server_close()


def test_recordings_on_a_website(website: tuple[Path, str]) -> None:
    folder, url = website
    (folder / "site 1").mkdir()
    for path in (folder / "site 1" / "May 1.flac", folder / "b.wav", folder / "whole.wav"):
        write(path, noise(12))
    found = find_recordings(f"{url}/")
    local = find_recordings(folder)
    assert (
        (found.names, found.below)
        == (local.names, local.below)
        == (
            ("b", "May 1", "whole"),
            ("b.wav", "site 1/May 1.flac", "whole.wav"),
        )
    )
    for place, path in zip(found.paths[:2], local.paths):
        recording = Recording(place, RATE, WINDOW)
        read = [window.samples for window in recording.windows()]
        assert recording.failure is None
        np.testing.assert_array_equal(read, [window.samples for window in Recording(path, RATE, WINDOW).windows()])
        assert place.stat().st_mtime_ns == path.stat().st_mtime_ns // 10**9 * 10**9
    whole = Recording(found.paths[2], RATE, WINDOW)
    assert list(whole.windows()) == []
    assert whole.failure == "its server sends no parts of files"
    assert find_recordings(f"{url}/b.wav").names == ("b",)
    with pytest.raises(InputError, match="there is no file or folder"):
        find_recordings(f"{url}/c.wav")


def test_paths_below() -> None:
    assert path_below("s3://a/b/c.wav", "s3://a/b") == "c.wav"
    assert path_below("s3://a/b/c.wav", "") == path_below("s3://a/b/c.wav", "/data") == "s3/a/b/c.wav"
    assert path_below("https://a/b/c%20d.wav", "https://a") == "b/c d.wav"
    assert path_below("/data/x/c.wav", "/data/y") == "../x/c.wav"
    assert path_below("/data/x/c.wav", "s3://a") == path_below(Path("/data/x/c.wav"), "") == "data/x/c.wav"


def test_a_store_that_cannot_write_a_new_file_alone_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(MemoryFileSystem):  # type: ignore[misc]
        def pipe_file(self, path: str, value: bytes, **_: object) -> None:
            super().pipe_file(path, value)

    monkeypatch.setattr("runtime.stores._store", lambda url: (Plain(), url.removeprefix("plain:/")))
    folder = RemoteFolder("plain://once")
    assert folder.write_once("a", b"1")
    assert not folder.write_once("a", b"2")
    assert folder.read("a") == b"1"

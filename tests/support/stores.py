"""A real S3 server on this machine, and a connection to it that can be cut."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
import s3fs
from moto.server import ThreadedMotoServer

BUCKET = "recordings"
REQUEST = re.compile(rb"^(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP/1\.1\r\n", re.MULTILINE)
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
HURRY = """
import importlib.util, os, sys
from importlib.machinery import PathFinder
own = os.path.dirname(os.path.abspath(__file__))
spec = PathFinder.find_spec("soundfile", [entry for entry in sys.path if os.path.abspath(entry) != own])
module = importlib.util.module_from_spec(spec)
sys.modules["soundfile"] = module
spec.loader.exec_module(module)
import runtime.stores, s3fs
runtime.stores.FIRST_WAIT_S, runtime.stores.PATIENCE_S, s3fs.S3FileSystem.retries = 0.01, 0.3, 1
"""


@dataclass
class Proxy:
    """Passes connections on to a server, and cuts those that get too much of a path it is told."""

    target: int
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Methods and paths."""
    received: int = 0
    """Bytes from the server."""
    cuts: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By a part of a path: after how many bytes of an answer it is cut, and how often."""
    denied: str = " "
    """Paths that hold this are denied."""

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def of(self, name: str) -> int:
        """How many requests there were for the content of a path that holds a name."""
        return sum(method == "GET" and name in path for method, path in self.requests)

    def reset(self) -> None:
        self.requests, self.received, self.cuts, self.denied = [], 0, {}, " "

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self.target)) as server:
            state = {"path": "", "got": 0}
            threading.Thread(target=self._answers, args=(server, client, state), daemon=True).start()
            while data := client.recv(2**16):
                if (match := REQUEST.search(data)) is not None:
                    method, path = (part.decode() for part in match.groups())
                    self.requests.append((method, path))
                    state.update(path=path, got=0)
                    if self.denied in path:
                        head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(DENIED)}\r\nConnection: close\r\n\r\n"
                        client.sendall(head.encode() + (DENIED if method != "HEAD" else b""))
                        return
                server.sendall(data)

    def _answers(self, server: socket.socket, client: socket.socket, state: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(2**16):
                self.received += len(data)
                state["got"] += len(data)
                for name, (after, times) in list(self.cuts.items()):
                    if name in state["path"] and state["got"] > after and times > 0:
                        self.cuts[name] = after, times - 1
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        client.shutdown(socket.SHUT_RDWR)
                        client.close()
                        return
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)


@dataclass
class Store:
    """A bucket, its server, and the proxy through which a run reaches it."""

    server: Any
    proxy: Proxy

    def clear(self) -> None:
        """Removes all files, and all cuts."""
        self.proxy.reset()
        for listed in self.server.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for each in listed.get("Contents", ()):
                self.server.delete_object(Bucket=BUCKET, Key=each["Key"])

    def put(self, name: str, data: bytes) -> str:
        """Writes a file, past the proxy; returns its URL."""
        self.server.put_object(Bucket=BUCKET, Key=name, Body=data)
        return f"s3://{BUCKET}/{name}"

    def put_folder(self, folder: Path, name: str) -> str:
        """Copies a folder; returns its URL."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.put(f"{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"s3://{BUCKET}/{name}"


@contextlib.contextmanager
def s3_store() -> Iterator[Store]:
    """An S3 server with one bucket, which `s3://` URLs lead to in this process and in those that it starts."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    port = moto.get_host_and_port()[1]
    proxy = Proxy(port)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        server = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
        server.create_bucket(Bucket=BUCKET)
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        s3fs.S3FileSystem.clear_instance_cache()
        yield Store(server, proxy)
        s3fs.S3FileSystem.clear_instance_cache()
    server.close()
    proxy.close()
    moto.stop()


def hurry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up on stores after a third of a second, here and in the processes that a run starts."""
    monkeypatch.setattr("runtime.stores.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("runtime.stores.PATIENCE_S", 0.3)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    folder.mkdir()
    (folder / "soundfile.py").write_text(HURRY)
    monkeypatch.syspath_prepend(folder)

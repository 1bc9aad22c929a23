"""Only the page itself is let in: each way around that is tried over a socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from runtime.explore.labelling.guard import HEADERS
from tests.support.labelling import TOKEN, Page, open_page, write_world

LABEL = json.dumps({"tab": "evil", "key": "0-1", "species": ["x"], "answer": "labelled", "seen": None}).encode()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("world")
    (folder / "secret.txt").write_text("secret")
    page = open_page([write_world(folder)[0]], folder / "labels.csv")
    yield page
    assert page.get("state")["counts"] == {"labelled": 0, "unsure": 0, "random": 0}  # nothing here ever got through
    page.close()


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "%00", "t%C3%B6ken", "..", "*"])
def test_without_the_token_there_is_nothing(page: Page, token: str) -> None:
    assert page.ask("GET", "state", token=token).status == 404
    assert page.ask("POST", "label", LABEL, token=token).status == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:{port}"])
def test_a_name_that_somebody_else_gave_this_machine_is_refused(page: Page, host: str) -> None:
    headers = {"Host": host.format(port=page.port)}
    assert page.ask("GET", "state", headers=headers).status == 421
    assert page.ask("POST", "label", LABEL, headers).status == 421


def test_localhost_is_this_machine(page: Page) -> None:
    origin = f"http://localhost:{page.port}"
    assert page.ask("POST", "undo", b'{"tab": "a"}', {"Host": f"LOCALHOST:{page.port}", "Origin": origin}).status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "https://127.0.0.1:{port}", "http://127.0.0.1:1"]
)
def test_pages_of_other_sites_are_refused(page: Page, origin: str) -> None:
    headers = {"Origin": origin.format(port=page.port)}
    assert page.ask("GET", "state", headers=headers).status == 403
    assert page.ask("POST", "label", LABEL, headers).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_what_a_browser_calls_another_site_is_refused(page: Page, site: str) -> None:
    assert page.ask("GET", "", headers={"Sec-Fetch-Site": site}).status == 403
    assert page.ask("POST", "label", LABEL, {"Sec-Fetch-Site": site}).status == 403
    opened = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert page.ask("GET", "", headers=opened).status == 200  # by the file that is opened at the start
    assert page.ask("GET", "", headers={**opened, "Sec-Fetch-Dest": "iframe"}).status == 403
    assert page.ask("GET", "state", headers=opened).status == 403
    assert page.ask("POST", "label", LABEL, opened).status == 403


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_cannot_answer(page: Page, kind: str | None) -> None:
    assert page.ask("POST", "label", LABEL, {"Content-Type": kind}).status == 415


@pytest.mark.parametrize(
    "path",
    [
        *("../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "page.css/../../../server.py", "server.py"),
        *("clip/../../secret.txt", "clip/..%2f..%2fsecret.txt", "clip/0-1.txt", "clip/0-1.png/x", "clip/%2e.png"),
        *("window/0-99", "window/9-0", "window/-1-0", "window/0-1e1", "window/0-%31%00", "window//etc/passwd"),
        *("export/x", "export/..%2f..%2fsecret.txt", "export/%2e%2e/secret.txt"),
    ],
)
def test_no_path_of_a_browser_is_opened(page: Page, path: str) -> None:
    answer = page.ask("GET", path)
    assert (answer.status, list(answer.json)) == (404, ["error"])


def test_what_is_sent_is_bounded_and_has_to_be_json(page: Page) -> None:
    assert page.ask("POST", "label", b" " * 70_000).status == 413
    with socket.create_connection(("127.0.0.1", page.port)) as raw:  # in chunks, whose sum nobody announces
        head = f"POST /{TOKEN}/label HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nContent-Type: application/json\r\n"
        raw.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"4000\r\n" + b" " * 0x4000 + b"\r\n" * 1)
        for _ in range(5):
            raw.sendall(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413")
    for data in (b"", b"{", b"[]", b"1", b"[" * 60_000, b"\xff", b'{"tab": 1}', b'{"tab": ""}'):
        assert page.ask("POST", "undo", data).status == 400


def test_every_answer_forbids_what_the_page_does_not_need(page: Page) -> None:
    for answer in (page.ask("GET", "state"), page.ask("GET", "x"), page.ask("GET", "state", token="x")):
        assert HEADERS.items() <= {name.title(): value for name, value in answer.headers.items()}.items()
        names = {name.lower() for name in answer.headers}
        assert not {"server", "access-control-allow-origin", "set-cookie"} & names
        assert answer.headers["cache-control"] == "no-store"


def test_other_addresses_of_this_machine_are_not_listened_to(page: Page) -> None:
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", page.port), timeout=5)

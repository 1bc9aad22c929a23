"""The page's server: HTTP on one side, the desk on the other."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from runtime.errors import OutputError, PerchError
from runtime.explore.labelling.clips import MIME, SOUND
from runtime.explore.labelling.desk import CLIP_S, Desk, NotFoundError, NotYetError
from runtime.explore.labelling.guard import Guard, Json
from runtime.explore.labelling.journal import ConflictError
from runtime.explore.labelling.windows import KEY

PAGE = Path(__file__).with_name("page")
MIME_BY_ENDING = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MOST_BODY = 64 * 1024
RANGE = re.compile(r"bytes=(\d{0,12})-(\d{0,12})")
T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


def make_server(desk: Desk, token: str, port: int) -> uvicorn.Server:
    """The server of a desk, to be run on a socket at this port."""
    logging.getLogger("uvicorn.error").addFilter(lambda record: "graceful shutdown" not in str(record.msg))
    return uvicorn.Server(
        uvicorn.Config(
            application(desk, token, port),
            log_level="error",
            access_log=False,  # the address holds the token
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=2,
        )
    )


def application(desk: Desk, token: str, port: int) -> Guard:
    """The server of a desk, to be reached at `http://127.0.0.1:port/token/`."""

    async def state(request: Request) -> Response:
        return Json(await _in_thread(desk.state, request.query_params.get("tab", "")))

    async def learning(request: Request) -> Response:
        return Json(desk.learning.as_json())

    async def window(request: Request) -> Response:
        return Json(await _in_thread(desk.window, request.path_params["key"]))

    async def clip(request: Request) -> Response:
        return await _in_thread(_clip, desk, request.path_params["name"], request.headers.get("range"))

    async def following(request: Request) -> Response:
        asked = await _body(request)
        order = asked.get("order")
        if not isinstance(order, dict):
            raise HTTPException(400, "name an order")
        return Json(await _in_thread(desk.next, _tab(asked), order, asked.get("after")))

    async def label(request: Request) -> Response:
        asked = await _body(request)
        return Json(await _in_thread(desk.label, _tab(asked), asked))

    async def undo(request: Request) -> Response:
        return Json(await _in_thread(desk.undo, _tab(await _body(request))))

    async def export(request: Request) -> Response:
        asked = await _body(request)
        return Json(await _in_thread(desk.export, asked.get("species"), asked.get("form")))

    async def download(request: Request) -> Response:
        path = desk.exports.find(request.path_params["name"])
        if path is None:
            raise HTTPException(404, "this export is gone; make it again")
        return FileResponse(path, media_type="application/zip", filename="labels.zip")

    routes = [
        Route("/state", state),
        Route("/learning", learning),
        Route("/window/{key}", window),
        Route("/clip/{name}", clip),
        Route("/next", following, methods=["POST"]),
        Route("/label", label, methods=["POST"]),
        Route("/undo", undo, methods=["POST"]),
        Route("/export", export, methods=["POST"]),
        Route("/export/{name}", download),
        *_files(),
    ]
    handlers: Mapping[Any, Any] = {
        ConflictError: _conflict,
        HTTPException: _refused,
        PerchError: _failed,
        Exception: _broken,
    }
    return Guard(Starlette(routes=routes, exception_handlers=handlers), token, port)


async def _in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Does work in a thread, and lets it go if the server ends meanwhile."""
    try:
        return await anyio.to_thread.run_sync(work, *arguments, abandon_on_cancel=True)
    except asyncio.CancelledError:
        raise HTTPException(503, "the page has ended") from None


def _files() -> list[Route]:
    """The page's own files, by fixed names."""

    def serving(path: Path, kind: str) -> Handler:
        async def serve(request: Request) -> Response:
            return FileResponse(path, media_type=kind, headers={"Cache-Control": "no-cache"})

        return serve

    paths = [path for path in sorted(PAGE.glob("*")) if path.suffix in MIME_BY_ENDING]
    routes = [Route(f"/{path.name}", serving(path, MIME_BY_ENDING[path.suffix])) for path in paths]
    return [Route("/", serving(PAGE / "index.html", MIME_BY_ENDING[".html"])), *routes]


def _clip(desk: Desk, name: str, wanted: str | None) -> Response:
    key, _, ending = name.partition(".")
    if not KEY.fullmatch(key) or ending not in ("png", SOUND):
        raise HTTPException(404, "there is no such clip")
    number = desk.windows.number_of_key(key)
    if number is None:
        raise NotFoundError("there is no such window")
    try:
        made = desk.clips.get(number, CLIP_S)
    except TimeoutError:
        raise HTTPException(503, "the clip is not there yet; try again") from None
    data, kind = (made.picture, "image/png") if ending == "png" else (made.sound, MIME)
    return _part(data, kind, wanted)


def _part(data: bytes, kind: str, wanted: str | None) -> Response:
    """Data, or the range of bytes that is wanted of it: Safari plays nothing else, and none seeks without."""
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=3600"}
    match = RANGE.fullmatch(wanted or "")
    if match is None or not any(match.groups()):
        return Response(data, media_type=kind, headers=headers)
    first, last = match.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last) + 1 if first and last else len(data), len(data))
    if start >= end:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
    return Response(data[start:end], 206, media_type=kind, headers=headers)


async def _body(request: Request) -> dict[str, Any]:
    """The JSON that was sent."""
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > MOST_BODY:
            raise HTTPException(413, f"more than {MOST_BODY} bytes were sent")
    try:
        asked = json.loads(data)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise HTTPException(400, "what was sent is no JSON object")
    return asked


def _tab(asked: Mapping[str, Any]) -> str:
    tab = asked.get("tab")
    if not isinstance(tab, str) or not 1 <= len(tab) <= 64:
        raise HTTPException(400, "the tab has no name")
    return tab


async def _conflict(request: Request, error: ConflictError) -> Response:
    return Json({"conflict": None if error.answer is None else error.answer.as_json()}, 409)


async def _refused(request: Request, error: HTTPException) -> Response:
    return Json({"error": error.detail}, error.status_code)


async def _failed(request: Request, error: PerchError) -> Response:
    statuses = {NotFoundError: 404, OutputError: 507, NotYetError: 503}
    return Json({"error": str(error)}, statuses.get(type(error), 400))


async def _broken(request: Request, error: Exception) -> Response:
    return Json({"error": f"the server made a mistake ({type(error).__name__}); its terminal says more"}, 500)

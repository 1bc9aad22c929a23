"""Who may talk to the server: the page that this computer's user opened, and no other page, program or machine.

The server listens on this machine alone. Its address holds a token of 128 bits that only the terminal shows, so other
users of the machine cannot guess it. Pages of other sites in the same browser cannot read the token, cannot reach the
server under a name of their own (`Host`), and cannot send it anything (`Origin`, `Sec-Fetch-Site`, JSON alone).
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Json(JSONResponse):
    """JSON in ASCII: names of files need not be UTF-8."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class Guard:
    """Lets requests through to `app` without the token in their path, and refuses all others."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token.encode()
        hosts = ("127.0.0.1", "localhost")
        self._hosts = {f"{host}:{port}" for host in hosts} | ({*hosts} if port == 80 else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        if refusal is None:
            inner: Scope = {**scope, "path": _below(scope), "root_path": ""}
            await self._app(inner, receive, send_guarded)
            return
        status, error = refusal
        await Json({"error": error}, status)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the sentence with which a request is refused; None if it is not."""
        headers = Headers(scope=scope)
        host, origin = headers.getlist("host"), headers.getlist("origin")
        if len(host) != 1 or host[0].lower() not in self._hosts:
            return 421, "the page is at 127.0.0.1 or localhost alone"
        if any(each != f"http://{host[0].lower()}" for each in origin):
            return 403, "another site's page sent this"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") and not _opens(scope, headers):
            return 403, "another site's page sent this; copy the address into a new tab"
        token = scope["path"].removeprefix("/").partition("/")[0].encode()
        if not hmac.compare_digest(token, self._token):
            return 404, "there is nothing here; open the address that the terminal shows"
        kind = headers.get("content-type", "").partition(";")[0].strip()
        if scope["method"] == "POST" and kind != "application/json":
            return 415, "what is sent must be JSON"
        return None


def _below(scope: Scope) -> str:
    return "/" + scope["path"].partition("/")[2].partition("/")[2]


def _opens(scope: Scope, headers: Headers) -> bool:
    """Whether the page itself is opened in a tab, as by the file that `perch-explore label` opens."""
    asked = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return scope["method"] == "GET" and _below(scope) == "/" and asked == ("navigate", "document")

"""Who may talk to the page: only the browser that opened the link, and only from the page itself.

A request must name this server as its host (else another site's name could be pointed here), bear
the cookie that the link's token is exchanged for, and, where it changes anything, come from the
page's own origin as JSON of a modest size. Every answer carries a policy that runs no script but
the page's own files.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 64 * 1024
STATIC = "/static/"
_SAFE = ("GET", "HEAD")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True)
class Keys:
    """The secrets of one server: the token in its first link, and the cookie it is exchanged for.

    Attributes:
        port: that it listens on.
        token: in the link.
        session: the cookie's value.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def cookie(self) -> str:
        """The cookie's name. Ports share their cookies, so two servers need two names."""
        return f"labelcast-{self.port}"

    @property
    def link(self) -> str:
        """What the user opens."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def hosts(self) -> tuple[str, str]:
        """What a browser may call this server."""
        return (f"127.0.0.1:{self.port}", f"localhost:{self.port}")


class Guard:
    """Middleware that lets through what may come in, and answers the rest itself."""

    def __init__(self, app: ASGIApp, keys: Keys, locked_out: str):
        """Guard an app.

        Args:
            app: what is behind it.
            keys: the secrets.
            locked_out: the page for one who comes without the cookie.
        """
        self._app, self._keys, self._locked_out = app, keys, locked_out

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return
        sender = _with_headers(send)
        headers = Headers(scope=scope)
        refusal = self._refuse(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, sender)
            return
        if scope["method"] in _SAFE:
            await self._app(scope, receive, sender)
            return
        body = await _body(receive, headers)
        if body is None:
            await _refused("That is too long to be taken.", 413)(scope, receive, sender)
            return
        await self._app(scope, _again(body, receive), sender)

    def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a request that must not get further."""
        if headers.getlist("host") not in [[host] for host in self._keys.hosts]:
            return _refused("This server does not go by that name.", 403)
        path, safe = scope["path"], scope["method"] in _SAFE
        if path == "/" and safe and b"token=" in scope["query_string"]:
            return self._exchange(QueryParams(scope["query_string"]).get("token", ""))
        if not safe:
            refusal = self._refuse_change(headers)
            if refusal is not None:
                return refusal
        # The look of the page is no secret; the page for the locked-out needs it.
        if (path.startswith(STATIC) and safe) or self._is_known(headers):
            return None
        if path.startswith("/api/"):
            return _refused("Open the link from the terminal.", 403)
        return Response(self._locked_out, 403, media_type="text/html")

    def _refuse_change(self, headers: Headers) -> Response | None:
        origins = [f"http://{headers['host']}"]
        if headers.getlist("origin") != origins:
            return _refused("Only the page itself may change anything.", 403)
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return _refused("Only the page itself may change anything.", 403)
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _refused("Only JSON is taken.", 415)
        return None

    def _exchange(self, token: str) -> Response:
        """The cookie for the token; the address is left without it."""
        if not _same(token, self._keys.token):
            return Response(self._locked_out, 403, media_type="text/html")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self._keys.cookie, self._keys.session, httponly=True, samesite="strict", path="/"
        )
        return answer

    def _is_known(self, headers: Headers) -> bool:
        # Other programs on this machine set cookies too, and not all of them well formed.
        cookies = cookie_parser("; ".join(headers.getlist("cookie")))
        return _same(cookies.get(self._keys.cookie, ""), self._keys.session)


def _same(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def _refused(message: str, status: int) -> Response:
    # What is left of a long body is not read, so the connection cannot be used again.
    headers = {"Connection": "close"} if status == 413 else None
    return JSONResponse({"message": message}, status, headers)


async def _body(receive: Receive, headers: Headers) -> bytes | None:
    """The whole body; None as soon as it is larger than allowed, whatever its headers say."""
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > LARGEST_BODY:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already, then what comes after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _with_headers(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sender

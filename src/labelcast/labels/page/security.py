"""Access control of the label page: only the browser that opened the link, only from the page.

A request must name this machine as its host (another site's name could point here) and have the
cookie that the link's token is exchanged for. A request that changes anything must be JSON from
the page's own origin. Responses allow only the page's own scripts.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HOSTS = ("127.0.0.1", "localhost")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
"""For a page whose own head has a stricter policy."""
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
    """The secrets of one server: the tokens of its links and the cookie they are exchanged for.

    The browser gets a separate token, which can be exchanged once: other users can read it among
    the arguments of the browser's process.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    browser_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def cookie(self) -> str:
        """The cookie's name. Ports share their cookies, so two servers need two names."""
        return f"labelcast-{self.port}"

    @property
    def link(self) -> str:
        """What the user opens."""
        return self._link(self.token)

    @property
    def browser_link(self) -> str:
        """What is passed to the browser's process."""
        return self._link(self.browser_token)

    def _link(self, token: str) -> str:
        return f"http://{_HOSTS[0]}:{self.port}/?token={token}"


def protected(app: ASGIApp, keys: Keys, locked_out: str) -> ASGIApp:
    """An app behind the access control; visitors without the cookie get the page `locked_out`."""
    valid = {keys.token, keys.browser_token}

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        http = scope["type"] == "http"
        refused = _check(Request(scope), keys, valid, locked_out) if http else None
        await (refused or app)(scope, receive, send)

    guarded = TrustedHostMiddleware(checked, allowed_hosts=_HOSTS, www_redirect=False)

    async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
        async def sender(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await guarded(scope, receive, sender)

    return with_headers


def refusal(message: str, status: int) -> Response:
    """A response that says why a request is refused."""
    # The rest of a long body is not read, so the connection cannot be reused.
    headers = {"Connection": "close"} if status == 413 else None
    return JSONResponse({"message": message}, status, headers)


def _check(request: Request, keys: Keys, valid: set[str], locked_out: str) -> Response | None:
    """The response to a request that does not reach the app; None if it may."""
    known = _same(request.cookies.get(keys.cookie, ""), keys.session)
    lock_out = Response(locked_out, 403, media_type="text/html")
    headers, path, safe = request.headers, request.scope["path"], request.method in ("GET", "HEAD")
    if path == "/" and request.method == "GET" and "token" in request.query_params:
        # The redirect removes the token from the address.
        response = RedirectResponse("/", 303)
        given = request.query_params["token"]
        token = next((token for token in valid if _same(given, token)), None)
        if token is None:
            return response if known else lock_out
        if token == keys.browser_token:
            valid.discard(token)
        response.set_cookie(keys.cookie, keys.session, httponly=True, samesite="strict", path="/")
        return response
    if not safe:
        site = headers.get("sec-fetch-site", "same-origin")
        if headers.getlist("origin") != [f"http://{headers['host']}"] or site != "same-origin":
            return refusal("Only the page itself may change anything.", 403)
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return refusal("Only JSON is accepted.", 415)
    # The style is not secret, and the page for visitors without the cookie needs it.
    if known or (path.startswith("/static/") and safe):
        return None
    if path.startswith("/api/"):
        return refusal("Open the link from the terminal.", 403)
    return lock_out


def _same(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "replace"), secret.encode())

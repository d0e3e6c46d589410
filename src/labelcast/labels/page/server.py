"""Serve the label page on this machine until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable, Collection
from threading import Thread

import uvicorn

from labelcast.errors import InputError
from labelcast.labels.page.app import Views, build_app
from labelcast.labels.page.coslow_job import CoslowJob
from labelcast.labels.page.security import Keys
from labelcast.labels.session import LabelSession
from labelcast.runs.label_store import require_drawn
from labelcast.runs.run import Run


def serve(
    run: Run,
    *,
    only: Collection[str] | None,
    port: int,
    browser: bool,
    views: Views,
    on_link: Callable[[str], None],
) -> None:
    """Serve the label page of a run, or of some of its sets, on 127.0.0.1 until Ctrl-C.

    `views` draws its charts and the report. `on_link` is called with the link once the page can be
    opened.

    Raises:
        InputError: the port cannot be used, or nothing is drawn.
    """
    require_drawn(run, only)
    job = CoslowJob(run.path)
    with _listen(port) as listening:
        keys = Keys(listening.getsockname()[1])
        config = uvicorn.Config(
            build_app(LabelSession(run, only), job, keys, views),
            log_level="error",
            lifespan="off",
            ws="none",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        # SIGTERM stops it as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            on_link(keys.link)
            if browser and has_browser():
                # In a thread: some programs return only when the user closes them.
                Thread(target=webbrowser.open, args=[keys.browser_link], daemon=True).start()
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            pass
        finally:
            job.stop()


def has_browser() -> bool:
    """Whether a browser can be opened: there is a screen, and this is no CI job."""
    if os.environ.get("CI"):
        return False
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise InputError(
            f"--port {port}: cannot be used ({os.strerror(error.errno or 0)}). "
            "Choose another, or 0."
        ) from None

"""Serving the page on this machine until it is stopped by hand."""

from __future__ import annotations

import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable, Sequence

import uvicorn

from labelcast.errors import InputError
from labelcast.labels.page.app import build_app
from labelcast.labels.page.coslow_job import Job
from labelcast.labels.page.security import Keys
from labelcast.labels.session import Desk
from labelcast.runs.run import Run

_GOODBYE = 2


def serve(
    run: Run,
    *,
    sets: Sequence[str],
    port: int = 0,
    browser: bool = True,
    tell: Callable[[str], None],
) -> None:
    """Serve the label page of a run on 127.0.0.1 until Ctrl-C.

    Args:
        run: a scored run.
        sets: to be labelled.
        port: 0 for a free one.
        browser: open it there, where there is one.
        tell: called with the link once the page can be opened.

    Raises:
        InputError: the port is taken, or nothing is drawn in these sets.
    """
    desk = Desk(run, sets)
    if not desk.look().items:
        raise InputError(f"{run.path}: nothing has been drawn for {', '.join(sets)}.")
    job = Job(run.path)
    with _listen(port) as listening:
        keys = Keys(listening.getsockname()[1])
        config = uvicorn.Config(
            build_app(desk, job, keys),
            log_level="error",
            lifespan="off",
            ws="none",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GOODBYE,
        )
        # Stopped by another process is stopped as by hand.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            # The socket listens by now, so that the link works as soon as it is told.
            tell(keys.link)
            if browser and has_browser():
                webbrowser.open(keys.link)
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            pass
        finally:
            job.stop()


def has_browser() -> bool:
    """Whether a browser may be opened: a screen is there, and no automation is at work."""
    if os.environ.get("CI"):
        return False
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def _listen(port: int) -> socket.socket:
    """A socket that listens on this machine alone."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"--port {port}: cannot be used ({reason}). Choose another, or 0 for a free one."
        ) from None
    return listening

"""Joining a Ray cluster, or starting one on this machine, for whatever runs on it.

Needs the extra `labelcast[ray]`.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from labelcast.errors import InputError, RunError

_REACHABLE = 10.0
_OWN = "local"
"""Ray's word for a cluster that is started for this process and joins no other."""


def import_ray() -> Any:
    """The package.

    Raises:
        InputError: it is not installed; says how to install it.
    """
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise InputError(
            "--engine ray: ray is not installed. Install the extra: pip install 'labelcast[ray]'."
        ) from None
    return ray


def join(ray: Any, address: str | None) -> bool:
    """Join the cluster at an address, or start one here; whether that was left to us.

    A process that is in a cluster already stays in it.

    Args:
        ray: the package.
        address: ``auto``, ``HOST:PORT`` or ``ray://...``; None takes the one that ``RAY_ADDRESS``
            names, as Ray's own jobs have it, and otherwise starts a cluster of its own, whatever
            other clusters run on this machine.

    Raises:
        RunError: the cluster cannot be reached or started.
    """
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS") or _OWN
    own = address == _OWN
    if not own:
        _check_address(address)
    # Workers find labelcast where this process does: an editable or PYTHONPATH checkout too.
    path = os.pathsep.join(filter(None, (_source(), os.environ.get("PYTHONPATH", ""))))
    variables = {"PYTHONPATH": path, **_passed_on()} if own else {}
    # Below Python, Ray writes to this process's standard error what is no user's affair.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        ray.init(
            address=address,
            include_dashboard=False if own else None,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": variables} if variables else None,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise RunError(
            f"--address {address}: the Ray cluster cannot be reached or started "
            f"({' '.join(str(error).split())[:200]})."
        ) from None
    return True


def on_each_node(ray: Any, name: str) -> list[float]:
    """How much of a resource (``CPU``, ``GPU``) each living node has."""
    return [float(node["Resources"].get(name, 0)) for node in ray.nodes() if node["Alive"]]


def _check_address(address: str) -> None:
    """Refuse an address where nothing listens, for which Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHABLE).close()
    except (OSError, OverflowError) as error:
        raise RunError(
            f"--address {address}: the Ray cluster cannot be reached ({error}). Give the address "
            "that `ray start --head` printed."
        ) from None


def _source() -> str:
    return str(Path(__file__).resolve().parents[1])


def _passed_on() -> dict[str, str]:
    """What of this process's environment the workers need too."""
    names = ("HF_HUB_OFFLINE", "HF_HOME", "LABELCAST_CACHE", "TOKENIZERS_PARALLELISM")
    return {name: os.environ[name] for name in names if name in os.environ}

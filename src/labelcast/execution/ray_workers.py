"""Run jobs on a Ray cluster: an existing one, or one started on this machine.

Every node needs labelcast and the files of a job under the same paths.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, Generic

from labelcast.errors import InputError, RunError, brief
from labelcast.execution.workers import Ended, Job, Moved, R, Started

_WAIT = 1.0
_CONNECT = 10.0
_LOCAL = "local"
"""The address for which Ray starts a new cluster."""
_UNLIMITED = 10**6


class RayWorkers(Generic[R]):
    """Actors of a Ray cluster, one for each job that runs at the same time.

    An actor keeps its process for the following jobs, so that a model is loaded once.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        gpus_per_job: float = 1.0,
        cpus_per_job: float = 1.0,
        size: int | None = None,
    ) -> None:
        """Join a cluster, or start one on this machine.

        Args:
            address: as `join` takes it.
            gpus_per_job: GPUs or a fraction of one for each job, if the cluster has any.
            cpus_per_job: CPUs that a job reserves.
            size: most jobs at once; None means as many as the cluster has room for.

        Raises:
            InputError: ray is not installed, or no node has what a job needs.
            RunError: the cluster cannot be reached.
        """
        self._ray = ray = import_ray()
        self._owned = join(ray, address)
        self._idle: list[Any] = []
        self._calls: dict[Any, tuple[int, Any]] = {}
        self._starting: dict[Any, tuple[int, Any]] = {}
        self._nodes: dict[Any, str] = {}
        found = ray.cluster_resources()
        gpus = gpus_per_job if found.get("GPU") else 0
        for name, wanted in (("GPU", gpus), ("CPU", cpus_per_job)):
            most = max(on_each_node(ray, name), default=0)
            if wanted > most:
                self.close()
                raise InputError(
                    f"a job asks for {wanted:g} {name}s and the largest node of the cluster has "
                    f"{most:g}."
                )
        by_cpu = found.get("CPU", 1) / cpus_per_job if cpus_per_job else _UNLIMITED
        by_gpu = found.get("GPU", 0) / gpus if gpus else _UNLIMITED
        self.slots = max(1, int(min(by_cpu, by_gpu, size or _UNLIMITED)))
        self._size = size or self.slots
        self._actor = ray.remote(num_cpus=cpus_per_job, num_gpus=gpus, max_restarts=0)(_Actor)

    def free(self) -> bool:
        """Whether fewer jobs run than can run at once."""
        return len(self._calls) < self._size

    def start(self, number: int, job: Job[R]) -> None:
        """Hand a job to an idle actor, or to a new one."""
        actor = self._idle.pop() if self._idle else self._actor.remote()
        self._starting[actor.node.remote()] = number, actor
        self._calls[actor.run.remote(job)] = number, actor

    def wait(self) -> list[Started | Moved | Ended[R]]:
        """Jobs that have started or ended."""
        if self._starting and self._idle:
            # No job is waiting: make room for actors that could not start yet.
            for actor in self._idle:
                self._ray.kill(actor)
            self._idle.clear()
        pending = [*self._starting, *self._calls]
        ready, _ = self._ray.wait(pending, num_returns=1, timeout=_WAIT, fetch_local=False)
        events: list[Started | Moved | Ended[R]] = []
        for call in ready:
            number, actor = (self._starting if call in self._starting else self._calls)[call]
            try:
                value = self._ray.get(call)
            except self._ray.exceptions.RayError as error:
                if self._calls.pop(call, None):
                    events.append(self._ended(number, actor, error))
            else:
                if self._calls.pop(call, None):
                    self._idle.append(actor)
                    events.append(Ended(number, value))
                else:
                    self._nodes[actor] = value
                    events.append(Started(number, f"node {value[:6]}"))
            self._starting.pop(call, None)
        return events

    def _ended(self, number: int, actor: Any, error: Exception) -> Ended[R]:
        """The end of a job whose actor died or whose result was lost."""
        exceptions = self._ray.exceptions
        lost = (
            isinstance(error, exceptions.ActorUnavailableError | exceptions.ObjectLostError)
            or "node has died" in str(error)
            or self._nodes.get(actor) in _dead_nodes(self._ray)
        )
        self._ray.kill(actor)
        self._starting = {c: (n, a) for c, (n, a) in self._starting.items() if a is not actor}
        return Ended(number, None, f"{type(error).__name__}: {brief(error, 200)}", lost)

    def close(self) -> None:
        """Stop the actors and leave the cluster; stop it if it was started here."""
        if self._ray.is_initialized():
            for actor in [*self._idle, *(actor for _, actor in self._calls.values())]:
                self._ray.kill(actor)
            if self._owned:
                self._ray.shutdown()
        self._idle, self._calls, self._starting = [], {}, {}


class _Actor:
    """A process of the cluster that runs one job after another."""

    def node(self) -> str:
        """The id of the node that it runs on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def run(self, job: Job[R]) -> R:
        """Run a job."""
        return job.run(lambda progress: None)


def import_ray() -> Any:
    """The package `ray`; if it is missing, the error says how to install it."""
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise InputError(
            "--engine ray: ray is not installed. Install the extra: pip install 'labelcast[ray]'."
        ) from None
    return ray


def join(ray: Any, address: str | None) -> bool:
    """Join a cluster or start one here; false if this process is already connected to one.

    The address is ``auto``, ``HOST:PORT`` or ``ray://...``. Without one, ``RAY_ADDRESS`` of the
    environment is used, as in Ray's own jobs, or a new cluster is started.

    Raises:
        RunError: the cluster cannot be reached or started.
    """
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS") or _LOCAL
    local = address == _LOCAL
    if not local:
        _check_address(address)
    # Workers find labelcast where this process does: an editable or PYTHONPATH checkout too.
    source = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH", ""))))
    names = ("HF_HUB_OFFLINE", "HF_HOME", "LABELCAST_CACHE", "TOKENIZERS_PARALLELISM")
    passed_on = {name: os.environ[name] for name in names if name in os.environ}
    # Otherwise Ray's C++ code logs to the standard error of this process.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        ray.init(
            address=address,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": {"PYTHONPATH": path, **passed_on}} if local else None,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise RunError(
            f"--address {address}: the Ray cluster cannot be reached or started "
            f"({brief(error, 200)})."
        ) from None
    return True


def on_each_node(ray: Any, name: str) -> list[float]:
    """How much of a resource (``CPU``, ``GPU``) each living node has."""
    return [float(node["Resources"].get(name, 0)) for node in ray.nodes() if node["Alive"]]


def _dead_nodes(ray: Any) -> set[str]:
    return {node["NodeID"] for node in ray.nodes() if not node["Alive"]}


def _check_address(address: str) -> None:
    """Refuse an address where nothing listens: Ray would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise RunError(
            f"--address {address}: the Ray cluster cannot be reached ({error}). Give the address "
            "that `ray start --head` printed."
        ) from None

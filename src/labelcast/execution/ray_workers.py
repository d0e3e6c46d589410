"""Run jobs on a Ray cluster: an existing one, or one started on this machine.

Every node needs labelcast and the files of a job under the same paths.
"""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path
from typing import Any, Generic

from labelcast.errors import InputError, RunError, brief
from labelcast.execution.workers import Ended, Job, Moved, R, Reporter, Started
from labelcast.models.memory import limit_to_share

_WAIT = 1.0
_CONNECT = 10.0
_LOCAL = "local"
"""The address for which Ray starts a new cluster."""


class RayWorkers(Generic[R]):
    """Actors of a Ray cluster, one for each of the `slots` jobs that run at the same time.

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
        self._board: Any = None
        self._idle: list[Any] = []
        self._calls: dict[Any, tuple[int, Any]] = {}
        self._starting: dict[Any, tuple[int, Any]] = {}
        self._nodes: dict[Any, str] = {}
        gpus = gpus_per_job if any(on_each_node(ray, "GPU")) else 0.0
        for name, wanted in (("GPU", gpus), ("CPU", cpus_per_job)):
            most = max(on_each_node(ray, name), default=0)
            if wanted > most:
                self.close()
                raise InputError(
                    f"a job asks for {wanted:g} {name}s and the largest node of the cluster has "
                    f"{most:g}."
                )
        fits = room(ray, gpus, cpus_per_job)
        self.slots = max(1, min(fits, size or fits))
        self.where = f"Ray: room for {self.slots} jobs at once."
        self._size = size or self.slots
        actor = ray.remote(num_cpus=cpus_per_job, num_gpus=gpus, max_restarts=0)(_Actor)
        self._new_actor = partial(actor.remote, gpus)
        self._board = ray.remote(num_cpus=0, max_restarts=-1)(_Board).remote()

    def free(self) -> bool:
        """Whether fewer jobs run than can run at once."""
        return len(self._calls) < self._size

    def start(self, number: int, job: Job[R]) -> None:
        """Hand a job to an idle actor, or to a new one."""
        actor = self._idle.pop() if self._idle else self._new_actor()
        self._starting[actor.node.remote()] = number, actor
        self._calls[actor.run.remote(job, number, self._board)] = number, actor

    def wait(self) -> list[Started | Moved | Ended[R]]:
        """Jobs that have started, made progress or ended."""
        if self._starting and self._idle:
            # No job is waiting: make room for actors that could not start yet.
            for actor in self._idle:
                self._ray.kill(actor)
            self._idle.clear()
        pending = [*self._starting, *self._calls]
        ready, _ = self._ray.wait(pending, num_returns=1, timeout=_WAIT, fetch_local=False)
        events: list[Started | Moved | Ended[R]] = []
        for call in ready:
            started = self._starting.pop(call, None)
            number, actor = started or self._calls.pop(call)
            try:
                value = self._ray.get(call)
            except self._ray.exceptions.RayError as error:
                if not started:
                    events.append(self._ended(number, actor, error))
            else:
                if started:
                    self._nodes[actor] = value
                    events.append(Started(number, f"node {value[:6]}"))
                else:
                    self._idle.append(actor)
                    events.append(Ended(number, value))
        return events + self._moved()

    def _moved(self) -> list[Started | Moved | Ended[R]]:
        try:
            return list(self._ray.get(self._board.take.remote(), timeout=_WAIT))
        except self._ray.exceptions.RayError:
            return []  # still starting, or restarted on another node; jobs run without it

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
            busy = (actor for _, actor in self._calls.values())
            for actor in filter(None, (*self._idle, *busy, self._board)):
                self._ray.kill(actor)
            if self._owned:
                self._ray.shutdown()
        self._idle, self._calls, self._starting, self._board = [], {}, {}, None


class _Actor:
    """A process of the cluster that runs one job after another."""

    def __init__(self, gpus: float) -> None:
        limit_to_share(gpus)

    def node(self) -> str:
        """The id of the node that it runs on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def run(self, job: Job[R], number: int, board: Any) -> R:
        """Run a job; nothing waits until its progress has reached the board."""
        return job.run(Reporter(number, board.put.remote))


class _Board:
    """The actor that keeps the last progress of each job, until it is asked for."""

    def __init__(self) -> None:
        self.news: dict[int, Moved] = {}

    def put(self, event: Moved) -> None:
        """Keep a job's progress."""
        self.news[event.number] = event

    def take(self) -> list[Moved]:
        """The progress since the last call."""
        news, self.news = self.news, {}
        return list(news.values())


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


def room(ray: Any, gpus: float, cpus: float) -> int:
    """How many jobs with these needs fit on the living nodes; none spans two of them."""
    needs = {name: each for name, each in (("GPU", gpus), ("CPU", cpus)) if each}
    nodes = zip(*(on_each_node(ray, name) for name in needs), strict=True)
    each = needs.values()
    # The small term corrects binary rounding, as of three times a third of a GPU.
    return sum(
        min(int(has / need + 1e-9) for has, need in zip(node, each, strict=True)) for node in nodes
    )


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

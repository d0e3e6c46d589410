"""The same jobs on a Ray cluster: one that is there, by its address, or one started here.

Needs the extra `labelcast[ray]`. Every node needs labelcast, the data and the sweep's folder under
the same paths. Ray decides where a job runs; a node that goes down costs no try (`engine`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labelcast.errors import InputError, brief
from labelcast.execution.cluster import import_ray, join, on_each_node
from labelcast.execution.jobs import Ended, Moved, Started
from labelcast.sweeps.job import Job, JobResult
from labelcast.sweeps.run_job import run_job

_PATIENCE = 1.0


class RayWorkers:
    """Jobs as Ray tasks."""

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
            address: of an existing cluster (``auto``, ``HOST:PORT`` or ``ray://...``); None
                starts a local one.
            gpus_per_job: GPUs or a fraction of one for each job, where the cluster has any.
            cpus_per_job: CPUs that a job reserves.
            size: most jobs at once; None leaves that to the cluster.

        Raises:
            InputError: ray is not installed, or the options fit no node.
            RunError: the cluster cannot be reached.
        """
        self._ray = ray = import_ray()
        self._size = size
        self._streams: dict[Any, int] = {}
        self._ours = join(ray, address)
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
        self.slots = max(1, int(min(*_room(found, gpus, cpus_per_job), size or 10**6)))
        self._task = ray.remote(
            num_cpus=cpus_per_job, num_gpus=gpus, max_retries=0, num_returns="streaming"
        )(_serve)

    def free(self) -> bool:
        """Always, unless a size was given: Ray keeps what waits."""
        return self._size is None or len(self._streams) < self._size

    def start(self, number: int, job: Job) -> None:
        """Hand a job to the cluster."""
        self._streams[self._task.remote(job)] = number

    def wait(self) -> list[Started | Moved | Ended]:
        """What the cluster's jobs say, and which of them were lost."""
        streams = list(self._streams)
        if not streams:
            return []
        ready, _ = self._ray.wait(streams, num_returns=1, timeout=_PATIENCE, fetch_local=False)
        events: list[Started | Moved | Ended] = []
        for stream in ready:
            number = self._streams[stream]
            try:
                message = self._ray.get(next(stream))
            except (StopIteration, self._ray.exceptions.RayError) as error:
                del self._streams[stream]
                events.append(self._fault(number, error))
                continue
            if isinstance(message, JobResult):
                del self._streams[stream]
                events.append(Ended(number, message))
            else:
                events.append(Started(number, str(message)))
        return events

    def close(self) -> None:
        """Cancel what runs, and leave the cluster; one started here ends."""
        for stream in self._streams:
            self._ray.cancel(stream, force=True)
        self._streams.clear()
        if self._ours and self._ray.is_initialized():
            self._ray.shutdown()

    def _fault(self, number: int, error: Exception) -> Ended:
        exceptions = self._ray.exceptions
        lost = isinstance(error, exceptions.NodeDiedError | exceptions.ObjectLostError)
        text = brief(error, 200) or "it ended without a result"
        return Ended(number, None, f"{type(error).__name__}: {text}", lost)


def _room(found: dict[str, float], gpus: float, cpus: float) -> Iterator[float]:
    yield found.get("CPU", 1) / cpus if cpus else 10**6
    yield found.get("GPU", 0) / gpus if gpus else 10**6


def _serve(job: Job) -> Iterator[str | JobResult]:
    """A job on a node: first where it runs, then what it gave."""
    import ray

    yield f"node {ray.get_runtime_context().get_node_id()[:6]}"
    yield run_job(job)

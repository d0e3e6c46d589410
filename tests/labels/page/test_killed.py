"""The label page is killed at random, or another process writes to its run."""

from __future__ import annotations

import csv
import random
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest
from command_line import Outcome, in_process, labelcast
from label_pages import plain_run
from label_server import Serving, serving

from labelcast.labels.session import LabelEntry
from labelcast.runs.run import Run

ANSWERS = ("billing", "returns", "account")


def kept(run: Run) -> dict[str, str]:
    """Answers on disk by the ids of their examples."""
    return {row["id"]: row["team"] for row in run.rows("labels.jsonl")}


def visitor(server: Serving) -> httpx.Client:
    """A client with the page's own origin."""
    return httpx.Client(base_url=server.origin, headers={"Origin": server.origin}, timeout=60)


def label_all(
    server: Serving, ids: list[str], answer: str, then: Mapping[int, Callable[[], None]] = {}
) -> dict[str, str]:
    """Label one example after the other until the page dies; returns what it confirmed.

    `then` has what to do after a number of answers.
    """
    taken: dict[str, str] = {}
    with visitor(server) as client:
        client.get(server.link)
        for name in ids:
            body = {"id": name, "seen": LabelEntry().version, "answer": answer}
            try:
                done = client.post("/api/label", json=body)
            except httpx.TransportError:
                break
            assert done.status_code == 200, done.text
            taken[name] = answer
            if len(taken) in then:
                then[len(taken)]()
    return taken


@pytest.mark.parametrize("kills", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_confirmed_answers_survive_a_kill(kills: int, tmp_path: Path) -> None:
    """No answer is lost or written halfway."""
    run = plain_run(tmp_path, 64)
    left = [row["id"] for row in run.rows("draws.jsonl")]
    confirmed: dict[str, str] = {}
    rng = random.Random(kills)
    for number in range(kills):
        with serving(run.path) as server:
            timer = threading.Timer(rng.uniform(0, 0.03), server.process.kill)
            confirmed |= label_all(
                server, left, ANSWERS[number % 3], {rng.randrange(1, 6): timer.start}
            )
            timer.join()
            assert len(confirmed) > number
        found = kept(run)
        assert found.items() >= confirmed.items()
        # One more may be written but not confirmed.
        assert len(found) <= len(confirmed) + number + 1
        assert set(found.values()) <= set(ANSWERS)
        left = [name for name in left if name not in found]
    done = labelcast("label", run.path, "--export", tmp_path / "out.csv")
    assert done.status == 0, done.err


def test_an_import_while_the_page_is_open(tmp_path: Path) -> None:
    """No answer is lost, and the page shows the imported ones."""
    run = plain_run(tmp_path, 40)
    file = tmp_path / "half.csv"
    assert labelcast("label", run.path, "--export", file).status == 0
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows[20:]:
        row["team"] = "account"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    ids = [row["id"] for row in run.rows("draws.jsonl")]
    imported: list[Outcome] = []
    with serving(run.path) as server:
        other = threading.Thread(
            target=lambda: imported.append(in_process(["label", run.path, "--import", file]))
        )
        other.start()
        taken = label_all(server, ids[:20], "billing")
        other.join()
        with visitor(server) as client:
            client.get(server.link)
            shown = client.get("/api/state").json()
    assert imported[0].status == 0, imported[0].err
    assert len(taken) == 20
    assert kept(run) == taken | dict.fromkeys(ids[20:], "account")
    assert sum(item["labelled"] for item in shown["items"]) == 40

"""`python -m labelcast.labels.page.coslow_process RUN`: CoS-Low of a run, as JSON lines.

A process of its own, so that the page stays alive meanwhile and can stop it. Where the page is
killed, the next line finds nobody to read it, and this process ends without a result.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from labelcast.errors import LabelcastError


def measure(path: str) -> None:
    """Measure CoS-Low of a run and keep it there, as `labelcast coslow RUN` does."""
    from labelcast.models.coslow import cos_low
    from labelcast.models.loading import load_model
    from labelcast.runs.coslow import run_examples, save
    from labelcast.runs.run import Run

    run = Run.open(path)
    _tell(stage="loading", model=run.model.name)
    lm = load_model(run.model.name)
    # Before the examples are read: a label that changes meanwhile makes the result an old one.
    labels = run.labels_digest("low")
    examples = run_examples(run, lm)
    done = 0

    def progress(more: int) -> None:
        nonlocal done
        done += more
        _tell(stage="gradients", done=done, total=len(examples))

    _tell(stage="gradients", done=0, total=len(examples))
    result = cos_low(lm, examples, progress=progress)
    _tell(stage="saving")
    save(run, result, labels=labels)


def main() -> int:
    """Entry point; the exit status is that of the command line."""
    try:
        measure(sys.argv[1])
    except LabelcastError as error:
        _tell(error=str(error))
        return error.status
    except (BrokenPipeError, KeyboardInterrupt):
        # Nobody reads any more; what is left in the buffer must not raise at exit.
        sys.stdout = None  # type: ignore[assignment]
        return 1
    except MemoryError:
        _tell(error="out of memory. Try `labelcast coslow` with a smaller --batch-size.")
        return 1
    return 0


def _tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())

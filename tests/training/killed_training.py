"""Train and kill the process after a step: MODEL_FOLDER CHECKPOINT_FOLDER STEP.

Needs `src` and `tests` on the path.
"""

import os
import signal
import sys
from pathlib import Path

from tuning_made import QUICK, load, made_examples, records

from labelcast.training.finetune import fine_tune


def main(model: str, folder: str, last: int) -> None:
    lm = load(Path(model))
    examples = made_examples(lm, records(60))

    def stop(step: int, steps: int, loss: float | None) -> None:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    fine_tune(
        lm,
        examples[:40],
        examples[40:],
        QUICK,
        seed=5,
        folder=Path(folder),
        progress=stop,
        checkpoint_seconds=0,
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

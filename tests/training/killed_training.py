"""Train and kill the process after a step: MODEL_FOLDER CHECKPOINT_FOLDER MAX_STEPS STEP.

Needs `src` and `tests` on the path.
"""

import avx512_bf16  # first, so that all that is imported finds it

# isort: split
import os
import signal
import sys
from pathlib import Path

from small_training import QUICK, load, made_examples, records

from labelcast.training import checkpoints
from labelcast.training.backend import Fit, Placement
from labelcast.training.finetune import CausalBackend
from labelcast.training.splits import Budget


def main(model: str, folder: str, steps: int, last: int) -> None:
    lm = load(Path(model))
    examples = made_examples(lm, records(60))

    def stop(step: int, steps: int, loss: float | None) -> None:
        if step == last:
            assert avx512_bf16.found()
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.CHECKPOINT_SECONDS = 0.0
    CausalBackend().fit(
        lm,
        Fit(
            Budget(tuple(examples[:40]), tuple(examples[40:])),
            QUICK.model_copy(update={"max_steps": steps}),
            5,
            Placement("cpu", "float32"),
            Path(folder),
            stop,
        ),
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

"""One step of a model that FSDP shards over two processes: MODEL METHOD FOLDER RANK.

Writes the trained weights ``before`` and ``after`` it, and those of the same step in one process,
``alone``. Needs `src` and `tests` on the path.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from safetensors.torch import save_file
from small_training import QUICK, QUICK_LORA

from labelcast.models.choices import Choice
from labelcast.models.loading import LanguageModel, load_model
from labelcast.training.checkpoints import trained_parts
from labelcast.training.memory import outline
from labelcast.training.rank import full_weights, hollow
from labelcast.training.trainer import with_adapters


def adapted(lm: LanguageModel, method: str) -> Any:
    torch.manual_seed(0)
    if method == "full":
        lm.model.requires_grad_(True)
    return with_adapters(lm, QUICK if method == "full" else QUICK_LORA).train()


def take_step(model: Any, optimizer: Any) -> None:
    ids = torch.arange(10, 30)[None]
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    optimizer.step()


def main(name: str, method: str, folder: Path, rank: int) -> None:
    if rank == 0:
        lm = load_model(name, device="cpu", dtype="float32")
        alone = adapted(load_model(name, device="cpu", dtype="float32"), method)
        take_step(alone, torch.optim.SGD(alone.parameters(), lr=0.1))
        save_file(full_weights(alone), folder / "alone")
    else:
        lm = hollow(outline(name, Choice("cpu", "asked"), "float32"))
    group = f"file://{folder / 'group'}"
    torch.distributed.init_process_group("gloo", init_method=group, rank=rank, world_size=2)
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ |= {name: str(value) for name, value in names.items()}
    accelerator = Accelerator(cpu=True)
    # accelerate offers FSDP on GPUs only; its code runs on CPUs all the same.
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        cpu_ram_efficient_loading=True,
        state_dict_type="SHARDED_STATE_DICT",
    )
    for state in (AcceleratorState._shared_state, PartialState._shared_state):
        state |= {"distributed_type": DistributedType.FSDP, "fsdp_plugin": plugin}
    model = adapted(lm, method)
    made = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer = accelerator.prepare(model, made)
    kept = {name: torch.empty_like(weight) for name, weight in trained_parts(model).items()}
    for part in ("before", "after"):
        # FSDP leaves some weights whole after an evaluation.
        with torch.no_grad():
            model.eval()(input_ids=torch.arange(10, 30)[None], use_cache=False)
        for name_of, weight in trained_parts(model).items():
            kept[name_of].copy_(weight)
        model.train()
        found = full_weights(model, keep=rank == 0)
        assert bool(found) == (rank == 0)
        if rank == 0:
            save_file(found, folder / part)
        if part == "before":
            take_step(model, optimizer)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))

"""What must hold of a model's folder before a library opens it."""

from __future__ import annotations

from pathlib import Path

from labelcast.errors import InputError, brief, is_out_of_memory
from labelcast.files.json_files import read_json
from labelcast.files.untrusted import refuse_special


def check_folder(spec: str, path: Path) -> None:
    """Refuse a folder that is no whole model in safetensors.

    Args:
        spec: what the user called it.
        path: of the folder.

    Raises:
        InputError: a part is missing or no plain file, only pickled weights are there, adapters
            name another model, or an index names files elsewhere.
    """
    if not (path / "config.json").is_file():
        raise InputError(f"model {spec}: the folder has no config.json, so it is no model folder.")
    if not any(path.glob("*.safetensors")):
        found = "only pickled weights, which are never read" if any(path.glob("*.bin")) else "none"
        raise InputError(f"model {spec}: no weights as .safetensors in the folder ({found}).")
    if (path / "adapter_config.json").exists():
        # The library would load whatever base model it names, from the hub as well.
        raise InputError(
            f"model {spec}: the folder holds adapters (adapter_config.json) that name another "
            "model. Merge them into it first, and give the folder of the whole."
        )
    for file in ("config.json", "tokenizer_config.json", "tokenizer.json", "chat_template.jinja"):
        refuse_special(path / file)
    for weights in path.glob("*.safetensors"):
        refuse_special(weights)
    for index in path.glob("*.safetensors.index.json"):
        _check_index(spec, index)


def check_weights(spec: str, path: Path) -> None:
    """Refuse a folder in which a file of weights is damaged, as far as its head tells.

    Raises:
        InputError: a file is no safetensors, or is shorter than it says.
    """
    from safetensors import SafetensorError, safe_open

    for weights in path.glob("*.safetensors"):
        try:
            with safe_open(weights, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            if is_out_of_memory(error):
                raise MemoryError from None
            fault = brief(error)
            raise InputError(
                f"model {spec}: {weights.name} cannot be loaded ({fault}). Copy or download it "
                "again."
            ) from None


def _check_index(spec: str, index: Path) -> None:
    """Refuse an index of weights that names files outside its folder."""
    content = read_json(index)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict):
        raise InputError(f"model {spec}: {index.name} holds no 'weight_map'.")
    for name in map(str, places.values()):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InputError(
                f"model {spec}: {index.name} names {name[:80]!r}, which is no file of the folder."
            )

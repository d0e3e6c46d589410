"""Vectors of texts, computed once and kept in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from labelcast.errors import RunError
from labelcast.files.atomic import make_folder
from labelcast.files.json_files import write_with
from labelcast.models.identity import weights_digest
from labelcast.models.loading import AnyModel
from labelcast.models.protocols import Progress

Vectors = NDArray[np.float32]


class VectorStore:
    """The vectors of one model's texts, in this process and in a file of a folder."""

    def __init__(self, lm: AnyModel, folder: Path | None) -> None:
        """Read what the folder has; None keeps the vectors in this process only."""
        self.lm = lm
        dtype = str(lm.dtype.value).removeprefix("torch.")
        name = f"{lm.identity.fingerprint}-{weights_digest(lm.model)}-{dtype}.safetensors"
        self._file = None if folder is None else folder / name
        self._known: dict[bytes, Vectors] = {}
        self._read()

    def embed(self, texts: Sequence[str], progress: Progress = lambda done: None) -> Vectors:
        """One vector per text, [N,F]; only those of new texts are computed."""
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        missing = {
            key: text for key, text in zip(keys, texts, strict=True) if key not in self._known
        }
        if missing:
            new = self.lm.embed(list(missing.values()), batch_size=None, progress=progress)
            self._read()  # what another process has added
            self._known |= zip(missing, new, strict=True)
            self._write()
        progress(len(texts) - len(missing))
        return np.stack([self._known[key] for key in keys])

    def _read(self) -> None:
        if self._file is None or not self._file.exists():
            return
        # A damaged file, or one of another process's disk, is computed again.
        with suppress(OSError, KeyError, SafetensorError):
            stored = load_file(self._file)
            pairs = zip(stored["keys"], stored["vectors"], strict=True)
            self._known |= {bytes(key): vector for key, vector in pairs}

    def _write(self) -> None:
        if self._file is None:
            return
        keys = np.frombuffer(b"".join(self._known), np.uint8).reshape(len(self._known), -1)
        vectors = np.stack(list(self._known.values()))
        with suppress(OSError, RunError):  # it saves time only
            make_folder(self._file.parent)
            write_with(self._file, lambda part: save_file({"keys": keys, "vectors": vectors}, part))

"""The published data, which is not part of the project."""

from pathlib import Path

import pytest

_FOLDER = Path(__file__).resolve().parents[1].parent / "shared"


def shared() -> Path:
    """Return the folder next to the repository; skip the test if there is none."""
    if not _FOLDER.is_dir():
        pytest.skip(f"needs the published data in {_FOLDER.name}/ next to the repository")
    return _FOLDER

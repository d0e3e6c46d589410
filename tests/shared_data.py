"""Where tests find the published material that is not part of the project."""

from pathlib import Path

import pytest

_FOLDER = Path(__file__).resolve().parents[1].parent / "shared"


def shared() -> Path:
    """Return the folder beside the repository, or skip the test that asks for it."""
    if not _FOLDER.is_dir():
        pytest.skip(f"needs the published material in {_FOLDER.name}/ beside the repository")
    return _FOLDER

import json
import subprocess
import sys
from pathlib import Path

import gpu_check
import gpu_plan
import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "your-model.md"


@pytest.mark.slow
def test_the_small_checks_pass_on_a_cpu_and_resume(tmp_path: Path) -> None:
    """Every check is a row of the table; one that is done, or was cut off, is handled."""
    done, *left = gpu_check.checks(small=True)
    row = {"passed": True, "seconds": 0, "text": "done before"}
    line_of_done = json.dumps(row | {"check": done})
    (tmp_path / "rows.jsonl").write_text(f'{line_of_done}\n{{"check": "full", "pas')
    line = [sys.executable, gpu_check.__file__, "--small", "--out", str(tmp_path)]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert f"| {done} | pass | 0 | done before |" in ended.stdout
    for name in left:
        assert f"| {name} | pass |" in ended.stdout


@pytest.mark.parametrize("name", ["1B", pytest.param("8B", marks=pytest.mark.slow), "70B"])
def test_the_guide_has_the_plan(name: str) -> None:
    """Its table is what the functions that plan a run decide now."""
    guide = GUIDE.read_text("utf-8")
    for row in gpu_plan.rows([name]):
        assert row in guide

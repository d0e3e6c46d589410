import json
import subprocess
import sys
from pathlib import Path

import gpu_check


def test_the_small_checks_pass_on_a_cpu_and_resume(tmp_path: Path) -> None:
    """Every check is a row of the table; one that is done, or was cut off, is handled."""
    rows = tmp_path / "rows.jsonl"
    done = {"check": "LoRA", "passed": True, "seconds": 0, "text": "done before"}
    rows.write_text(json.dumps(done) + '\n{"check": "full", "pas')
    line = [sys.executable, gpu_check.__file__, "--small", "--out", str(tmp_path)]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert "| LoRA | pass | 0 | done before |" in ended.stdout
    for name in gpu_check.checks(small=True):
        assert f"| {name} | pass |" in ended.stdout

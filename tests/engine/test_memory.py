"""Memory does not grow with the dataset: ten times the rows take hardly more."""

from __future__ import annotations

from hashlib import sha256

from tests.conftest import Trial

SCRIPT = """
import resource
import sys
from pathlib import Path
from pipekit.engine.run import run_plan
from pipekit.pipeline.plan import load_plan

stages = {"data": {"use": "import.listed", "path": sys.argv[1], "verify": "none"}, "shout": {"use": "shout", "max_failed": 0.2}}
table = {"plugins": ["trial_plugin.py"], "workers": 2, "name": "memory", "stages": stages}
outcome = run_plan(load_plan(table=table, base_dir=Path.cwd()), publish=False)
print(len(outcome.artifact("shout")), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_ten_times_the_rows_take_hardly_more_memory(trial: Trial) -> None:
    peaks = []
    (trial.path / "x").write_bytes(b"x")
    for count in (4_000, 40_000):
        file = trial.path / f"{count}.count"
        file.write_text(f"{count} {sha256(b'x').hexdigest()}")
        out, error = trial.start(SCRIPT, file.name).communicate()
        assert out, error
        length, peak = map(int, out.split())
        assert length == count * 9 // 10
        peaks.append(peak)
    assert peaks[1] < 2 * peaks[0], peaks

from __future__ import annotations

import json
from pathlib import Path


def test_the_schema_is_json_and_knows_the_stages(pipekit) -> None:
    result = pipekit("schema")
    assert result.code == 0
    schema = json.loads(result.out)
    assert "$schema" in schema
    assert '"split"' in result.out


def test_a_plugins_stage_is_in_it(pipekit, speckle: Path) -> None:
    assert "What stands on top" in pipekit("schema", "--plugin", speckle).out
    assert "What stands on top" not in pipekit("schema").out


def test_it_can_be_written_to_a_file(pipekit, tmp_path: Path) -> None:
    result = pipekit("schema", "--out", "pipeline.schema.json")
    assert result.code == 0
    assert "#:schema ./pipeline.schema.json" in result.out
    assert json.loads((tmp_path / "pipeline.schema.json").read_text())["$schema"]


def test_a_place_that_can_not_be_written(pipekit, tmp_path: Path) -> None:
    result = pipekit("schema", "--out", tmp_path / "nowhere" / "a.json")
    assert result.code == 2
    assert result.err.startswith("error: can't write ")

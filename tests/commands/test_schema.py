"""``pipekit.schema`` against the command of that name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pipekit as package
from pipekit.errors import UserError


def test_the_schema_is_that_of_the_command(pipekit, speckle: Path) -> None:
    found = package.schema("verb.json", plugins=[str(speckle)])
    assert "speckle" in json.dumps(found)
    assert pipekit("schema", "--plugin", speckle, "-o", "command.json").code == 0
    assert Path("verb.json").read_bytes() == Path("command.json").read_bytes()
    assert json.loads(Path("verb.json").read_text("utf-8")) == json.loads(json.dumps(found))
    with pytest.raises(UserError, match="can't write"):
        package.schema(Path("nowhere") / "schema.json")

"""``pipekit.models`` and ``pipekit.model_summary`` against ``pipekit models``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

import pipekit as package
from pipekit.errors import UserError


def test_the_list_is_that_of_the_command(pipekit) -> None:
    lines = pipekit("models").out.splitlines()[1:]
    assert [template.name for template in package.models()] == [
        line.split()[0] for line in lines if line and "show" not in line
    ]


def test_the_summary_is_that_of_the_command(pipekit, tmp_path: Path) -> None:
    words = ("--input", "4x5", "--classes", "2", "--set", "units=[]", "--svg", "command.svg", "--json")
    shown = json.loads(pipekit("models", "show", "mlp", *words).out)
    found = package.model_summary("mlp", input_shape=(4, 5), classes=2, units=[], svg=tmp_path / "verb.svg")
    assert found.parameters == shown["parameters"] == 122
    assert json.loads(json.dumps(asdict(found))).items() <= shown.items()
    assert Path("verb.svg").read_text() == Path("command.svg").read_text()
    with pytest.raises(UserError, match="AlexNet needs images of at least 67 x 67"):
        package.model_summary("alexnet", input_shape=(32, 32))


def test_a_wrong_parameter_is_named() -> None:
    with pytest.raises(UserError, match=r"^unit: no parameter called 'unit'"):
        package.model_summary("mlp", unit=[3])
    with pytest.raises(UserError, match="Did you mean 'mlp'"):
        package.model_summary("mpl")

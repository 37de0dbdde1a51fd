"""``pipekit models``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Pipekit = Callable[..., Any]


def test_list(pipekit: Pipekit) -> None:
    result = pipekit("models")
    assert result.code == 0
    assert {"simple_cnn", "alexnet", "row_lstm"} <= {line.split()[0] for line in result.out.splitlines() if line.strip()}


def test_show(pipekit: Pipekit, tmp_path: Path) -> None:
    result = pipekit(
        "models", "show", "mlp", "--input", "28x28x1", "--classes", "10", "--set", "units=[32]", "--svg", "mlp.svg"
    )
    assert result.code == 0, result.err
    assert "Parameters     25,450" in result.out  # 784 * 32 + 32 + 32 * 10 + 10
    assert "Multiply-adds  25.4 k per image" in result.out
    assert (tmp_path / "mlp.svg").read_text().startswith("<svg")


def test_show_for_machines(pipekit: Pipekit) -> None:
    result = pipekit("models", "show", "mlp", "--input", "4x5", "--classes", "2", "--set", "units=[]", "--json")
    found = json.loads(result.out)
    assert (found["parameters"], found["multiply_adds"], found["input_shape"]) == (122, 120, [4, 5, 3])


def test_what_cant_be_shown(pipekit: Pipekit) -> None:
    for words, said in (
        (("mpl",), "Did you mean 'mlp'?"),
        (("mlp", "--input", "28"), "--input must be HEIGHTxWIDTH"),
        (("mlp", "--set", "units"), "--set needs NAME=VALUE"),
        (("mlp", "--set", "unit=[3]"), "no parameter called 'unit'"),
        (("alexnet", "--input", "32x32"), "AlexNet needs images of at least 67 x 67"),
    ):
        result = pipekit("models", "show", *words)
        assert (result.code, said in result.err) == (2, True), (words, result.err)

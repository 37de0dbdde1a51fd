"""How pictures are resized and filled, as types for parameters. Nothing heavy is imported: ``--help`` shows these choices."""

from __future__ import annotations

from typing import Literal, TypeAlias

SizeHw: TypeAlias = tuple[int, int]
Interpolation: TypeAlias = Literal["nearest", "linear", "cubic", "area", "lanczos"]
FillMode: TypeAlias = Literal["nearest", "constant", "reflect", "wrap"]
Fit: TypeAlias = Literal["stretch", "crop", "pad"]

"""Promises of projections."""

from __future__ import annotations

from pipekit.testing.checks.core import Subject, form_of, promise


@promise("projection")
def _projects(subject: Subject) -> str:
    """it gives (N, 2) finite numbers, the same twice, for few rows, equal rows and one column, and changes no row"""
    import numpy as np

    from pipekit.rng import rng_for

    draw = np.random.default_rng(3)
    tables = {
        "40 rows": draw.normal(size=(40, 8)),
        "12 rows": draw.normal(size=(12, 3)),
        "one column": draw.normal(size=(12, 1)),
    }
    tables["pairs of equal rows"] = np.repeat(draw.normal(size=(10, 6)), 2, axis=0)
    for name, drawn in tables.items():
        table = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
        given = table.copy()
        first, second = (np.asarray(subject.found(given, subject.params, rng_for(3, "check"))) for _ in range(2))
        if first.shape != (len(table), 2) or first.dtype.kind not in "fiu":
            return f"{name}: expected ({len(table)}, 2) numbers, got {form_of(first)}"
        if not np.isfinite(first).all():
            return f"{name}: not all numbers are finite"
        if not np.array_equal(first, second):
            return f"{name}: two calls with the same generator differ; draw from `rng` alone"
        if not np.array_equal(given, table):
            return "it modifies its input array; work on a copy"
    return ""

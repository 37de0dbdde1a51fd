"""The checks that ``inspect`` makes, by subject. Each is ``check(rows, ctx, params) -> findings``.

A row is what :func:`pipekit.builtin.inspect.measure.measure` found out about one image, with ``group`` added: images with the
same number are nearly the same. What a finding proposes to leave out stands in its ``values["remove"]``.
"""

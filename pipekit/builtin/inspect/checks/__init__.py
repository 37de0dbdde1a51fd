"""The checks of ``inspect``, by subject. Each is ``check(rows, ctx, params) -> findings``.

A row is the result of :func:`pipekit.builtin.inspect.measure.measure` for one image, with ``group`` added: images with the
same number are near duplicates. ``values["remove"]`` of a finding lists the images that it proposes to leave out.
"""

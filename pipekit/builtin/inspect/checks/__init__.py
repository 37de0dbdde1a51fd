"""The checks of ``inspect``, by subject. Each is ``check(rows, ctx, params) -> findings``.

A row is what :func:`pipekit.images.measuring.measure_image` yields for one image, with its label, split, sha256 and suffix, and
``group``: images with the same number are near duplicates; copies of one
original have the same ``origin``. ``values["remove"]`` of a finding lists the images that it
proposes to leave out.
"""

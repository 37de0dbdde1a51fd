"""Image features by classic detectors: the stages ``features``, ``match`` and ``stability``."""

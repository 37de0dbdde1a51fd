"""Built-in feature detectors: one module for each, or for each family."""

"""The feature detectors that ship in the box: one file for each, or for each family."""

"""Keypoints: the return value of feature detectors, and features on a grid."""

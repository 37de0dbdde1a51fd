"""Keypoints: what a detector returns, and features on a grid."""

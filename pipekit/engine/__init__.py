"""Runs a plan: keys, shards, workers, contexts of stages, and the folders under ``runs/``."""

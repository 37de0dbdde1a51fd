"""Dataset formats to write, one a file. Each module has ``write(artifact, out_dir, params)``."""

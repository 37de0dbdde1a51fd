"""Exporters: one module per dataset or model format, each with ``write(artifact, out_dir, params)``."""

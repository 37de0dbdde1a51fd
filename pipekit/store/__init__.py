"""The content-addressed store of artifacts and shards, rows of datasets, and hashes of files."""

"""Dataset formats to read, one a file. Each module has ``sniff(path)`` and ``read(path, params)``."""

"""Dataset formats to read, one a file. Each module has ``sniff(path)`` and ``read(path, params)``.

``sniff`` returns why it reads ``path``, or :class:`~pipekit.contract.Rejected` with why it does not.
"""

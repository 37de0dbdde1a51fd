"""Importers: one module per dataset format, each with ``sniff(path)`` and ``read(path, params)``.

``sniff`` returns the reason why it can read ``path``, or :class:`~pipekit.contract.Rejected` with the reason why not.
"""

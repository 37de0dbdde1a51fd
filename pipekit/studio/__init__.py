"""The studio: local pages to browse a dataset, correct it, make recipes, train and try models.

State is in the address and in files that the command line reads too: ``corrections.csv``, ``quarantine.csv``,
``recipes/*.toml``, the pipeline file. The server holds nothing that a restart loses.
"""

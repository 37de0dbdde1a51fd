"""The store: what was made, in folders named by what it was made from; rows of datasets; hashes of files."""

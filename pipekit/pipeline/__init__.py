"""The pipeline file: read, checked as a whole, and turned into a plan."""

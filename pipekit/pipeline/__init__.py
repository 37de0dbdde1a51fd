"""Read the pipeline file, validate it as a whole, and turn it into a plan."""

"""The report's own sections, each ``section(ctx, evaluation, params) -> Section``, registered as a plugin's would be."""

"""The built-in report sections. Each is ``section(ctx, evaluation, params) -> Section`` and registers as a plugin's does."""

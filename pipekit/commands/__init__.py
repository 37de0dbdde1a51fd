"""One function per command, without Typer and Rich."""

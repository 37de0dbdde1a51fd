"""A pipekit plugin: ${words}."""

import pipekit

PIPEKIT_API = 1


@pipekit.hookimpl
def ${hook}(register):
    # The name that users write, the code's location (imported on first use) and a one-line summary. Raise `version` when the
    # output changes for the same input: it is part of every cache key.
    register("${component}", "${package}.${component}${attribute}", summary="${summary}", version=1)

"""A pipekit plugin: the executor `dask`, which runs shards on a Dask cluster."""

import sys

import pipekit

PIPEKIT_API = 1


@pipekit.hookimpl
def register_executors(register):
    register("dask", "pipekit_dask.executor:dask", summary="A Dask cluster: this machine, SSH, Slurm, Kubernetes")


@pipekit.hookimpl
def after_run() -> None:
    """Close the cluster that the stages of the run have used."""
    if "pipekit_dask.executor" in sys.modules:
        sys.modules["pipekit_dask.executor"].close_unused()

"""A pipekit plugin: the executor `dask`, which runs shards on a Dask cluster."""

import pipekit

PIPEKIT_API = 1


@pipekit.hookimpl
def register_executors(register):
    register("dask", "pipekit_dask.executor:dask", summary="A Dask cluster: this machine, SSH, Slurm, Kubernetes")

"""Runs `repr_jax.main` so that something befalls one process of the run, on purpose.

  python -m experiments.launch.befall PROCESS FAULT [flags of repr_jax.main]

`experiments.launch.faults` and tests start all processes of a run by this; PROCESS is
the number of the one that meets with it. FAULTS lists what there is.
"""

import ctypes
import errno
import functools
import os
import runpy
import signal
import sys
import time

import jax
import numpy as np
from jax.experimental import multihost_utils

from repr_jax import checkpoint, train
from repr_jax.evaluators import bound
from repr_jax.workdir import reading

THE_SAVE = 3  # which save it befalls
THE_GROUP = 6  # which group of batches


def die(*_, **__):
    """As a machine that loses its power."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_save(here, do, after=False):
    """`do` in place of starting the third save, or after it has started."""
    save, saves = checkpoint.ocp.save_checkpointables_async, []

    def altered(*arguments, **keywords):
        saves.append(1)
        now = here() and len(saves) == THE_SAVE
        if now and not after:
            do()
        response = save(*arguments, **keywords)
        if now and after:
            do()
        return response

    checkpoint.ocp.save_checkpointables_async = altered
    return saves


def at_batch(here, change):
    """`change` of the seventh group of batches."""
    groups = train.stacked

    def altered(*arguments):
        for number, group in enumerate(groups(*arguments)):
            yield change(group) if number == THE_GROUP and here() else group

    train.stacked = altered


def dies_before_it_has_a_name(here):
    """Once it has joined the others, and before it has told them where it is."""
    if here():
        multihost_utils.process_allgather = die


def never_joins(here):
    """And the others wait for three seconds."""
    join = jax.distributed.initialize
    jax.distributed.initialize = functools.partial(join, initialization_timeout=3)
    if here():
        sys.exit(1)


def dies_before_it_saves(here):
    """Dies where the third save begins."""
    at_save(here, die)


def dies_while_saving(here):
    """Dies once the third save has begun."""
    at_save(here, die, after=True)


def dies_while_all_agree(here):
    """Dies while the others wait for its word on how the third save went."""
    saves, worst_of = at_save(here, lambda: None), reading.worst_of

    def altered(outcome):
        if here() and len(saves) == THE_SAVE:
            time.sleep(1)  # the others wait for its word by then
            die()
        return worst_of(outcome)

    reading.worst_of = altered


def dies_while_restoring(here):
    """Dies once it has read the state that the others read too."""
    load = checkpoint.ocp.load_checkpointables

    def altered(*arguments):
        found = load(*arguments)
        if here():
            die()
        return found

    checkpoint.ocp.load_checkpointables = altered


def finds_the_disk_full(here):
    """The third save has no room."""

    def fail():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    at_save(here, fail)


def reads_broken_data(here):
    """A file of its data is cut."""

    def fail(group):
        raise ValueError("a/b.png: expected a whole image; it is cut.")

    at_batch(here, fail)


def waits_for_its_data(here):
    """Its data source hangs."""
    at_batch(here, lambda group: time.sleep(3600))


def reads_nan(here):
    """A batch that is not finite, as a faulty machine may make one."""

    def spoil(x):
        return np.full_like(x, np.nan) if np.issubdtype(x.dtype, np.floating) else x

    at_batch(here, functools.partial(jax.tree.map, spoil))


def compiles_slowly(here):
    """Longer than the others would miss a sign of life; no Python runs meanwhile."""
    make_call = train.make_call

    def altered(*arguments):
        call = make_call(*arguments)
        if here():
            ctypes.PyDLL(None).sleep(25)
        return call

    train.make_call = altered


def evaluates_slowly(here):
    """In all processes."""
    batches = bound.batches

    def altered(*arguments, **keywords):
        for batch in batches(*arguments, **keywords):
            print("evaluates", flush=True)
            time.sleep(60)
            yield batch

    bound.batches = altered


def nothing(here):
    """For comparison."""


FAULTS = (
    nothing,
    dies_before_it_has_a_name,
    never_joins,
    dies_before_it_saves,
    dies_while_saving,
    dies_while_all_agree,
    dies_while_restoring,
    finds_the_disk_full,
    reads_broken_data,
    waits_for_its_data,
    reads_nan,
    compiles_slowly,
    evaluates_slowly,
)


def main() -> None:
    """Arranges for the fault, and becomes `repr_jax.main`."""
    process, name = sys.argv[1:3]
    fault = {one.__name__: one for one in FAULTS}[name]
    fault(lambda: os.environ.get("JAX_PROCESS_ID", "0") == process)
    sys.argv[1:3] = []
    runpy.run_module("repr_jax.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

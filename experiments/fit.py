"""An estimator in place of a training loop: fitted once, stored, then evaluated.

    config.experiment = fit.make
    config.dataset = dict(fn=mnist.digits)
    config.inputs = dict(fn=fit.vectors, name="image")
    config.estimator = dict(fn=kmeans.fit, num_clusters=10)
    config.outputs.assign = dict(fn=kmeans.assign)
    config.evals.clusters = dict(fn=clusters.evaluate)

Evaluators, the report and a second start are those of any run. Inputs are entries of
the dataset's batches, or an output of a trained run, such as its representation:

    config.inputs = dict(fn=fit.output_of, workdir="runs/simclr", output="represent")
"""

import functools
import inspect
from collections.abc import Callable, Mapping

import jax
import numpy as np

from repr_jax import run
from repr_jax.config import bind
from repr_jax.evaluators.common import batches
from repr_jax.experiment import Experiment, Fit
from repr_jax.workdir import records

Inputs = Callable[
    [Mapping, jax.Array], jax.Array
]  # prepared batch, key -> [batch, ...]


def make(config) -> Fit:
    """Reads inputs, targets, modules, estimator, outputs and max_rows.

    `config.inputs` makes (batch, key) -> [batch, ...]: `entry`, `vectors`, `output_of`;
    or it names several such choices, dict(a=dict(fn=...), b=dict(fn=...)), where the
    estimator takes a tuple of arrays, in the order of the names. `config.targets`, if
    there is one, makes the second array of a supervised estimator. `config.modules` has
    the modules that the estimator and the outputs take, by the name of the argument.
    `config.outputs` are functions (fitted, inputs) -> arrays. `config.max_rows`, if
    given, is how many random rows of the training split are fitted on, all of which are
    in memory at once.

    Raises:
      TypeError: an argument that the estimator lacks, or that is missing.
    """
    inputs = _inputs(config.inputs, "config.inputs")
    targets = _inputs(config.targets, "config.targets") if "targets" in config else None
    modules = {
        name: bind(choice, f"config.modules.{name}")()
        for name, choice in config.get("modules", {}).items()
    }
    estimator = bind(config.estimator, "config.estimator")
    accepted = inspect.signature(estimator.func).parameters
    for name in modules:
        if name not in accepted:
            raise TypeError(
                f"config.modules.{name}: expected an argument of the estimator; "
                f"{estimator.func.__module__} has {', '.join(accepted)}."
            )
    fixed = functools.partial(estimator, **modules)
    wanted = (inputs,) if targets is None else (inputs, targets)
    _check_complete(fixed, ("key" in accepted) + len(wanted))
    max_rows = config.get("max_rows")

    def fit(key, dataset, progress):
        fit_key, input_key = jax.random.split(key)
        arrays = _rows(dataset, wanted, config.batch_size, max_rows, input_key)
        first = (fit_key,) if "key" in accepted else ()
        options = {"progress": progress} if "progress" in accepted else {}
        return fixed(*first, *arrays, **options)

    outputs = {
        name: _output(bind(choice, f"config.outputs.{name}"), inputs, modules)
        for name, choice in config.outputs.items()
    }
    return Fit(fit, outputs)


def entry(*, name: str) -> Inputs:
    """An entry of the batches, as it is."""

    def of_batch(batch, key):
        if name not in batch:
            raise ValueError(
                f"fit.entry: expected {name!r} among the entries of a batch; got "
                f"{', '.join(sorted(batch))}."
            )
        return batch[name]

    return of_batch


def vectors(*, name: str) -> Inputs:
    """An entry of the batches, its trailing axes flattened: [batch, dim]."""
    read = entry(name=name)

    def of_batch(batch, key):
        x = read(batch, key)
        return x.reshape(len(x), -1)

    return of_batch


def output_of(*, workdir: str, output: str, step: int | str | None = None) -> Inputs:
    """What a trained run makes of the batches, whose entries must be those it takes.

    Args:
      workdir: of a run of an experiment. The newest state is read, or that of `step`, a
        number or "best"; of its moving average, if the run keeps one.
      output: such as "represent".

    Raises:
      FileNotFoundError: no such run, or no state. ValueError: no such output.
    """
    config = records.stored_config(workdir)
    parts = run.build(config)
    if not isinstance(parts.experiment, Experiment):
        raise ValueError(f"fit.output_of: expected a trained run; {workdir} is a fit.")
    if output not in parts.experiment.outputs:
        raise ValueError(
            f"fit.output_of: expected an output of {workdir} among "
            f"{', '.join(sorted(parts.experiment.outputs))}; got {output!r}."
        )
    state = run.to_evaluate(run.restore(config, parts, workdir, step))
    apply = jax.jit(parts.experiment.outputs[output])
    return lambda batch, key: apply(*state, batch, key)


def field(fitted, x, *, name: str):
    """A field of the fit as an output, such as the `parents` of a tree."""
    return getattr(fitted, name)


def _inputs(choice, who):
    """(batch, key) -> an array, or a tuple of arrays."""
    if "fn" in choice:
        return bind(choice, who)()
    parts = [bind(choice[name], f"{who}.{name}")() for name in sorted(choice)]
    return lambda batch, key: tuple(part(batch, key) for part in parts)


def _check_complete(estimator, num_arrays):
    try:
        inspect.signature(estimator).bind(*range(num_arrays))
    except TypeError as error:  # what bind raises: it calls nothing
        raise TypeError(f"config.estimator: {error}.") from None


def _rows(dataset, inputs, batch_size, max_rows, key):
    """The arrays of all rows, or of max_rows random ones, of the training split."""
    prepare, kept = jax.jit(dataset.prepare), []
    for n, batch in enumerate(batches(dataset, "train", batch_size, limit=max_rows)):
        prepared = {**prepare(batch), **dataset.fixed}
        own_key, where = jax.random.fold_in(key, n), np.asarray(batch["where"])
        arrays = tuple(of_batch(prepared, own_key) for of_batch in inputs)
        kept.append(jax.tree.map(lambda x, w=where: np.asarray(x)[w], arrays))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *kept)


def _output(function, inputs, modules):
    """(fitted, batch, key) -> arrays; not jitted, since some run on the host."""
    accepted = inspect.signature(function.func).parameters
    own = {name: module for name, module in modules.items() if name in accepted}
    return lambda fitted, batch, key: function(fitted, inputs(batch, key), **own)

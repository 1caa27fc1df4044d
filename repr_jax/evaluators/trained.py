"""From a trained state, or a fit, to what evaluators ask.

`parts` is what a config is bound to, `experiment.Parts`.
"""

from collections.abc import Callable, Mapping

import jax

from repr_jax import sharding
from repr_jax.evaluators.common import Trained


def outputs_of(parts) -> dict[str, Callable]:
    """{name: (params, extras, batch, key) -> arrays}, jitted, of unprepared batches."""
    fixed = jax.device_put(dict(parts.dataset.fixed), sharding.replicated(parts.mesh))

    def of(output):
        def apply(params, extras, batch, key, fixed):
            return output(
                params, extras, {**parts.dataset.prepare(batch), **fixed}, key
            )

        apply = jax.jit(apply, out_shardings=sharding.replicated(parts.mesh))
        return lambda params, extras, batch, key: apply(
            params, extras, batch, key, fixed
        )

    return {name: of(output) for name, output in parts.experiment.outputs.items()}


def of_state(parts, params, extras, workdir, outputs=None) -> Trained:
    """Parameters as evaluators see them.

    outputs: of `outputs_of(parts)`, if that was called already.
    """

    def asked(output):
        return lambda batch, key: output(params, extras, batch, key)

    outputs = outputs or outputs_of(parts)
    outputs = {name: asked(output) for name, output in outputs.items()}
    return _trained(parts, outputs, jax.jit(parts.dataset.prepare), workdir)


def of_fit(parts, found, workdir) -> Trained:
    """What was fitted, as evaluators see it."""
    prepare = jax.jit(parts.dataset.prepare)

    def asked(output):
        return lambda batch, key: output(
            found, {**prepare(batch), **parts.dataset.fixed}, key
        )

    outputs = {n: asked(output) for n, output in parts.experiment.outputs.items()}
    return _trained(parts, outputs, prepare, workdir)


def _trained(parts, outputs, prepare, workdir) -> Trained:
    """outputs: (batch, key) -> arrays by name, of batches that are placed."""

    def placed(output):
        def of_batch(batch, key=None):
            key = jax.random.key(0) if key is None else key
            return output(place(batch, parts.mesh), key)

        return of_batch

    return Trained(
        outputs={name: placed(output) for name, output in outputs.items()},
        prepare=prepare,
        modalities=parts.dataset.modalities,
        workdir=str(workdir),
    )


def place(batch: Mapping, mesh):
    """A whole batch, the same on every host, split over the mesh where it divides."""
    rows = jax.tree.leaves(batch)[0].shape[0]
    divides = rows % mesh.shape[sharding.AXIS] == 0
    where = sharding.batch_sharding(mesh) if divides else sharding.replicated(mesh)
    return jax.tree.map(lambda x: jax.device_put(x, where), dict(batch))

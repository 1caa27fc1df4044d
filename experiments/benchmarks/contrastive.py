"""Time and memory of a contrastive loss, all pairs at once, in blocks, round a ring.

python -m experiments.benchmarks.contrastive --batch=4096 --turns=5

Value and gradient of `info_nce` by both views, float32. All programs are compiled first
and then take turns, so that whatever else the machine does meets them alike; on a busy
one believe processor time and its ratios. "Whole" programs hold the batch on one
device, the others split it over devices that share the host's cores; temporaries are
those of one device. Then, in a process of its own, the large batch alone, all pairs of
which would not fit: what counts there is the peak resident memory.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from repr_jax import losses


def draw(batch, dim):
    """Two views of unit Gaussians, made on the device."""
    return jax.jit(lambda: jax.random.normal(jax.random.key(0), (2, batch, dim)))()


def whole(chunk_size):
    return jax.value_and_grad(
        partial(losses.info_nce, chunk_size=chunk_size), argnums=(0, 1)
    )


def split(chunk_size, ring, num_devices):
    """Gradients by the views need no mean: each row is on one device alone."""
    mesh = jax.make_mesh(
        (num_devices,),
        ("data",),
        axis_types=(jax.sharding.AxisType.Auto,),
        devices=jax.devices()[:num_devices],
    )
    options = dict(axis_name="data", chunk_size=chunk_size, ring=ring)
    loss = jax.shard_map(
        partial(losses.info_nce, **options),
        mesh=mesh,
        in_specs=P("data"),
        out_specs=P(),
    )
    return jax.value_and_grad(loss, argnums=(0, 1))


class Program:
    """One compiled way to the value and the gradient, with its times."""

    def __init__(self, name, function, views):
        self.name, self.views = name, views
        self.seconds, self.cpu_seconds = [], []
        self.run = jax.jit(function).lower(*views).compile()

    def take_turn(self):
        """Timed: seconds, and processor seconds of all threads."""
        began, cpu_began = time.perf_counter(), time.process_time()
        self.value, self.gradient = jax.block_until_ready(self.run(*self.views))
        self.seconds.append(time.perf_counter() - began)
        self.cpu_seconds.append(time.process_time() - cpu_began)


def row(program, dense):
    """Ratios are of processor time, errors relative to the value and largest entry."""
    temporary = program.run.memory_analysis().temp_size_in_bytes / 2**20
    error = max(
        float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))
        for a, b in zip(program.gradient, dense.gradient)
    )
    return (
        f"{program.name:28}{min(program.seconds):8.3f}"
        f"{statistics.median(program.seconds):10.3f}{min(program.cpu_seconds):8.3f}"
        f"{min(program.cpu_seconds) / min(dense.cpu_seconds):7.2f}{temporary:10.1f}"
        f"{abs(program.value / dense.value - 1):12.1e}{error:12.1e}"
    )


def compare(args):
    views = draw(args.batch, args.dim)
    functions = {"whole, all pairs at once": whole(None)}
    for size in args.chunks:
        functions[f"whole, blocks of {size}"] = whole(size)
    for count in args.devices:
        functions[f"{count} devices, gathered"] = split(None, False, count)
        functions[f"{count} devices, ring"] = split(None, True, count)
        size = args.chunks[-1]
        functions[f"{count} devices, ring of {size}"] = split(size, True, count)
    programs = [Program(name, function, views) for name, function in functions.items()]
    for _ in range(1 + args.turns):
        for program in programs:
            program.take_turn()
    for program in programs:  # the first turn warms up
        del program.seconds[0], program.cpu_seconds[0]
    head = f"{f'{args.batch} x {args.dim}':28}{'min s':>8}{'median s':>10}{'cpu s':>8}"
    print(head + f"{'ratio':>7}{'temp MiB':>10}{'value err':>12}{'grad err':>12}")
    for program in programs:
        print(row(program, programs[0]), flush=True)


def large(args):
    """Forward and backward of the large batch, in a process that does nothing else."""
    views = draw(args.large, args.dim)
    program = Program("large", whole(args.large_chunk), views)
    program.take_turn()
    temporary = program.run.memory_analysis().temp_size_in_bytes / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{args.large} x {args.dim}, blocks of {args.large_chunk}: value and gradient "
        f"in {program.seconds[0]:.1f} s, {program.cpu_seconds[0]:.1f} s of processor "
        f"time; "
        f"temporaries {temporary:.0f} MiB, peak resident memory of the process "
        f"{peak:.2f} GiB; loss {float(program.value):.4f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--turns", type=int, default=5, help="timed, of each program")
    parser.add_argument("--chunks", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--devices", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--large", type=int, default=65_536, help="rows; 0: none")
    parser.add_argument("--large_chunk", type=int, default=1024)
    parser.add_argument("--only_large", action="store_true", help="used by itself")
    args = parser.parse_args()
    if args.only_large:
        large(args)
        return
    jax.config.update("jax_num_cpu_devices", max(args.devices))
    device = jax.devices()[0]
    print(
        f"info_nce; jax {jax.__version__}, {device.platform} {device.device_kind}, "
        f"{platform.machine()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f} at the start",
        flush=True,
    )
    compare(args)
    if args.large:
        command = [sys.executable, "-m", "experiments.benchmarks.contrastive"]
        command += [f"--large={args.large}", f"--large_chunk={args.large_chunk}"]
        command += [f"--dim={args.dim}", "--only_large"]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()

"""The peer of `public_losses`: losses of torch packages, in a process of its own.

  PYTHON experiments/benchmarks/peers/losses.py FOLDER

FOLDER has jobs.json, a list of {"key", "peer", "hand"}: a class with its options, and
which function of `losses_hands` hands the arrays over; and arrays.npz, those of
"KEY/NAME". Adds peer.npz, "KEY/value" and "KEY/grad/NAME" of every array of floats, all
in float64; and peer.json, versions. Needs numpy, torch and the packages of the classes
alone.
"""

import importlib.metadata
import json
import pathlib
import sys

import losses_hands
import numpy as np
import torch

PACKAGES = ("torch", "lightly", "pytorch-metric-learning", "open_clip_torch", "numpy")


def evaluate(job, arrays):
    """Value and gradients of a job, by name."""
    given = {name: torch.from_numpy(x) for name, x in arrays.items()}
    floats = [x.requires_grad_() for x in given.values() if x.is_floating_point()]
    value = losses_hands.HANDS[job["hand"]](job["peer"], given).reshape(())
    grads = torch.autograd.grad(value, floats, allow_unused=True)
    names = [name for name, x in given.items() if x.is_floating_point()]
    found = {"value": value.detach().numpy()}
    for name, x, grad in zip(names, floats, grads):
        grad = torch.zeros_like(x) if grad is None else grad
        found[f"grad/{name}"] = grad.numpy()
    return found


def main(folder):
    folder = pathlib.Path(folder)
    jobs = json.loads((folder / "jobs.json").read_text())
    torch.set_default_dtype(torch.float64)  # of temperatures that classes hold, too
    found, arrays = {}, {}
    for key, x in np.load(folder / "arrays.npz").items():
        number, _, name = key.partition("/")
        arrays.setdefault(number, {})[name] = x
    for job in jobs:
        results = evaluate(job, arrays[job["key"]])
        found |= {f"{job['key']}/{name}": x for name, x in results.items()}
    np.savez(folder / "peer.npz", **found)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    (folder / "peer.json").write_text(json.dumps(versions))


if __name__ == "__main__":
    main(sys.argv[1])

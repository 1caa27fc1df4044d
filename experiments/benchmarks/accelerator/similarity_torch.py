"""NT-Xent as one writes it in torch, all pairs at once, eager and compiled."""

from functools import partial

from experiments.benchmarks.accelerator import measure
from experiments.benchmarks.accelerator.measure import Figures
from experiments.benchmarks.accelerator.similarity import TEMPERATURE


def nt_xent(view_a, view_b, temperature=TEMPERATURE):
    """As lightly's NTXentLoss computes it: cosines, without the diagonal."""
    import torch

    both = torch.nn.functional.normalize(torch.cat([view_a, view_b]), dim=1)
    logits = both @ both.T / temperature
    count = len(both)
    own = torch.eye(count, dtype=torch.bool, device=both.device)
    logits = logits.masked_fill(own, float("-inf"))
    partners = torch.arange(count, device=both.device).roll(count // 2)
    return torch.nn.functional.cross_entropy(logits, partners)


def figures(smoke: bool) -> Figures:
    """In full float32, as torch does unless told; and with TF32 allowed."""
    count = 32 if smoke else 8_192
    for compiled in (False,) if smoke else (False, True):
        for dim in (8,) if smoke else (512, 128, 2_048):
            form = "compiled" if compiled else "eager"
            name = f"{count:,} x {dim:,}, torch {form}"
            yield name, partial(one, count, dim, compiled, False, smoke)
    yield f"{count:,} x {dim:,}, TF32", partial(one, count, dim, False, True, smoke)


def one(count, dim, compiled, tf32, smoke) -> dict:
    """Operations as in `similarity.one`."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = tf32
    views = torch.randn(2, count // 2, dim, device=device(), generator=generator())
    views = [view.requires_grad_() for view in views]
    loss = torch.compile(nt_xent) if compiled else nt_xent

    def call():
        value = loss(*views)
        return value, torch.autograd.grad(value, views)

    forget_peak()
    found = measure.milliseconds(call, smoke, wait)
    return {
        **found,
        "arithmetic": "TF32" if tf32 else "float32",
        "TFLOP": 3 * 2 * count**2 * dim / 1e12,
        **peak(),
        "loss": call()[0].item(),
    }


def device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def generator():
    import torch

    return torch.Generator(device()).manual_seed(0)


def wait(_=None) -> None:
    """For all that was asked of the card."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def forget_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak() -> dict:
    """The most memory that tensors held since `forget_peak`."""
    import torch

    if not torch.cuda.is_available():
        return {}
    return {"MiB": torch.cuda.max_memory_allocated() / 2**20}

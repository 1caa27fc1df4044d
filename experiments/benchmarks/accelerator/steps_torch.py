"""The same training steps in torch, eager and compiled."""

from functools import partial

from experiments.benchmarks.accelerator import measure, similarity_torch
from experiments.benchmarks.accelerator.measure import Figures

RATE = 0.1


def simclr(smoke: bool) -> Figures:
    """ResNet-50 of torchvision, channels last, bfloat16 by autocast, fused SGD."""
    batch, size = (4, 32) if smoke else (256, 224)
    for compiled in (False,) if smoke else (False, True):
        form = "compiled" if compiled else "eager"
        yield f"torch, {form}", partial(one, batch, size, compiled, smoke)


def one(batch: int, size: int, compiled: bool, smoke: bool) -> dict:
    """Each view is encoded by a call of its own, as in `experiments.two_view`."""
    import torch
    import torchvision

    device = similarity_torch.device()
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    network = torchvision.models.resnet50(weights=None)
    network.fc = torch.nn.Sequential(
        torch.nn.Linear(2048, 2048),
        torch.nn.BatchNorm1d(2048),
        torch.nn.ReLU(),
        torch.nn.Linear(2048, 128),
    )
    network = network.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), RATE, momentum=0.9, fused=True)
    images = torch.rand(batch, 3, size, size, device=device)
    images = images.to(memory_format=torch.channels_last)
    encode = torch.compile(network) if compiled else network

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16):
            views = images, images.flip(3)
            a, b = (encode(view) for view in views)
        loss = similarity_torch.nt_xent(a.float(), b.float(), 0.5)
        loss.backward()
        optimizer.step()
        return loss

    similarity_torch.forget_peak()
    found = measure.milliseconds(step, smoke, similarity_torch.wait)
    return {
        **found,
        "examples a second": 1e3 * batch / found["ms"],
        "arithmetic": "bfloat16",
        **similarity_torch.peak(),
        "loss": step().item(),
    }

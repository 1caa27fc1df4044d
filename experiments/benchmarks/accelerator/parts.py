"""The parts of the benchmark, by name, the most valuable first."""

from experiments.benchmarks.accelerator import (
    ceilings,
    precision,
    renderer,
    similarity,
    similarity_torch,
    steps,
    steps_torch,
    tests,
    tree,
)
from experiments.benchmarks.accelerator.measure import Part

PARTS = {
    "ceilings": Part(
        "Ceilings",
        ceilings.figures,
        40,
        text="Products n x n x n of random matrices; a copy counts bytes read and "
        "written.",
    ),
    "precision": Part(
        "Float32 stays float32",
        precision.figures,
        70,
        text="Errors against float64 on the host, relative to the largest entry, of "
        "what the project computes; and of the same with products that the device may "
        "round to TF32.",
        timed=False,
    ),
    "tests": Part(
        "Tests of losses on the device",
        tests.figures,
        70,
        ("pytest",),
        text="With the tolerances that they have on a CPU; tests of several devices "
        "are left out.",
        timed=False,
    ),
    "nt_xent": Part(
        "NT-Xent, value and gradient, float32",
        similarity.figures,
        60,
        text="Two views of half as many rows. Operations by formula: three products of "
        "all pairs; blocks compute one of them twice.",
    ),
    "nt_xent_torch": Part(
        "NT-Xent in torch",
        similarity_torch.figures,
        30,
        ("torch",),
        text="The loss in plain torch, as lightly has it.",
    ),
    "mopoe": Part(
        "MoPoE on PolyMNIST",
        steps.mopoe,
        75,
        text="Training steps of configs/multimodal/mopoe_polymnist.py, batch 256 if "
        "nothing is said: composing the pictures, five encoders and decoders, Adam. "
        "One batch stays on the device; ms are of a step.",
    ),
    "simclr": Part(
        "SimCLR, ResNet-50, 224 x 224, batch 256, bfloat16",
        steps.simclr,
        90,
        text="Training steps of random images; ours views them on the device.",
    ),
    "simclr_torch": Part(
        "The same step in torch",
        steps_torch.simclr,
        50,
        ("torch", "torchvision"),
        text="Channels last, autocast to bfloat16, flipped images.",
    ),
    "mae": Part(
        "MAE, ViT-S/16, 224 x 224, batch 512, bfloat16",
        steps.mae,
        60,
        text="Training steps of random images, three quarters of the patches hidden, "
        "with the published decoder of 8 blocks of 512 features.",
    ),
    "hierarchy": Part(
        "A tree of logits",
        tree.figures,
        40,
        text="float16 logits in the memory of the host; seconds of a whole call, with "
        "the transfer.",
    ),
    "renderer": Part(
        "Pictures drawn on the device",
        renderer.figures,
        30,
        text="A batch drawn by the host is made into pictures, float32.",
    ),
}

"""What the environment of the peers has, beside what these need; imports nothing."""

PACKAGES = (
    "torch",
    "torchvision",
    "lightly",
    "multivae",
    "open_clip_torch",
    "scikit-learn",
    "scipy",
    "faiss-cpu",
    "albumentations",
    "pillow",
    "numpy",
)

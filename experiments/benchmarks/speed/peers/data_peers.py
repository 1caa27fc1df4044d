"""Pictures read from files by Pillow, and views by torchvision and albumentations."""

import pathlib
import tempfile
from functools import partial

import albumentations
import cv2
import data_sizes as sizes
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode, v2

NUM_WORKERS = 2


class Files(Dataset):
    """Examples of one or more pictures each, in a folder that it writes."""

    def __init__(self, epoch):
        self.epoch, self.length = epoch, epoch.batch * epoch.batches
        self.kept = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.kept.name)
        rng, side = np.random.default_rng(0), epoch.stored or epoch.size
        for name in self.names(range(self.length)):
            coarse = rng.integers(256, size=(7, 7, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((side, side), Image.BILINEAR)
            picture.save(self.folder / name)

    def names(self, rows):
        return [f"{row}_{view}.png" for row in rows for view in range(self.epoch.views)]

    def __len__(self):
        return self.length

    def __getitem__(self, row):
        size, views = (self.epoch.size, self.epoch.size), []
        for name in self.names([row]):
            with Image.open(self.folder / name) as picture:
                if picture.size != size:
                    picture = picture.resize(size, Image.BILINEAR)
                views.append(np.asarray(picture))
        return torch.from_numpy(np.stack(views))


class Views(Dataset):
    """Images in memory and a change of each, image -> image."""

    def __init__(self, change, epoch):
        self.change, self.length = change, epoch.batch * epoch.batches
        side = epoch.stored or epoch.size
        shape = (epoch.batch, side, side, 3)
        self.images = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)

    def __len__(self):
        return self.length

    def __getitem__(self, row):
        return self.change(self.images[row % len(self.images)])


def loaded(make, epoch):
    """By workers, which stay."""
    loader = DataLoader(
        make(epoch),
        batch_size=epoch.batch,
        shuffle=True,
        num_workers=NUM_WORKERS,
        persistent_workers=True,
    )
    return lambda: [batch / 255 for batch in loader]


def looped(make, epoch):
    """By this process alone."""
    loader = DataLoader(make(epoch), batch_size=epoch.batch, shuffle=True)
    return lambda: [batch / 255 for batch in loader]


def torchvision_view(size):
    crop = dict(scale=(0.08, 1.0), interpolation=InterpolationMode.BICUBIC)
    change = v2.Compose(
        [
            v2.RandomResizedCrop(size, **crop),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(odd(size), (0.1, 2.0))], 0.5),
        ]
    )
    return lambda image: change(torch.from_numpy(image).permute(2, 0, 1))


def albumentations_view(size):
    crop = dict(scale=(0.08, 1.0), interpolation=cv2.INTER_CUBIC)
    change = albumentations.Compose(
        [
            albumentations.RandomResizedCrop((size, size), **crop),
            albumentations.HorizontalFlip(),
            albumentations.ColorJitter(
                (0.2, 1.8), (0.2, 1.8), (0.2, 1.8), (-0.2, 0.2), p=0.8
            ),
            albumentations.ToGray(p=0.2),
            albumentations.GaussianBlur((odd(size),) * 2, (0.1, 2.0), p=0.5),
        ]
    )
    return lambda image: change(image=image)["image"]


def odd(size):
    """Pixels of the kernel of a blur: a tenth of the side, as SimCLR's."""
    return max(3, size // 10 // 2 * 2 + 1)


def views(make, epoch):
    return Views(make(epoch.size), epoch)


def problems(smoke):
    read = {"Pillow": partial(looped, Files), "2 workers": partial(loaded, Files)}
    changed = {
        "torchvision": partial(loaded, partial(views, torchvision_view)),
        "albumentations": partial(loaded, partial(views, albumentations_view)),
    }
    return {
        name: {peer: partial(make, epoch) for peer, make in programs.items()}
        for programs, of in ((read, sizes.READ), (changed, sizes.AUGMENTED))
        for name, epoch in sizes.epochs(smoke, of).items()
    }

"""Training stages that checkpoint after every epoch and resume: the classifier and both autoencoders, then latents.

Each stage leaves `<name>.pt` in the run's folder; a stage whose file is there is not run again. The unfinished one is
in `<name>-unfinished.pt`, written whole after every epoch.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.images.networks import SIDE, Autoencoder, Classifier, Setting
from brenier.atomic import write_with
from brenier.datasets import image_set

SOURCE, TARGET = "fashion_mnist", "mnist"
BETAS = {SOURCE: 1.0, TARGET: 0.1}  # weight of the KL term
EVALUATED = 1000  # images at once where nothing is trained


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images (n, 1, 32, 32) in [0, 1] and labels (n,), to train on and to test with."""

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    @classmethod
    def read(cls, name: str, most: int | None = None) -> ImageSet:
        """Return a set from the folder that BRENIER_DATA names, padded to 32 x 32; the first of each part."""
        found = image_set(name)
        parts = []
        for part in ("train", "test"):
            images = (
                torch.from_numpy(found[f"x_{part}"][:most])
                .float()
                .div(255)
                .unsqueeze(1)
            )
            pad = (SIDE - images.shape[-1]) // 2
            images = functional.pad(images, (pad,) * 4)
            parts.append((images, torch.from_numpy(found[f"y_{part}"][:most]).long()))
        return cls(*parts)


@dataclasses.dataclass
class Stage:
    """A network in training.

    Attributes:
        network: what is trained.
        epochs: how many.
        loss: (images, labels, epoch) -> a scalar.
        optimizer, scheduler: the latter is told the epoch's mean loss if it watches a plateau.
        augment: how a batch of images is changed, or None.
    """

    network: nn.Module
    epochs: int
    loss: Callable[[Tensor, Tensor, int], Tensor]
    optimizer: torch.optim.Optimizer
    scheduler: Any
    augment: Callable[[Tensor], Tensor] | None = None


def train(
    stage: Stage,
    name: str,
    data: tuple[Tensor, Tensor],
    batch: int,
    folder: Path,
    device: str,
) -> None:
    """Train to the end, from where an earlier run was; nothing happens where it had ended."""
    done, unfinished = folder / f"{name}.pt", folder / f"{name}-unfinished.pt"
    if done.exists():
        stage.network.load_state_dict(
            torch.load(done, weights_only=True, map_location=device)
        )
        return
    first = 0
    if unfinished.exists():
        state = torch.load(unfinished, weights_only=True, map_location=device)
        stage.network.load_state_dict(state["network"])
        stage.optimizer.load_state_dict(state["optimizer"])
        stage.scheduler.load_state_dict(state["scheduler"])
        first = state["epoch"]
    images, labels = data
    for epoch in range(first, stage.epochs):
        # Of an epoch of its own, so that a resumed run is the same as one never stopped.
        torch.manual_seed(1000 + epoch)
        began, total = time.perf_counter(), 0.0
        stage.network.train()
        for index in torch.randperm(len(images)).split(batch):
            x, y = images[index].to(device), labels[index].to(device)
            value = stage.loss(
                x if stage.augment is None else stage.augment(x), y, epoch
            )
            stage.optimizer.zero_grad()
            value.backward()
            stage.optimizer.step()
            total += float(value.detach()) * len(index)
        watches = isinstance(
            stage.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau
        )
        stage.scheduler.step(*([total / len(images)] if watches else []))
        state = {
            "network": stage.network.state_dict(),
            "optimizer": stage.optimizer.state_dict(),
            "scheduler": stage.scheduler.state_dict(),
            "epoch": epoch + 1,
        }
        write_with(unfinished, partial(torch.save, state))
        seconds = time.perf_counter() - began
        print(
            f"{name}: epoch {epoch + 1} of {stage.epochs}, loss {total / len(images):.4g}, {seconds:.0f} s",
            flush=True,
        )
    write_with(done, lambda path: torch.save(stage.network.state_dict(), path))
    unfinished.unlink(missing_ok=True)


def classifier(
    data: ImageSet, setting: Setting, folder: Path, device: str
) -> Classifier:
    """Return the classifier, trained on shifted real digits."""
    torch.manual_seed(0)
    network = Classifier().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, setting.classifier_epochs
    )

    def loss(x: Tensor, y: Tensor, epoch: int) -> Tensor:
        return functional.cross_entropy(network(x), y, label_smoothing=0.05)

    stage = Stage(
        network, setting.classifier_epochs, loss, optimizer, scheduler, _shifted
    )
    train(stage, "classifier", data.train, 128, folder, device)
    return network.eval()


def autoencoder(
    name: str, data: ImageSet, setting: Setting, folder: Path, device: str
) -> Autoencoder:
    """Return the autoencoder of one set of images, trained."""
    torch.manual_seed(0)
    network = Autoencoder(setting.channels, setting.blocks).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=setting.rate)
    scheduler: Any = (
        torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        if setting.plateau
        else torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, setting.epochs)
    )
    warm = setting.warm if name == SOURCE else 0

    def loss(x: Tensor, y: Tensor, epoch: int) -> Tensor:
        beta = BETAS[name] * (min(1.0, (epoch + 1) / warm) if warm else 1.0)
        return network.loss(x, y, beta)

    stage = Stage(network, setting.epochs, loss, optimizer, scheduler)
    train(stage, f"autoencoder-{name}", data.train, setting.batch, folder, device)
    return network.eval()


@torch.no_grad()
def in_parts(
    function: Callable[..., Tensor], *tensors: Tensor, device: str = "cpu"
) -> Tensor:
    """Apply a function to rows, some at a time; what it returns is on the CPU."""
    pieces = zip(*(each.split(EVALUATED) for each in tensors), strict=True)
    return torch.cat(
        [function(*(each.to(device) for each in piece)).cpu() for piece in pieces]
    )


def latents(network: Autoencoder, part: tuple[Tensor, Tensor], device: str) -> Tensor:
    """Return the encoder's means of images: (n, 15), float64, on the CPU."""
    return in_parts(lambda x, y: network.encode(x, y)[0].double(), *part, device=device)


def _shifted(images: Tensor) -> Tensor:
    """Return images moved by up to two pixels, all of a batch alike."""
    down, right = torch.randint(-2, 3, (2,)).tolist()
    return images.roll((down, right), (-2, -1))

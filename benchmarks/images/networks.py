"""The networks around the transport: conditional variational autoencoders, and the classifier that judges.

An encoder maps an image of 32 x 32 and its label to the mean and log-variance of a latent, a decoder a latent and a
label to an image ("Fixed-Point Neural Optimal Transport...", Park et al., 2026, appendix B.4). The published one has
channels 64, 128, 256, 512 and three residual blocks per level; the quick one is narrower, and has none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

LATENT, CLASSES, SIDE = 15, 10, 32


@dataclasses.dataclass(frozen=True)
class Setting:
    """How the networks are made and trained.

    Attributes:
        channels: of the encoder's levels; the decoder's in reverse.
        blocks: residual blocks per level of the decoder.
        epochs: of an autoencoder.
        rate: its learning rate, divided where the loss stops falling ("plateau"), or falling along a cosine.
        plateau: which of the two.
        batch: images of a batch.
        warm: epochs over which the weight of the KL term rises, for the source.
        classifier_epochs: of the classifier.
        transport: keyword arguments of `OptimalTransport`.
        preset_steps: steps of the published transport, at most.
        preset_seconds: seconds of it, at most.
        rival_seconds: seconds of every rival that is trained.
        pixel_epochs: epochs of the classifier of the pixel version.
    """

    channels: tuple[int, ...]
    blocks: int
    epochs: int
    rate: float
    plateau: bool
    batch: int
    warm: int
    classifier_epochs: int
    transport: dict[str, object]
    preset_steps: int
    preset_seconds: float
    rival_seconds: float
    pixel_epochs: int


SETTINGS = {
    "quick": Setting(
        (16, 32, 64, 128),
        0,
        12,
        2e-3,
        False,
        128,
        3,
        8,
        {},
        18_750,
        300.0,
        rival_seconds=60.0,
        pixel_epochs=3,
    ),
    "paper": Setting(
        (64, 128, 256, 512),
        3,
        1000,
        1e-3,
        True,
        128,
        20,
        20,
        {"max_steps": 10_000},
        18_750,
        float("inf"),
        rival_seconds=600.0,
        pixel_epochs=20,
    ),
}


class Autoencoder(nn.Module):
    """A conditional variational autoencoder of images (n, 1, 32, 32)."""

    def __init__(self, channels: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.top = SIDE // 2 ** len(channels)
        pairs = list(zip((1, *channels), channels, strict=False))
        layers: list[nn.Module] = []
        for inward, outward in pairs:
            layers += [
                nn.Conv2d(inward, outward, 4, 2, 1),
                nn.BatchNorm2d(outward),
                nn.LeakyReLU(0.2),
            ]
        self.encoder = nn.Sequential(*layers, nn.Flatten())
        size = channels[-1] * self.top**2
        self.moments = nn.Linear(size + CLASSES, 2 * LATENT)
        self.opening = nn.Linear(LATENT + CLASSES, size)
        layers = []
        for inward, outward in reversed([(b, a) for a, b in pairs[1:]]):
            layers += [
                nn.ConvTranspose2d(inward, outward, 4, 2, 1),
                nn.GroupNorm(16, outward),
                nn.ReLU(),
            ]
            layers += [Block(outward) for _ in range(blocks)]
        self.decoder = nn.Sequential(
            *layers, nn.ConvTranspose2d(channels[0], 1, 4, 2, 1)
        )
        self.deepest = channels[-1]

    def encode(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the latents: (n, 15) each."""
        features = torch.cat(
            [self.encoder(images), functional.one_hot(labels, CLASSES).to(images)], -1
        )
        mean, logarithm = self.moments(features).chunk(2, -1)
        return mean, logarithm.clamp(-10, 10)

    def logits(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return the logits of the pixels: (n, 1, 32, 32)."""
        joined = torch.cat(
            [latents, functional.one_hot(labels, CLASSES).to(latents)], -1
        )
        image: Tensor = self.decoder(
            self.opening(joined).view(-1, self.deepest, self.top, self.top)
        )
        return image

    def decode(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images: (n, 1, 32, 32)."""
        return self.logits(latents, labels).sigmoid()

    def loss(self, images: Tensor, labels: Tensor, beta: float) -> Tensor:
        """Return binary cross-entropy plus beta times the KL divergence, per image."""
        mean, logarithm = self.encode(images, labels)
        latents = mean + torch.randn_like(mean) * (0.5 * logarithm).exp()
        entropy = functional.binary_cross_entropy_with_logits(
            self.logits(latents, labels), images, reduction="sum"
        )
        divergence = -0.5 * (1 + logarithm - mean.square() - logarithm.exp()).sum()
        return (entropy + beta * divergence) / len(images)


class Block(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(16, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(16, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.body(x))


class Classifier(nn.Module):
    """What tells digits apart; its last hidden features measure how far images are from real ones."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inward, outward, stride in (
            (1, 24, 2),
            (24, 48, 1),
            (48, 48, 2),
            (48, 96, 1),
            (96, 96, 2),
        ):
            layers += [
                nn.Conv2d(inward, outward, 3, stride, 1),
                nn.BatchNorm2d(outward),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(96 * 16, 128), nn.ReLU()
        )
        self.head = nn.Linear(128, CLASSES)

    def features(self, images: Tensor) -> Tensor:
        """Return the last hidden features: (n, 128)."""
        found: Tensor = self.body(images)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the classes: (n, 10)."""
        found: Tensor = self.head(self.features(images))
        return found

"""What moved latents are worth: as images, and as latents.

accuracy    of the classifier on the decoded images, in percent
FID         |m0 - m1|^2 + tr(S0 + S1 - 2 (S0^{1/2} S1 S0^{1/2})^{1/2}) between features of decoded and real test
            images ("GANs Trained by a Two Time-Scale Update Rule...", Heusel et al., 2017); features are of the
            classifier's last hidden layer, or of Inception where its weights are at hand
latents     per class, against the target's test latents: Sinkhorn divergence, MMD; their mean over classes
cost        mean |T(x) - x|^2 over classes; and for a map of this library its own dual value, from below
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.images.methods import Labelled, Moved
from benchmarks.images.networks import CLASSES, Autoencoder, Classifier
from benchmarks.images.stages import in_parts
from benchmarks.plans import mean_costs, plan_costs
from brenier.metrics import bures_w2, mmd, sinkhorn_divergence
from brenier.transport.maps.round_trip import inverse_errors

Features = Callable[[Tensor], Tensor]


def frechet(x: Tensor, y: Tensor) -> float:
    """Return the squared Fréchet distance between the Gaussian fits of features (n, f) and (m, f)."""
    fits = [(side.mean(0), torch.cov(side.mT)) for side in (x.double(), y.double())]
    return bures_w2(*fits[0], *fits[1]) ** 2


@functools.cache
def inception() -> Features | None:
    """Return Inception's 2048 features of images (n, 1, 32, 32), or None without torch-fidelity and its weights."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (
            FeatureExtractorInceptionV3,
        )

        network = FeatureExtractorInceptionV3("inception", ["2048"])
    except Exception as error:  # missing package, or weights that cannot be had offline
        warnings.warn(
            f"FID with Inception is left out ({type(error).__name__}): pip install torch-fidelity, and let it fetch "
            "its weights once",
            stacklevel=2,
        )
        return None

    def features(images: Tensor) -> Tensor:
        coloured = (images * 255).round().byte().expand(-1, 3, -1, -1)
        found: Tensor = network(coloured)[0]
        return found

    return features


def judge_images(
    moved: Moved,
    labels: Tensor,
    decoder: Autoencoder,
    classifier: Classifier,
    real: Tensor,
    device: str,
) -> dict[str, float]:
    """Return accuracy and FID of decoded latents; `real` are the target's test images."""
    images = in_parts(
        lambda z, y: decoder.decode(z.float(), y), moved.latents, labels, device=device
    )
    right = in_parts(classifier, images, device=device).argmax(1) == labels
    features = [
        in_parts(classifier.features, side, device=device) for side in (images, real)
    ]
    numbers = {
        "accuracy": 100 * float(right.double().mean()),
        "fid": frechet(*features),
    }
    extractor = inception()
    if extractor is not None:
        numbers["fid_inception"] = frechet(
            in_parts(extractor, images), in_parts(extractor, real)
        )
    return numbers


def squared_distance(test: Labelled, target: Labelled, seed: int) -> dict[str, float]:
    """Return means over classes of what exact plans between latents cost, and of what that tells (see `plans`)."""
    generator = torch.Generator().manual_seed(seed)
    found = mean_costs(
        [
            plan_costs(test[0][test[1] == k], target[0][target[1] == k], generator)
            for k in range(CLASSES)
        ]
    )
    return found._asdict() | {"corrected": found.corrected}


def judge_latents(moved: Moved, test: Labelled, target: Labelled) -> dict[str, Any]:
    """Return how far moved latents are from the target's test latents class by class, and what the way cost."""
    divergences, discrepancies, costs, duals = [], [], [], []
    for k in range(CLASSES):
        mine, x, z = (
            moved.latents[test[1] == k],
            test[0][test[1] == k],
            target[0][target[1] == k],
        )
        reg = 0.01 * float(torch.cdist(z, z).square().mean())
        divergences.append(sinkhorn_divergence(mine, z, reg, max_steps=2000, tol=1e-4))
        discrepancies.append(mmd(mine, z, _widths(z)))
        costs.append(float((mine - x).square().sum(-1).mean()))
        if moved.transport is not None:
            duals.append(moved.transport.distance(k, x, z).w2 ** 2)
    numbers: dict[str, Any] = {
        "sinkhorn": sum(divergences) / CLASSES,
        "sinkhorn_worst": max(divergences),
        "mmd": sum(discrepancies) / CLASSES,
        "cost": sum(costs) / CLASSES,
    }
    if moved.transport is not None:
        numbers["dual_cost"] = sum(duals) / CLASSES
        errors, solution = inverse_errors(moved.transport, *test)
        numbers |= {
            "round_trip": float(errors.median()),
            "unconverged": solution.unconverged,
        }
    return numbers


def contact_sheet(path: Path, rows: list[Tensor], height: int) -> None:
    """Write columns of images, each column of `rows` some images (k, 1, 32, 32), as one PNG."""
    from PIL import Image

    cells = torch.stack(rows, 1).squeeze(2)  # (k, columns, 32, 32)
    sheet = cells.permute(0, 2, 1, 3).reshape(len(cells) * height, -1)
    picture = Image.fromarray((255 * sheet.clamp(0, 1)).round().byte().numpy())
    picture.resize(
        (2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST
    ).save(path)


def _widths(z: Tensor) -> tuple[float, ...]:
    """Return bandwidths by the target alone, so that all methods are measured alike."""
    median = float(torch.pdist(z[:1000]).square().median())
    return tuple(factor * median for factor in (0.25, 0.5, 1.0, 2.0, 4.0))

"""Settings of FFJORD and RNODE, and those published for the five sets of physics data and image patches.

The layers are those that give the published numbers of parameters. Training by plateaus (the rate divided by ten after
ten evaluations without a better one, and by a hundred after twenty) is replaced by the half cosine to a hundredth that
all baselines share; an end after thirty such evaluations is kept. The numbers of steps are those of the tables of
"OT-Flow" (Onken et al., 2021), which ran both again; of RNODE no settings for tabular data are public, and its steps
per stage follow from the evaluations in these tables.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

from brenier.baselines.concat_squash import SQUASHES
from brenier.baselines.density_model import Passage
from brenier.baselines.likelihood_task import LikelihoodSettings
from brenier.baselines.normalising_flow import PublishedSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContinuousFlowSettings(LikelihoodSettings):
    """How FFJORD and RNODE are trained.

    Attributes:
        blocks: equations, one after the other.
        hidden_layers: of the velocity of each.
        width: units of a hidden layer, where `width_per_feature` is 0.
        width_per_feature: units of a hidden layer for every feature.
        activation: "tanh" or "softplus".
        learn_time: whether each block learns how long it lasts.
        start_at_rest: whether the velocity is zero at the start.
        exact_up_to: features up to which training computes divergences exactly; beyond, it estimates them by one normal
            vector per row, the same along the way.
        kinetic_weight: of the integral of half the mean squared velocity of a coordinate (RNODE).
        jacobian_weight: of the integral of the squared Frobenius norm of the Jacobian over d (RNODE).
    """

    blocks: int = 1
    hidden_layers: int = 2
    width: int = 64
    width_per_feature: int = 0
    activation: str = "tanh"
    learn_time: bool = False
    start_at_rest: bool = False
    exact_up_to: int = 8
    kinetic_weight: float = 0.0
    jacobian_weight: float = 0.0

    def check(self) -> None:
        """Raise a DataError for the first field that no fit would take."""
        super().check()
        for name in ("blocks", "hidden_layers", "width"):
            self.require(name, getattr(self, name) >= 1, "must be 1 or more")
        known = tuple(SQUASHES)
        self.require("activation", self.activation in known, f"must be one of {known}")

    def hidden(self, dim: int) -> list[int]:
        """Return the units of the hidden layers for d features."""
        return [self.width_per_feature * dim or self.width] * self.hidden_layers

    def estimates(self, dim: int) -> bool:
        """Say whether training estimates divergences by random vectors."""
        return dim > self.exact_up_to

    def has_costs(self) -> bool:
        """Say whether the way costs something."""
        return self.kinetic_weight > 0 or self.jacobian_weight > 0

    def objective(self, passage: Passage) -> Tensor:
        """Return minus the mean log density and what the way costs: a scalar."""
        value = passage.nll().mean()
        if not self.has_costs():
            return value
        kinetic, jacobian = passage.costs.mean(0)
        return value + self.kinetic_weight * kinetic + self.jacobian_weight * jacobian


def _ffjord(
    *, layers: int, per_feature: int, batch: int, steps: int, blocks: int, squash: str
) -> ContinuousFlowSettings:
    """Return what the public scripts of FFJORD have in common for tabular data."""
    return ContinuousFlowSettings(
        blocks=blocks,
        hidden_layers=layers,
        width_per_feature=per_feature,
        activation=squash,
        batch_size=batch,
        max_steps=steps,
        learning_rate=1e-3,
        final_rate=0.01,
        patience=30,
        evaluate_every=200,
        learn_time=True,
        exact_up_to=0,
        rtol=1e-6,
        map_rtol=1e-6,
    )


def _rnode(
    like: PublishedSet, steps: int, max_steps: int, warm_up: float
) -> PublishedSet:
    """Return RNODE's settings for a set: FFJORD's layers, equal steps, and costs of the way."""
    if not isinstance(like.settings, ContinuousFlowSettings):
        raise TypeError("settings of another method")
    settings = dataclasses.replace(
        like.settings,
        learn_time=False,
        start_at_rest=True,
        kinetic_weight=0.01,
        jacobian_weight=0.01,
        steps=steps,
        rtol=None,
        map_rtol=1e-5,
        map_atol=1e-5,
        max_steps=max_steps,
        warm_up=warm_up,
    )
    return PublishedSet(like.dim, settings)


FFJORD_SETS = {
    "power": PublishedSet(
        6,
        _ffjord(
            blocks=5,
            layers=3,
            per_feature=10,
            squash="tanh",
            batch=10_000,
            steps=29_000,
        ),
    ),
    "gas": PublishedSet(
        8,
        _ffjord(
            blocks=5, layers=3, per_feature=20, squash="tanh", batch=1000, steps=49_000
        ),
    ),
    "hepmass": PublishedSet(
        21,
        _ffjord(
            blocks=10,
            layers=2,
            per_feature=10,
            squash="softplus",
            batch=10_000,
            steps=47_000,
        ),
    ),
    "miniboone": PublishedSet(
        43,
        _ffjord(
            blocks=1,
            layers=2,
            per_feature=20,
            squash="softplus",
            batch=1000,
            steps=16_000,
        ),
    ),
    "bsds300": PublishedSet(
        63,
        _ffjord(
            blocks=2,
            layers=3,
            per_feature=20,
            squash="softplus",
            batch=10_000,
            steps=18_000,
        ),
    ),
}

# A thousand steps of warm-up, as a share of each.
RNODE_SETS = {
    "power": _rnode(FFJORD_SETS["power"], 10, 32_000, 1 / 32),
    "gas": _rnode(FFJORD_SETS["gas"], 10, 59_000, 1 / 59),
    "hepmass": _rnode(FFJORD_SETS["hepmass"], 10, 40_000, 1 / 40),
    "miniboone": _rnode(FFJORD_SETS["miniboone"], 4, 15_000, 1 / 15),
    "bsds300": _rnode(FFJORD_SETS["bsds300"], 25, 16_000, 1 / 16),
}

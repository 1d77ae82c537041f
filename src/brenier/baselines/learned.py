"""What estimators of saved models share: files, and for those that are trained by steps, the fit."""

from __future__ import annotations

import dataclasses
import json
import numbers
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from brenier.baselines.base import Baseline
from brenier.baselines.fitting import (
    FitOptions,
    FittedModel,
    Recipe,
    fit_learned,
    framed_sides,
)
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.model import MapFrame, MapModel, ModelMap
from brenier.baselines.pair_task import PairSides, PairTask
from brenier.baselines.saved import SavedBaseline, load_baseline, save_baseline
from brenier.datasets import Population, Rows, Sampler, TableLike
from brenier.errors import DataError
from brenier.estimators import (
    GivenConditions,
    PopulationPair,
    RandomState,
    fit_both,
    follows,
    validation,
)
from brenier.potentials import UsualType, usual_modes
from brenier.training import Clock, Progress

SettingsKind = TypeVar("SettingsKind", bound=LearnedSettings)
Own = TypeVar("Own", bound="SavedModelBaseline")


class SavedModelBaseline(Baseline):
    """A baseline whose map is a `MapModel` in a frame, so that it is saved and loaded by that.

    Attributes:
        map_: the fitted map.
        labels_: the classes of `fit`, or None.
        history_: the training record, one dictionary per evaluation; empty where nothing is trained.
        diagnostics_: what is known of the fit.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    map_: ModelMap
    model_class: ClassVar[type[MapModel]]

    @classmethod
    def load(
        cls: type[Own], folder: str | Path, device: torch.device | str = "cpu"
    ) -> Own:
        """Return the estimator saved in a folder.

        Raises:
            DataError: where the folder is no path, or the device cannot be used.
            ModelFileError: where a file is missing, damaged, altered, or made by a newer version or another class.
        """
        place = validation.check_device(device)
        saved = load_baseline(folder, cls.__name__, cls.model_class, place)
        made = cls().set_params(**cls._parameters_read(saved.parameters))
        made.map_, made.labels_ = saved.fitted, saved.labels
        made.history_, made.diagnostics_ = saved.history, saved.diagnostics
        made.n_features_in_ = saved.fitted.dim
        if saved.features is not None:
            made.feature_names_in_ = np.asarray(saved.features, dtype=object)
        return made

    @classmethod
    def _parameters_read(cls, told: dict[str, object]) -> dict[str, object]:
        """Return parameters as the constructor takes them, of what a file tells."""
        return told

    def _parameters_told(self) -> dict[str, Any]:
        """Return the parameters as JSON holds them."""
        found = {}
        for name, value in self.get_params(deep=False).items():
            if dataclasses.is_dataclass(value) and not isinstance(value, type):
                value = dataclasses.asdict(value)
            elif name == "dtype":
                value = validation.name_of_dtype(value)
            try:
                json.dumps(value)
            except (
                TypeError,
                ValueError,
            ):  # a generator or a device, which no later fit needs
                continue
            found[name] = value
        return found

    def _write(self, folder: str | Path) -> None:
        names = getattr(self, "feature_names_in_", None)
        saved = SavedBaseline(
            self.map_,
            self._parameters_told(),
            getattr(self, "labels_", None),
            None if names is None else [str(name) for name in names],
            self.history_,
            self.diagnostics_,
        )
        save_baseline(folder, type(self).__name__, saved)


class LearnedPair(NamedTuple):
    """What a fit gives, how many features its samples have, and their names, or None."""

    fitted: FittedModel
    dim: int
    names: np.ndarray | None

    def told(self) -> LearnedPair:
        """Return what the first of several processes tells the others: all but the file of the run."""
        return self._replace(fitted=self.fitted._replace(run_file=None))


class LearnedBaseline(SavedModelBaseline, Generic[SettingsKind]):
    """A baseline that is trained by steps, in the run that trains everything in this library.

    Args:
        settings: "published" (cited in the presets), "fair" (ours: one rate schedule for all, in coordinates without
            units; `docs/baselines.md` says how each was tuned), or settings of this method's class.
        max_steps: steps of the optimiser at most; by default those of the settings, or with `max_time` as many as it
            allows. Where networks are trained in turn, a step is one of either.
        max_time: seconds of wall time that the whole fit may take, or None. Such runs are not reproducible to the bit.
        checkpoint: a folder where the run is kept until `save` has written the model or this estimator is fitted again;
            after an interruption, another estimator with the same samples and settings goes on from it.
        random_state: seed, numpy generator or None, as in scikit-learn. With an int, results are deterministic.
        device: where to train, for example "cuda"; by default where X lies if it is a tensor, else the CPU.
        dtype: precision of the networks, "float32" or "float64", or that type of torch or numpy.
        verbose: whether to show a progress bar.

    Attributes:
        map_: the fitted map, with the weights that the settings ask for.
        maps_: maps by their weights, "last", "average" and "selected"; those that are not `map_` are not saved.
        history_: the training record, one dictionary per evaluation: "value" is the held-out value.
        diagnostics_: why training stopped, after how many steps, and the energy distance of moved held-out rows to the
            target beside its deviation by chance.
    """

    maps_: dict[str, ModelMap]
    presets: ClassVar[Mapping[str, Any]]

    def __init__(
        self,
        settings: str | SettingsKind = "fair",
        *,
        max_steps: int | None = None,
        max_time: float | None = None,
        checkpoint: str | None = None,
        random_state: RandomState = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float32",
        verbose: bool = False,
    ) -> None:
        self.settings = settings
        self.max_steps = max_steps
        self.max_time = max_time
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose

    @validation.names_both_sides
    def fit(self: Own, X: TableLike | Sampler, Y: TableLike | Sampler) -> Own:
        """Learn the map between the distributions of X (n, d) and of Y (m, d), unpaired.

        Args:
            X, Y: arrays, tensors, frames, memory-mapped arrays, or functions (n, generator) -> (n, d) for endless
                streams. The `torch.Generator` must be their only randomness.

        Raises:
            DataError: for samples or parameters that cannot be used.
            ModelFileError: where `checkpoint` holds a damaged run, or one of other samples or settings.
        """
        return self._fit(X, Y)  # type: ignore[attr-defined, no-any-return]

    def chosen_settings(self) -> SettingsKind:
        """Return the settings that a fit uses.

        Raises:
            DataError: where they are none of this method's.
        """
        if isinstance(self.settings, str):
            validation.check_choice("settings", self.settings, tuple(self.presets))
            found: SettingsKind = self.presets[self.settings]
            return found
        kind = type(self.presets["fair"])
        if type(self.settings) is not kind:
            raise DataError(
                f"settings: must be 'published', 'fair' or {kind.__name__}(...), got {self.settings!r}",
                argument="settings",
            )
        self.settings.check()
        return self.settings

    # ---- what a method adds

    def sides(
        self,
        source: Population,
        target: Population,
        options: FitOptions,
        generator: torch.Generator,
    ) -> tuple[PairSides, MapFrame]:
        """Return both sides in the coordinates of `frame`, and these."""
        return framed_sides(self.frame, source, target, options, generator)

    def frame(self, x: Tensor, z: Tensor) -> MapFrame:
        """Return the coordinates of rows (n, d), (m, d) of either side."""
        return named_frame(self.chosen_settings().coordinates, x, z)

    def model(self, dim: int, generator: torch.Generator) -> MapModel:
        """Return the untrained model for d features."""
        raise NotImplementedError

    def prepare(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> None:
        """Put the model where training starts, in place; nothing by default."""

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> PairTask:
        """Return the task that trains the model."""
        raise NotImplementedError

    def conclude(self) -> None:
        """Add to the diagnostics, once `map_` is there, what only this method knows of it; nothing by default."""

    def _fit(
        self: Own,
        X: TableLike | Sampler,
        Y: TableLike | Sampler,
        recipe_of: Callable[[Population, Population], Recipe] | None = None,
    ) -> Own:
        """Fit; what `fit` does, for subclasses whose `fit` takes more.

        Args:
            X, Y: as `fit` takes them.
            recipe_of: the source and the target -> what is done with them, where more than the samples is given.
        """
        clock = Clock()
        settings = self._check()  # type: ignore[attr-defined]
        self._forget_run()
        alone = recipe_of is not None  # what it knows beside the samples is not shared
        with Progress(bool(self.verbose) and not follows(alone)) as progress:
            progress.phase("reading")

            def fit(pair: PopulationPair, given: GivenConditions) -> LearnedPair:
                recipe: Recipe = self  # type: ignore[assignment]
                if recipe_of is not None:
                    recipe = recipe_of(pair.source, pair.target)
                with UsualType(), usual_modes(gradients=True):
                    options = self._options(pair.source, settings, clock, progress)  # type: ignore[attr-defined]
                    fitted = fit_learned(recipe, pair.source, pair.target, options)
                return LearnedPair(fitted, pair.source.dim, pair.names)

            fitted, dim, names = fit_both(
                X, Y, GivenConditions(), fit, LearnedPair.told, alone
            )
        self.maps_, self._run_file = fitted.maps, fitted.run_file  # type: ignore[attr-defined]
        self.map_ = fitted.maps[settings.weights]
        self.labels_ = getattr(self, "labels_", None)
        self.history_, self.diagnostics_ = fitted.history, fitted.diagnostics
        validation.remember_features(self, dim, names)
        if not follows(alone):  # it takes what only the first has prepared
            self.conclude()  # type: ignore[attr-defined]
        return self

    @classmethod
    def _parameters_read(cls, told: dict[str, object]) -> dict[str, object]:
        settings = told.get("settings")
        if isinstance(settings, dict):
            kind = type(cls.presets["fair"])
            given = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in settings.items()
            }
            return {**told, "settings": kind(**given)}
        return told

    def _check(self) -> SettingsKind:
        """Return the settings; raise a DataError for the first parameter that cannot be used."""
        settings = self.chosen_settings()
        if self.max_steps is not None:
            validation.check_positive("max_steps", self.max_steps, whole=True)
        if self.max_time is not None:
            validation.check_positive("max_time", self.max_time)
        name = validation.name_of_dtype(self.dtype)
        validation.check_choice("dtype", name, ("float32", "float64"))
        if self.checkpoint is not None:
            validation.check_folder("checkpoint", self.checkpoint)
        return settings

    def _options(
        self,
        source: Population,
        settings: SettingsKind,
        clock: Clock,
        progress: Progress,
    ) -> FitOptions:
        """Return the parameters as a fit takes them."""
        device = torch.device("cpu")
        if self.device is not None:
            device = validation.check_device(self.device)
        elif isinstance(source, Rows) and isinstance(source.values, Tensor):
            device = source.values.device
        name = str(validation.name_of_dtype(self.dtype))
        told = (type(self).__name__, settings, self.max_steps, self.max_time, name)
        return FitOptions(
            settings=settings,
            max_steps=self.max_steps,
            max_time=self.max_time,
            seed=validation.draw_seed(self.random_state),
            seed_given=isinstance(self.random_state, numbers.Integral),
            device=device,
            dtype=getattr(torch, name),
            folder=self.checkpoint,
            clock=clock,
            progress=progress,
            described=" ".join(map(str, told)),
        )


def named_frame(coordinates: str, x: Tensor, z: Tensor) -> MapFrame:
    """Return the frame of a name, from rows (n, d), (m, d) of either side."""
    if coordinates == "data":
        return MapFrame.of_data(x.shape[1], x.device)
    return MapFrame.common(x, z) if coordinates == "common" else MapFrame.standard(x, z)

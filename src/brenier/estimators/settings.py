"""All settings of a fit, by what they govern; `OptimalTransport(settings=...)` overrides any of them by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

from brenier.datasets import SplitSettings
from brenier.statistics import (
    CalibrationSettings,
    ControlVariateSettings,
    ExtremesSettings,
    GaussianSettings,
    RegressionSettings,
    SinkhornSettings,
    TwoSampleSettings,
)
from brenier.training import RankSettings, Settings
from brenier.transport.coordinates import CoordinateSettings
from brenier.transport.dual import DualSettings, ParallelSettings, StartSettings
from brenier.transport.maps import CrossFitSettings, RoundTripSettings

Group = TypeVar("Group")


@dataclasses.dataclass(frozen=True)
class PipelineSettings:
    """How a fit goes from samples to a map, and judges it.

    Attributes:
        coordinate_rows: rows of a side that determine the coordinates.
        refit_rows: rows of a side that determine the affine map, if that is the result: as many more as training drew,
            but not beyond these.
        moment_rows: rows of a side that determine the moments in the comparison with the start.
        max_inner_steps: inner steps of training after which a row is given up.
        inverse_tol_factor: the map inverts to this share of the tolerance of training: its solves are not repeated.
        z_threshold: normal score above which the network is better than the start: one in a hundred.
        min_gain: gain of J per coordinate, of variance one, that is none: initial weights may have a billionth.
        neighbours: rows nearest to a value of the covariates from which one is drawn.
        covariate_jitter: share of the range of covariates: among rows of one value all are drawn.
        lent_rows: rows at most that one side is given covariates of the other for.
    """

    coordinate_rows: int = 200_000
    refit_rows: int = 2**21
    moment_rows: int = 65_536
    max_inner_steps: int = 500
    inverse_tol_factor: float = 0.1
    z_threshold: float = 2.33
    min_gain: float = 1e-5
    neighbours: int = 8
    covariate_jitter: float = 1e-6
    lent_rows: int = 2**17


@dataclasses.dataclass(frozen=True)
class PlanSettings:
    """When a network's map is given up for that of the exact plan between some rows, and how that is found.

    Attributes:
        compared_rows: rows of either side by which it is seen whether moved rows lie where the target has some.
        usual_quantile: of how far fresh target rows are from the nearest other ones; a row is far out
        stray_factor: beyond so many times that distance,
        stray_distance: and beyond this share of the target's spread,
        max_stray_share: and a map is given up where more than this share of the moved rows are.
        plan_rows: rows of either side that it is computed between, at most: seconds for a thousand.
        largest_temperature: at which its potential is smoothed, where the average feature has variance one.
        temperatures: how many are tried, each a tenth of the one before.
    """

    compared_rows: int = 2000
    usual_quantile: float = 0.99
    stray_factor: float = 3.0
    stray_distance: float = 0.25
    max_stray_share: float = 0.1
    plan_rows: int = 1000
    largest_temperature: float = 0.1
    temperatures: int = 5


@dataclasses.dataclass(frozen=True)
class EntropicSettings:
    """How the entropic plan of few rows is found and judged.

    Attributes:
        largest_entropic_temperature: in mean costs between the sides, where the plan is hardly more than a translation.
        entropic_temperatures: how many are tried, each half the one before: the last is a thousandth of the mean cost.
        worse_temperatures: that were worse than the best in a row, after which none is tried any more.
        sharp_dim: features up to which a sharper plan is worth some J: in so few samples fill space, and gaps show.
        sharpness_share: of the gain in J that it is worth there. Where the map jumps J is nearly the same for all
            low temperatures, and the lower the fewer rows end between the parts of the target: of moons moved to
            circles, 1,000 rows a side, 12 % at the best temperature and 2 % at an eighth of it.
        choice_errors: standard errors within which J of two maps is as good as equal. It rests on all rows, and what is
            refused is lost: one is enough.
        rows_per_dimension: of either side that a network is trained on, per feature, below which there are no folds.
        most_folded_rows: of either side, beyond which there are none: all of them are judged by, again and again.
        entropic_rows: of either side that a plan is between, at most: it takes time and memory like their square.
    """

    largest_entropic_temperature: float = 2.0
    entropic_temperatures: int = 12
    worse_temperatures: int = 2
    sharp_dim: int = 3
    sharpness_share: float = 0.04
    choice_errors: float = 1.0
    rows_per_dimension: float = 2.0
    most_folded_rows: int = 50_000
    entropic_rows: int = 1500

    def worth(self, loss: float, dim: int) -> float:
        """Return the J up to which a sharper plan is taken for a potential of this J and dimension."""
        share = self.sharpness_share if dim <= self.sharp_dim else 0.0
        return loss + share * abs(loss)


@dataclasses.dataclass(frozen=True)
class InspectionSettings:
    """How samples are looked at before a fit, and what is told of them.

    Attributes:
        inspected_numbers: of a side, at most: of a larger table a sample of rows.
        leave_out_wild: whether wild rows, and codes such as -999 far from all other values, take no part in the fit.
        max_left_out: share of the rows of a side that may be left out; where it would be more, all stay in.
        code_distance: spreads from which on codes are left out; nearer ones may be a part of the law.
        tied_rows: share of the source that is one and the same row, beyond that of the target, from which it is told.
        tied_values: the same of one value in a column, where other columns may tell the rows apart.
        varying_values: share of the target that has not its most frequent value of a column, from which it is told that
            the source is constant there.
        tie_errors: standard errors by which shares must differ beyond that.
        told_columns, told_rows: how many are named.
    """

    inspected_numbers: int = 2**22
    leave_out_wild: bool = True
    max_left_out: float = 0.5
    code_distance: float = 30.0
    tied_rows: float = 0.05
    tied_values: float = 0.25
    varying_values: float = 0.05
    tie_errors: float = 3.0
    told_columns: int = 3
    told_rows: int = 5


@dataclasses.dataclass(frozen=True)
class PaceSettings:
    """How a fit shares out the seconds of `max_time`.

    Attributes:
        conclusion_share: of them that the conclusion may take, from the end of training on; else it has fewer rows.
        selection_share: of them that one held-out evaluation may take; else weights are selected on fewer rows.
        least_training_share: of them that training has even where the preparation took longer than expected.
        least_rows: rows that are measured or judged by at least.
        few_steps: training steps below which a map is hardly learnt.
        small_batch: rows of the first batches where fewer than `least_steps` would fit.
        least_steps: steps below which more of smaller batches are taken. From some tens on they are worth less: in
            d = 128 the errors of 77 steps of 1,024 rows were 4.1 and 2.9 %, of 127 of 256 rows 7.0 and 4.2 %.
        first_trial_rows, trial_rows: rows that a potential is timed on, at first and at most.
        trial_seconds: after which that is long enough to be exact.
        usual_evaluations: of the potential that a held-out inner problem takes as long as, before one was solved.
        step_evaluations: of the potential that a training step takes as long as, per row.
        tighter: times as many evaluations as in training that an inner problem of the conclusion takes.
        judged_share, affine_share, measured_share, moved_share, round_trip_share: of the seconds that are left, those
            that the comparison with the start, the affine part or the affine map of all rows, the measurement, the
            look at moved rows, and the round trip may take.
        conclusion_decompositions: times that the conclusion decomposes covariances as the coordinates did.
        other_seconds: of the conclusion, for what does not depend on the potential.
        drawing_share: of the seconds that drawing a stream's rows for the coordinates may take; else they are fewer.
        least_drawn_rows: of either side, however long that takes.
        fit_share: of what the coordinates take that a fit of Gaussians takes when the distance is cross-fitted.
        safety: factor on what the conclusion is expected to take.
        quick_coordinates_from: features from which on Gaussian coordinates come of one eigendecomposition, not of six.
    """

    conclusion_share: float = 0.2
    selection_share: float = 0.05
    least_training_share: float = 0.1
    least_rows: int = 256
    few_steps: int = 100
    small_batch: int = 256
    least_steps: int = 10
    first_trial_rows: int = 16
    trial_rows: int = 1024
    trial_seconds: float = 0.1
    usual_evaluations: float = 30.0
    step_evaluations: float = 16.0
    tighter: float = 2.0
    judged_share: float = 0.3
    affine_share: float = 0.5
    measured_share: float = 0.5
    moved_share: float = 0.1
    round_trip_share: float = 0.8
    conclusion_decompositions: float = 6.0
    other_seconds: float = 1.0
    drawing_share: float = 0.15
    least_drawn_rows: int = 10_000
    fit_share: float = 0.7
    safety: float = 1.2
    quick_coordinates_from: int = 128


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """All settings of a fit.

    Attributes:
        training: how to train.
        dual: how batches of the dual objective are drawn, solved and judged.
        starts: where inner problems may start.
        parallel: when several processes are worth their cost.
        ranks: how long they wait for each other.
        calibration: by what batches are calibrated.
        control: how control variates are fitted.
        two_sample: how two samples are compared.
        gaussian: how covariances are regularised and pooled.
        regression: how Gaussian fits follow covariates.
        split: which rows are held out.
        coordinates: how coordinates are determined.
        cross_fit: how the affine part of the distance is measured.
        round_trip: when held-out rows do not come back, and from which share on that is warned of.
        plan: the exact plan that is fallen back on.
        entropic: the entropic plan of few rows.
        sinkhorn: how its potentials are found.
        pipeline: how a fit goes from samples to a map.
        inspection: how samples are looked at before.
        extremes: what of them is told apart as extreme.
        pace: how the seconds of `max_time` are shared out.
    """

    training: Settings = dataclasses.field(default_factory=Settings)
    dual: DualSettings = dataclasses.field(default_factory=DualSettings)
    starts: StartSettings = dataclasses.field(default_factory=StartSettings)
    parallel: ParallelSettings = dataclasses.field(default_factory=ParallelSettings)
    ranks: RankSettings = dataclasses.field(default_factory=RankSettings)
    calibration: CalibrationSettings = dataclasses.field(
        default_factory=CalibrationSettings
    )
    control: ControlVariateSettings = dataclasses.field(
        default_factory=ControlVariateSettings
    )
    two_sample: TwoSampleSettings = dataclasses.field(default_factory=TwoSampleSettings)
    gaussian: GaussianSettings = dataclasses.field(default_factory=GaussianSettings)
    regression: RegressionSettings = dataclasses.field(
        default_factory=RegressionSettings
    )
    split: SplitSettings = dataclasses.field(default_factory=SplitSettings)
    coordinates: CoordinateSettings = dataclasses.field(
        default_factory=CoordinateSettings
    )
    cross_fit: CrossFitSettings = dataclasses.field(default_factory=CrossFitSettings)
    round_trip: RoundTripSettings = dataclasses.field(default_factory=RoundTripSettings)
    plan: PlanSettings = dataclasses.field(default_factory=PlanSettings)
    entropic: EntropicSettings = dataclasses.field(default_factory=EntropicSettings)
    sinkhorn: SinkhornSettings = dataclasses.field(default_factory=SinkhornSettings)
    pipeline: PipelineSettings = dataclasses.field(default_factory=PipelineSettings)
    inspection: InspectionSettings = dataclasses.field(
        default_factory=InspectionSettings
    )
    extremes: ExtremesSettings = dataclasses.field(default_factory=ExtremesSettings)
    pace: PaceSettings = dataclasses.field(default_factory=PaceSettings)

    def overridden(self, overrides: Mapping[str, object]) -> FitSettings:
        """Return these settings with some fields of their groups set, whichever group a field belongs to."""
        groups = {
            field.name: overridden(getattr(self, field.name), overrides)
            for field in dataclasses.fields(self)
        }
        return FitSettings(**groups)


def overridden(group: Group, overrides: Mapping[str, object]) -> Group:
    """Return a settings dataclass with those of its fields set that are named."""
    names = {field.name for field in dataclasses.fields(group)}  # type: ignore[arg-type]
    own = {name: value for name, value in overrides.items() if name in names}
    return dataclasses.replace(group, **own)  # type: ignore[type-var]

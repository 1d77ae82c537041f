"""scikit-learn's own checks, on the estimator as it is and on one that makes its target from X."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from brenier import OptimalTransport
from brenier.datasets.containers import read

# The checks give every estimator labels y of shape (n,). All of these are run on `Doubled`, which needs none.
TWO_SAMPLES = "Y is a second sample (m, d) with the features of X, not labels (n,)"
NOT_APPLICABLE = dict.fromkeys(
    (
        "check_dict_unchanged",
        "check_dont_overwrite_parameters",
        "check_dtype_object",
        "check_estimators_dtypes",
        "check_estimators_fit_returns_self",
        "check_estimators_nan_inf",
        "check_estimators_overwrite_params",
        "check_estimators_pickle",
        "check_f_contiguous_array_estimator",
        "check_fit2d_1feature",
        "check_fit2d_predict1d",
        "check_fit_check_is_fitted",
        "check_fit_idempotent",
        "check_fit_score_takes_y",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_n_features_in",
        "check_n_features_in_after_fitting",
        "check_pipeline_consistency",
        "check_positive_only_tag_during_fit",
        "check_readonly_memmap_input",
        "check_transformer_data_not_an_array",
        "check_transformer_general",
        "check_transformer_preserve_dtypes",
    ),
    TWO_SAMPLES,
)
NOT_APPLICABLE_TO_ONE_SAMPLE = {
    "check_dtype_object": "wants a TypeError for entries that are not numbers; every fault here is a DataError",
}


class Doubled(OptimalTransport):
    """Learns x -> 2x + 1, so that checks which fit one sample apply."""

    def fit(self, X: Any, y: Any = None) -> "Doubled":  # type: ignore[override]
        super().fit(X, self._target(X))
        return self

    def score(self, X: Any, y: Any = None) -> float:  # type: ignore[override]
        return super().score(X, self._target(X))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags

    @staticmethod
    def _target(X: Any) -> Any:
        samples = read(X, "X", min_rows=2)
        return 2 * samples.rows(0, samples.shape[0]).double() + 1


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    return (
        NOT_APPLICABLE_TO_ONE_SAMPLE
        if isinstance(estimator, Doubled)
        else NOT_APPLICABLE
    )


@parametrize_with_checks(
    [OptimalTransport(max_steps=2), Doubled(max_steps=2)],
    expected_failed_checks=expected_failures,
    xfail_strict=True,
)
def test_checks_of_scikit_learn(estimator: BaseEstimator, check: Any) -> None:
    check(estimator)


def test_the_target_is_required() -> None:
    assert OptimalTransport().__sklearn_tags__().target_tags.required
    with pytest.raises(TypeError, match="Y"):
        OptimalTransport().fit_transform(np.eye(3))

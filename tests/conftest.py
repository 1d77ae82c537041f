"""What every test may lean on: one thread, a seeded generator, the folder of real data if there is one."""

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")  # figures are written, never shown
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # in processes that tests begin; the tests themselves use every core
torch.set_num_threads(1)
pytest.register_assert_rewrite(
    "contracts", "problems"
)  # so that a broken law shows its numbers


@pytest.fixture
def generator() -> torch.Generator:
    """A source of random numbers that starts the same in every test."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data, which BRENIER_DATA names; without it the test is skipped."""
    named = os.environ.get("BRENIER_DATA")
    if not named:
        pytest.skip("needs real data: set BRENIER_DATA to the folder that holds them")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"BRENIER_DATA names {named}, which is not a folder")
    return folder


# Cases that take seconds where others of the same test show as much: `make test-all` runs them.
LONG = (
    "test_kept_rows.py::test_a_loaded_model_inverts_as_the_saved_one[plain",
    "test_kept_rows.py::test_kept_rows_are_rows_of_the_source[without covariates",
    "test_kept_rows.py::test_kept_rows_are_rows_of_the_source[by class",
    "test_costed.py::test_maps_are_found_both_ways[power 3",
    "test_weights.py::test_a_run_goes_on_with_its_weights_alone",
    "test_fit.py::test_rows_are_kept_or_not",
    "test_drift_page.py::test_the_page_of_several_weeks",
    "test_certified.py::test_covariates_that_all_differ_are_bounded_from_below[both",
    "test_certified.py::test_a_metric_is_that_of_the_bounds",
    "test_certified.py::test_a_new_fit_has_no_certificate",
    "test_otdd.py::test_the_gradient_is_that_of_differences",
    "test_by_covariate.py::test_a_family_of_gaussians_at_values_never_seen",
    "test_minimax.py::test_a_gaussian_map_is_learnt[MMReversed",
    "test_minimax.py::test_a_gaussian_map_is_learnt[MMConvex",
    "test_folded.py::test_an_interrupted_fit_goes_on_to_the_bit[23",
    "test_drift_page.py::test_of_many_drifted_weeks_the_surest_have_a_section",
    "test_exact_rules_differentiate_the_inverse_map[convex softplus-unrolled]",
    "test_exact_rules_differentiate_the_inverse_map[free celu-unrolled]",
    "test_exact_rules_differentiate_the_inverse_map[free softplus-unrolled]",
    "test_exact_rules_differentiate_the_inverse_map[free tanh-unrolled]",
    "test_a_run_put_down_and_taken_up_is_the_same_run[SGD",
    "test_a_run_put_down_and_taken_up_is_the_same_run[RMSprop",
    "test_a_run_put_down_and_taken_up_is_the_same_run[AdamW",
    "test_so_many_rows_are_held_out[25]",
    "test_a_curved_map_is_learnt[residual-2]",
    "test_a_curved_map_is_learnt[free-2]",
    "test_flow_inputs.py::test_a_few_inputs_of_all_kinds",
    "test_classes_are_moved_to_their_own_targets[200",
    "test_flow_task.py::test_the_held_out_value_is_the_loss_and_its_error_is_honest",
    "test_masses.py::test_the_true_plan_scores_nothing",
    "test_masses.py::test_without_weights_densities_are_wrong_and_the_map_is_not",
    "test_a_loaded_model_inverts_as_the_saved_one[by",
    "test_kept_rows_are_rows_of_the_source[by covariate",
    "test_clusters_whose_shares_change_are_matched[1",
    "test_no_row_converges_by_rounding[free",
    "test_a_fit_of_slow_steps_ends_in_time_and_warns[by",
    "test_fit.py::test_several_networks_on_the_command_line",
    "test_without_standard_error_a_fit_is_saved[broken",
    "test_without_standard_output_a_fit_is_saved_with_its_report[broken",
    "test_the_policy_of_the_guess_costs_little_more_than_the_optimum[Consumption agents=100",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long cases as slow."""
    for item in items:
        if any(name in item.nodeid for name in LONG):
            item.add_marker(pytest.mark.slow)

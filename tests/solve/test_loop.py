"""The loop: every method on every problem, by law; and how rows end."""

from collections.abc import Callable

import pytest
import torch
from contracts import METHOD_LAWS, ROW_LAWS, finds_the_answer, rows_do_not_interact
from problems import (
    CURVED_METHODS,
    HARD_PROBLEMS,
    METHODS,
    PROBLEMS,
    ROW_WISE_METHODS,
    Answered,
    Barrier,
    Corrupted,
    Counting,
    DoubleWell,
    LogCosh,
    LogSumExp,
    Quadratics,
    Tally,
    Unbounded,
    normal,
    quadratics,
    start,
)

from brenier import (
    BFGS,
    LBFGS,
    Anderson,
    ConvergenceError,
    GradientStep,
    NewtonCG,
    Quadratic,
    Status,
)
from brenier.solve import Iterate, Method, Problem, Solution, minimise
from brenier.solve.firstorder import power_iteration
from brenier.transport.dual.conjugate import Proximal


def name(law: Callable) -> str:
    return law.__name__


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("law", METHOD_LAWS, ids=name)
def test_every_method_obeys(
    law: Callable[[Method, Answered], None], method: Method, problem: Answered
) -> None:
    law(method, problem)


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("method", ROW_WISE_METHODS.values(), ids=ROW_WISE_METHODS)
@pytest.mark.parametrize("law", ROW_LAWS, ids=name)
def test_every_row_wise_method_obeys(
    law: Callable[[Method, Answered], None], method: Method, problem: Answered
) -> None:
    law(method, problem)


@pytest.mark.parametrize("method", ROW_WISE_METHODS.values(), ids=ROW_WISE_METHODS)
@pytest.mark.parametrize("check_every", [2, 7])
def test_rows_do_not_interact_however_seldom_they_are_checked(
    method: Method, check_every: int
) -> None:
    rows_do_not_interact(method, PROBLEMS["log-sum-exp"], check_every)


@pytest.mark.parametrize("problem", HARD_PROBLEMS.values(), ids=HARD_PROBLEMS)
@pytest.mark.parametrize("method", CURVED_METHODS.values(), ids=CURVED_METHODS)
def test_methods_with_curvature_solve_hard_problems(
    method: Method, problem: Answered
) -> None:
    finds_the_answer(method, problem)
    rows_do_not_interact(method, problem)


@pytest.mark.parametrize(
    "problem", [HARD_PROBLEMS["ill-conditioned"], HARD_PROBLEMS["stiff"]]
)
def test_anderson_solves_stiff_problems(problem: Answered) -> None:
    finds_the_answer(Anderson(), problem)


# ---- how fast


def test_a_round_problem_takes_one_newton_step_and_two_of_lbfgs() -> None:
    problem = PROBLEMS["round"]
    assert minimise(problem, NewtonCG(), start(problem), tol=1e-10).steps.max() == 1
    assert minimise(problem, LBFGS(), start(problem), tol=1e-10).steps.max() == 2


def test_lbfgs_takes_one_step_where_the_map_is_a_translation() -> None:
    problem = Proximal(
        Quadratic(3, shift=torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)),
        normal(5, 3),
    )
    assert minimise(problem, LBFGS(), problem.z, tol=1e-10).check().steps.max() == 1


def test_lbfgs_needs_few_evaluations_where_the_gradient_step_needs_many() -> None:
    problem = PROBLEMS["elongated"]
    few = minimise(problem, LBFGS(), start(problem), tol=1e-6, max_steps=5000)
    many = minimise(problem, GradientStep(), start(problem), tol=1e-6, max_steps=5000)
    assert 5 * few.evaluations_per_row < many.evaluations_per_row


def test_power_iteration_finds_the_curvature_from_below() -> None:
    problem = quadratics(10.0, largest=4.0)
    at = Iterate(start(problem), *problem.evaluate(start(problem)))
    for shift, exact in (
        (0.0, 4.0),
        (3.9, 3.5),
    ):  # the spectrum of Hess F - 3.9 I reaches from -3.5 to 0.1
        found = power_iteration(problem, at, 200, shift)
        torch.testing.assert_close(
            found, torch.full_like(found, exact), rtol=1e-6, atol=0
        )
        assert (power_iteration(problem, at, 3, shift) <= exact * (1 + 1e-12)).all()


def test_a_looser_tol_saves_steps_in_its_own_row() -> None:
    problem, tol = PROBLEMS["elongated"], torch.tensor([1e-2, 1e-6, 1e-6, 1e-6, 1e-6])
    loose = minimise(problem, LBFGS(), start(problem), tol=tol)
    strict = minimise(problem, LBFGS(), start(problem), tol=1e-6)
    assert loose.steps[0] < strict.steps[0]
    assert torch.equal(loose.steps[1:], strict.steps[1:])


def test_a_step_chosen_where_it_is_flat_is_too_long_where_it_is_steep_and_says_so() -> (
    None
):
    problem = LogCosh(normal(5, 5, seed=1), slope=9.0)
    solution = minimise(
        problem, GradientStep(), start(problem), tol=1e-6, max_steps=300
    )
    assert (solution.status == Status.OUT_OF_STEPS).all()
    for method in CURVED_METHODS.values():
        finds_the_answer(method, problem)


def test_the_published_step_is_shared_and_ours_is_not() -> None:
    flat, steep = quadratics(1.0, largest=1.0, n=1), quadratics(1.0, largest=10.0, n=1)
    both = Quadratics(
        torch.cat([flat.hessian, steep.hessian]),
        torch.cat([flat.answer, steep.answer]),
        1.0,
    )
    for method, together in ((GradientStep.paper(), True), (GradientStep(), False)):
        alone = minimise(flat, method, start(flat), tol=1e-6, max_steps=5000)
        crowd = minimise(both, method, start(both), tol=1e-6, max_steps=5000)
        assert (crowd.steps[0] > alone.steps[0]) == together


# ---- how rows end


def advice_is_given(solution: Solution, status: Status) -> None:
    assert status.name.lower() in solution.report()
    assert status.advice in solution.report()
    with pytest.raises(ConvergenceError, match=status.name.lower()):
        solution.check()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_converged(method: Method) -> None:
    problem = PROBLEMS["log-cosh"]
    solution = minimise(problem, method, start(problem), tol=1e-3, max_steps=2000)
    assert solution.check() is solution
    assert solution.report() == "all 5 rows converged"
    assert solution.unconverged == 0


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_out_of_steps(method: Method) -> None:
    problem = PROBLEMS["log-sum-exp"]
    solution = minimise(problem, method, start(problem), tol=1e-13, max_steps=2)
    assert (solution.status == Status.OUT_OF_STEPS).all()
    assert (solution.steps == 2).all()
    assert solution.unconverged == 5
    advice_is_given(solution, Status.OUT_OF_STEPS)


@pytest.mark.parametrize("method", CURVED_METHODS.values(), ids=CURVED_METHODS)
def test_stalled_where_single_precision_cannot_reach_the_tol(method: Method) -> None:
    problem = LogSumExp(
        normal(6, 5, seed=2, dtype=torch.float32),
        normal(20, 5, seed=1, dtype=torch.float32),
    )
    solution = minimise(problem, method, start(problem), tol=1e-12, max_steps=500)
    assert (solution.status == Status.STALLED).any()
    assert (solution.residual < 1e-5).all()
    assert solution.steps.double().mean() < 150
    advice_is_given(solution, Status.STALLED)


@pytest.mark.parametrize(
    "method", [m for m in METHODS.values() if not isinstance(m, Anderson)]
)
def test_non_finite(method: Method) -> None:
    solution = minimise(Unbounded(), method, normal(4, 3), tol=1e-6, max_steps=500)
    assert (solution.status == Status.NON_FINITE).all()
    assert torch.isfinite(solution.point).all()
    advice_is_given(solution, Status.NON_FINITE)


def test_anderson_refuses_to_run_away() -> None:
    solution = minimise(Unbounded(), Anderson(), normal(4, 3), tol=1e-6, max_steps=100)
    assert (solution.status == Status.OUT_OF_STEPS).all()
    assert torch.isfinite(solution.residual).all()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_rows_that_start_nowhere_are_non_finite_and_keep_their_start(
    method: Method,
) -> None:
    problem = PROBLEMS["log-cosh"]
    everywhere = Corrupted(problem, torch.ones(5, dtype=torch.bool))
    solution = minimise(everywhere, method, start(problem), tol=1e-6)
    assert (solution.status == Status.NON_FINITE).all()
    assert torch.equal(solution.point, start(problem))
    assert torch.isinf(solution.residual).all()
    assert "not finite" in solution.report()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_finite_value_does_not_hide_a_residual_that_is_not(method: Method) -> None:
    class Kink(Unbounded):
        """F(y) = |y|, whose slope at zero is 0 / 0."""

        def evaluate(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            length = y.norm(dim=-1)
            return length, y / length.unsqueeze(-1)

    solution = minimise(Kink(), method, torch.zeros(2, 3, dtype=torch.float64))
    assert (solution.status == Status.NON_FINITE).all()


def test_a_report_counts_every_kind_and_names_the_worst_residual() -> None:
    problem = Corrupted(PROBLEMS["elongated"], torch.arange(5) == 2)
    solution = minimise(
        problem, LBFGS(), start(PROBLEMS["elongated"]), tol=1e-12, max_steps=3
    )
    assert "4 of 5 rows ended out_of_steps" in solution.report()
    assert "1 of 5 rows ended non_finite" in solution.report()
    assert (
        f"{float(solution.residual[torch.isfinite(solution.residual)].max()):.1e}"
        in solution.report()
    )


# ---- the edges


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_no_steps_at_all(method: Method) -> None:
    problem, tally = PROBLEMS["log-cosh"], Tally()
    solution = minimise(
        Counting(problem, tally), method, start(problem), tol=1e-6, max_steps=0
    )
    assert torch.equal(solution.point, start(problem))
    assert (solution.status == Status.OUT_OF_STEPS).all()
    assert (tally.evaluations, tally.products) == (5, 0)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_starting_at_the_answer_takes_no_step(method: Method) -> None:
    problem = PROBLEMS["log-cosh"]
    solution = minimise(problem, method, problem.answer, tol=1e-6).check()
    assert solution.evaluations == 5
    assert (solution.steps == 0).all()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_what_is_known_of_the_first_iterates_is_not_asked_for_again(
    method: Method,
) -> None:
    problem, tally = PROBLEMS["log-cosh"], Tally()
    whole = minimise(problem, method, start(problem), tol=1e-6, max_steps=300)
    known = Iterate(start(problem), *problem.evaluate(start(problem)))
    solution = minimise(
        Counting(problem, tally), method, known, tol=1e-6, max_steps=300
    )
    assert torch.equal(solution.point, whole.point)
    assert (
        solution.evaluations
        == tally.evaluations + 2 * tally.products
        == whole.evaluations - 5
    )


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_no_rows_at_all(method: Method) -> None:
    solution = minimise(
        PROBLEMS["round"].rows(torch.arange(0)), method, torch.zeros(0, 5)
    ).check()
    assert solution.point.shape == (0, 5)
    assert solution.status.shape == (0,)
    assert (solution.evaluations, solution.evaluations_per_row) == (0, 0.0)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_one_feature_and_one_row(method: Method) -> None:
    finds_the_answer(method, quadratics(1.0, n=1, d=1))


@pytest.mark.parametrize("method", CURVED_METHODS.values(), ids=CURVED_METHODS)
def test_trials_outside_the_domain_are_stepped_back_from(method: Method) -> None:
    """From 0.1 the plain step of the barrier problem lands below zero or far away; the answer is found all the same."""
    problem = Barrier(torch.full((3, 2), 3.0, dtype=torch.float64))
    first = torch.full((3, 2), 0.1, dtype=torch.float64)
    solution = minimise(problem, method, first, tol=1e-9, max_steps=300).check()
    torch.testing.assert_close(solution.point, problem.answer, rtol=0, atol=1e-7)


def test_solutions_are_joined_in_order() -> None:
    problem: Problem = PROBLEMS["elongated"]
    first = start(PROBLEMS["elongated"])
    whole = minimise(problem, LBFGS(), first, tol=1e-6)
    parts = [
        minimise(problem.rows(i), LBFGS(), first[i], tol=1e-6)
        for i in torch.arange(5).split(2)
    ]
    joined = Solution.concatenate(parts)
    torch.testing.assert_close(joined.point, whole.point, rtol=0, atol=1e-12)
    assert torch.equal(joined.steps, whole.steps)
    assert torch.equal(joined.status, whole.status)
    assert joined.evaluations == whole.evaluations


# ---- rows left unfinished on request


def test_some_rows_may_be_left_and_solved_on_later() -> None:
    problem = PROBLEMS["log-cosh"]
    near = problem.answer + torch.tensor([1e-3, 1e-3, 1e-3, 1e-3, 3.0]).to(
        problem.answer
    ).unsqueeze(-1)
    some = minimise(problem, BFGS(), near, tol=1e-8, skip_fraction=0.2)
    assert some.status.tolist() == [Status.CONVERGED] * 4 + [Status.DEFERRED]
    assert (some.deferred, some.unconverged) == (1, 1)
    assert "left unfinished" in some.report()
    whole = minimise(problem, BFGS(), near, tol=1e-8)
    assert some.evaluations < whole.evaluations
    minimise(problem, BFGS(), some.point, tol=1e-8).check()


def test_nothing_is_left_unless_asked() -> None:
    for method in ROW_WISE_METHODS.values():
        assert (
            minimise(
                PROBLEMS["elongated"],
                method,
                start(PROBLEMS["elongated"]),
                tol=1e-6,
                max_steps=5000,
            ).deferred
            == 0
        )


def test_bfgs_forgets_and_still_finds_the_answer() -> None:
    problem = HARD_PROBLEMS["ill-conditioned"]
    long, short = (
        minimise(problem, BFGS(memory=m), start(problem), tol=1e-8, max_steps=500)
        for m in (30, 10)
    )
    assert long.check().evaluations < short.evaluations
    assert short.unconverged == 0


def test_bfgs_forgets_a_pair_of_hardly_any_curvature() -> None:
    """Near the saddle a pair may have next to no curvature; H is then so large that single precision loses it."""
    problem = DoubleWell(torch.linalg.qr(normal(2, 2)).Q.float())
    solution = minimise(
        problem, BFGS(), normal(50_000, 2, seed=1).float(), tol=1e-4, max_steps=500
    )
    assert solution.check() is solution

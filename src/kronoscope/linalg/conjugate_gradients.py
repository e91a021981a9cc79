"""Preconditioned conjugate gradients for many symmetric positive definite systems at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .._errors import ConvergenceError

RowsOperator = Callable[[Tensor, Tensor], Tensor]  # (vectors (k, frames), rows (k,)) -> (k, frames)


def conjugate_gradients(
    product: RowsOperator,
    precondition: RowsOperator,
    right: Tensor,
    tolerance: float,
    max_iterations: int,
) -> Tensor:
    """Solve A_k z_k = y_k for every row k, until |y_k - A_k z_k| <= tolerance |y_k|.

    The residual is recomputed at the end; rows where the recursion had drifted from it are started again from where
    they are. Rows that are done drop out of the work.

    Args:
        product: A_k v for some of the rows.
        precondition: An approximation of A_k^-1 v for some of the rows, symmetric positive definite.
        right: y, (rows, frames), float64.
        tolerance: Relative residual.
        max_iterations: In all, restarts included.

    Raises:
        ConvergenceError: A row has not reached the tolerance.

    Source: Hestenes and Stiefel 1952; Golub and Van Loan, Matrix Computations, 4th ed., algorithm 11.5.1.
    """
    goal = tolerance * right.norm(dim=-1)
    solution = torch.zeros_like(right)
    rows = (goal > 0).nonzero()[:, 0]
    residual = right[rows]
    used = 0
    while len(rows):
        before = residual.norm(dim=-1)
        used += _sweep(product, precondition, residual, rows, 0.5 * goal, solution, max_iterations - used)
        residual = right[rows] - product(solution[rows], rows)
        reached = residual.norm(dim=-1)
        open_rows = ~(reached <= goal[rows])  # so that a NaN, which a singular matrix can bring about, is open
        stuck = open_rows & (~(reached <= 0.5 * before) | torch.tensor(used >= max_iterations, device=reached.device))
        if bool(stuck.any()):
            worst = float((reached / goal[rows]).max()) * tolerance
            raise ConvergenceError(
                f"conjugate gradients reached a relative residual of {worst:.2g} instead of {tolerance:.2g} after "
                f"{used} iterations: the matrix is too ill-conditioned"
            )
        rows, residual = rows[open_rows], residual[open_rows]
    return solution


def _sweep(
    product: RowsOperator,
    precondition: RowsOperator,
    residual: Tensor,
    rows: Tensor,
    goal: Tensor,
    solution: Tensor,
    max_iterations: int,
) -> int:
    """Improve ``solution`` at ``rows`` until the recursive residual meets ``goal``; returns the iterations used."""
    active, change, residual = rows, torch.zeros_like(residual), residual.clone()
    direction = precondition(residual, active)
    rho = torch.linalg.vecdot(residual, direction)
    for iteration in range(1, max_iterations + 1):
        image = product(direction, active)
        step = (rho / torch.linalg.vecdot(direction, image))[:, None]
        change.addcmul_(step, direction)
        residual.addcmul_(-step, image)
        going = residual.norm(dim=-1) > goal[active]
        if not bool(going.all()):
            solution[active[~going]] += change[~going]
            active, change, residual = active[going], change[going], residual[going]
            direction, rho = direction[going], rho[going]
            if not len(active):
                return iteration
        preconditioned = precondition(residual, active)
        previous, rho = rho, torch.linalg.vecdot(residual, preconditioned)
        direction.mul_((rho / previous)[:, None]).add_(preconditioned)
    solution[active] += change
    return max_iterations

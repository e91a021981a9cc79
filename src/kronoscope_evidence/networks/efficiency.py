"""``kronoscope reproduce learning-efficiency``: score error against the number of sequences, for every learner."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..learning.jobs import Job, job_of, run_jobs
from ..learning.learners import ESTIMATORS, LEARNERS, NETWORKS, Training
from ..study import Run, Study
from ..yardstick import FEATURES, FRAMES
from .efficiency_page import Result, checks, page
from .regimes import REGIMES, RegimeRows

FIRST_REGIME_SEED = 5  # the seeds of the regimes begin where those along n end, so that no job occurs twice


@dataclass(frozen=True)
class Size:
    """What is trained.

    Attributes:
        sequences: n along the axis.
        learners, seeds: Along the axis.
        regime_learners, regime_seeds: In the map of failures.
        single_seed: Learners with one seed along the axis.
        training: By learner, in place of its budget.
        frames, features: Of a sequence.
    """

    sequences: tuple[int, ...]
    learners: tuple[str, ...]
    seeds: int
    regime_learners: tuple[str, ...]
    regime_seeds: int
    single_seed: tuple[str, ...] = ()
    training: dict[str, Training] = field(default_factory=dict)
    frames: int = FRAMES
    features: int = FEATURES


def measure(run: Run[Size]) -> Result:
    """Every learner on the same draws at every n; then in each regime where something may break."""
    along, regimes = jobs_along_n(run.size, run.seed), jobs_by_regime(run.size, run.seed)
    every = [*along, *(job for jobs in regimes for job in jobs)]
    rows = iter(run_jobs("learning-efficiency", every, run.store, run.stage))
    return Result(
        tuple(next(rows) for _ in along),
        tuple(
            RegimeRows(regime.name, tuple(next(rows) for _ in jobs))
            for regime, jobs in zip(REGIMES, regimes, strict=True)
        ),
    )


def jobs_along_n(size: Size, seed: int) -> list[Job]:
    """Every learner at every n."""
    return [
        job_of(
            learner,
            n,
            seed + k,
            frames=size.frames,
            features=size.features,
            training=size.training.get(learner),
        )
        for n in size.sequences
        for learner in size.learners
        for k in range(1 if learner in size.single_seed else size.seeds)
    ]


def jobs_by_regime(size: Size, seed: int) -> list[list[Job]]:
    """Learners in every regime."""
    return [
        [
            job_of(
                learner,
                regime.n,
                seed + FIRST_REGIME_SEED + k,
                kernel=regime.kernel,
                frames=regime.frames or size.frames,
                features=size.features,
                training=size.training.get(learner),
            )
            for learner in size.regime_learners
            for k in range(size.regime_seeds)
        ]
        for regime in REGIMES
    ]


QUICK_TRAINING: dict[str, Training] = {
    "unrolled": {"max_steps": 600, "evaluate_every": 600},
    "unrolled-4": {"max_steps": 900, "evaluate_every": 900},
    "position": {"max_steps": 200, "evaluate_every": 50},
    "dit": {"max_steps": 120, "evaluate_every": 40},
}
STUDY = Study(
    claim="A network with the structure of the solver learns at the rate p/(2n); other networks need more sequences.",
    full=Size((200, 500, 2000, 10_000), tuple(LEARNERS), 5, (*NETWORKS, *ESTIMATORS), 5),
    quick=Size(
        (100, 400, 1600),
        (*QUICK_TRAINING, *ESTIMATORS),
        3,
        ("unrolled", *ESTIMATORS),
        1,
        single_seed=("position", "dit"),
        training=QUICK_TRAINING,
        frames=16,
        features=2,
    ),
    minutes=(110, 2.5),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)

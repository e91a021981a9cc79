"""The fitted model: a network score with the preprocessing that it was fitted with."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from .. import _checks, data, diffusion, report, sampling
from .._display import Displayed
from .._errors import InputError
from .._typing import DiffusionTime
from ..data.sizes import refuse_draws
from ..nn import MixtureTransformer
from ..processes import DenseGaussian, GaussianLaw, ScaledScore
from ..settings import SampleOptions, TrainingConfig, check_keywords
from . import folder as run_folder
from .conditioning import Array, ConditionalSequence, SequenceFormat, choose_method, condition, entries, guided
from .coordinates import coordinates_of, scaled_process
from .density import log_density
from .description import facts
from .figures import draw_model
from .learnt import LearntLaw, LearntMixture, is_affine, learnt_law, learnt_mixture, with_floor
from .sampler_choice import sampler_table

TRAINED_SLACK = 1e-6  # relative; a time in float32, or one that went through a logarithm and back, is still inside


@dataclass(frozen=True, eq=False, repr=False)
class Model(ScaledScore, Displayed):
    """A diffusion model of sequences (n, N, d), in the units of the data that it was fitted to.

    Attributes:
        network: (x, t) to epsilon, in scaled coordinates.
        transform: Between the data's units and scaled coordinates.
        container, feature_names: How sequences look in the data's own format.
        training_starts: Clock times of the training sequences, from which generated ones are dated; None without.
        network_name, network_options: How the network was built; the name is None for a network of the user's own.
        training: Settings of the training.
        record: What was fitted, on what and how it went (JSON): split, history, environment, seed.
    """

    network: nn.Module
    transform: data.Transform
    container: data.Container
    feature_names: tuple[str, ...]
    training: TrainingConfig
    training_starts: pd.DatetimeIndex | None = None
    network_name: str | None = None
    network_options: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    returns_tensor: bool = False

    def _facts(self) -> dict[str, object]:
        return facts(self.network, self.network_name, self.num_frames, self.feature_names, self.record)

    @property
    def num_frames(self) -> int:
        """N."""
        return self.transform.num_frames

    @property
    def num_features(self) -> int:
        """d."""
        return self.transform.num_features

    def score(self, x: Tensor, t: DiffusionTime) -> Tensor:
        """grad log p_t(x) in scaled coordinates: -epsilon(x, t) / sigma_t.

        Args:
            x: (batch, N, d) in scaled coordinates.
            t: Diffusion time, a number or (batch,), within the trained range (1e-2 to 8 unless told otherwise).

        Raises:
            InputError: For a time outside the trained range, or a wrong shape.
        """
        _checks.sequences("x", x, self.num_frames, self.num_features)
        time = _checks.diffusion_time(t, len(x), x, allow_zero=False)
        low, high = self.training.min_time, self.training.max_time
        if float(time.min()) < low * (1 - TRAINED_SLACK) or float(time.max()) > high * (1 + TRAINED_SLACK):
            came = f"{float(time.min()):g} to {float(time.max()):g}"
            raise InputError(f"t must lie in the trained range [{low:g}, {high:g}], got {came}")
        parameter = next(self.network.parameters(), x)
        inside = x.to(parameter)
        epsilon = self.network(inside, time.to(inside).expand(len(x)))
        return diffusion.score_from_epsilon(epsilon.to(x), x, time)

    @cached_property
    def coordinates(self) -> str | None:
        """A label of the coordinates of :meth:`score`; None where nothing is scaled or subtracted."""
        return coordinates_of(self.transform)

    def scaled(self, process: GaussianLaw, *, start: Any = None) -> GaussianLaw:
        """``process`` in the coordinates of :meth:`score`, so that the two can be compared.

        It is the law of (x - m) / s for x ~ process; the fit subtracted m and divided by s. Use it as
        ``ks.metrics.score_kl(model.score, model.scaled(process))``. KL does not change under an invertible map, so the
        result is in nats of the data's own law, with noise added in scaled coordinates.

        Args:
            process: A Gaussian law of sequences (N, d) in the units of the data.
            start: Clock time of the first frame; needed where the model has a seasonal cycle, which is subtracted.

        Returns:
            A law of the same kind; ``process`` itself where nothing is scaled.

        Raises:
            InputError: The model has margins, so that no Gaussian law stays Gaussian; another shape; a process that is
                scaled already; no start.
            TypeError: ``process`` is not a Gaussian law.
        """
        return scaled_process(process, self.transform, self.coordinates, lambda: self.transform.clock_times(start, 1))

    def sample_values(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        sampler: str = "dpm-solver",
        num_calls: int = 64,
        denoise: bool = True,
        grid: str = "uniform",
        batch_size: int = 1000,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[np.ndarray, pd.DatetimeIndex | None]:
        """As :meth:`sample`, but as (n, N, d) float64 values and the starts that date them (None without)."""
        generator = _checks.generator_or_seed_zero(generator)
        _checks.count("n", n)
        refuse_draws(n, self.num_frames, self.num_features)
        times = self.training.min_time, self.training.max_time
        table = sampler_table(sampler, num_calls, grid, times, self._gaussian)
        scaled = sampling.sample(
            self.score,
            (n, self.num_frames, self.num_features),
            table,
            generator=generator,
            device=next((p.device for p in self.network.parameters()), torch.device("cpu")),
            batch_size=batch_size,
            denoise=denoise,
            progress=progress,
        )
        starts = self._dates(n, generator)
        return self.transform.invert(scaled.cpu().double().numpy(), starts), starts

    def sample(
        self, n: int, *, generator: torch.Generator | None = None, **options: Unpack[SampleOptions]
    ) -> Tensor | np.ndarray | xr.DataArray | xr.Dataset:
        """Draw ``n`` new sequences, in the units and the container of the data.

        Args:
            n: How many.
            generator: None means seed 0. A draw does not depend on ``batch_size``.
            **options: sampler (a name in ``sampling.SAMPLERS``), num_calls (besides one
                call that corrects the start), grid ("uniform", or "optimised" for the learnt law, which few calls
                then reach and which needs no call for the start), batch_size, progress, and denoise: whether
                the last step goes from min_time to 0, by Tweedie's formula after fresh noise that keeps the variance;
                without it the sequences keep the noise of min_time, of variance 1 - exp(-min_time) in scaled
                coordinates.

        Returns:
            A tensor, numpy array or xarray object like what :func:`kronoscope.fit` was given. With a seasonal cycle
            each sequence gets the date of a training sequence drawn at random.
        """
        check_keywords("sample", options, ["generator", *SampleOptions.__annotations__])
        values, starts = self.sample_values(n, generator=generator, **options)
        dated = starts if self.transform.num_harmonics else None
        return self._format.wrap(values, dated)

    @cached_property
    def is_affine(self) -> bool:
        """Whether the learnt score is affine in x, so that the learnt law is Gaussian; tried on random sequences."""
        probe = self.training.min_time, self.num_frames, self.num_features, self._device
        return is_affine(self._double.score, *probe)

    def law(self) -> LearntLaw | LearntMixture:
        """The Gaussian law that an affine score learnt, of the noised data and of the data, in scaled coordinates.

        Read off the score at the lowest trained time in float64; computed once. Of network "mixture" it is the mixture
        that its parameters hold.

        Raises:
            InputError: The score is not affine, is not the gradient of a density, or N d is above 4096.
        """
        return self._law

    def _gaussian(self) -> GaussianLaw | None:
        law = self.law().data if self.has_law else None
        return law if isinstance(law, GaussianLaw) else None

    @cached_property
    def has_law(self) -> bool:
        """Whether :meth:`law` exists: the affine score of a briefly trained network may not be a gradient."""
        try:
            return self.law() is not None
        except InputError:
            return False

    @cached_property
    def generated_law(self) -> DenseGaussian:
        """The exact law of what :meth:`sample` draws with an affine score, in scaled coordinates.

        It always is a law, as that of an affine map of noise, and weighs the score at every time, not at the lowest
        alone. Eigenvalues below the floor of :class:`LearntLaw` are raised to it.

        Raises:
            InputError: The score is not affine, or N d is above 4096.
        """
        times = self.training.min_time, self.training.max_time
        table = sampling.dpm_solver(64, *times).with_corrected_start()
        frames, features = self.num_frames, self.num_features
        score = self._double.score
        law = sampling.law(table, score, frames, features, denoise=True, device=self._device)
        return with_floor(law, times[0], features)

    @cached_property
    def _law(self) -> LearntLaw | LearntMixture:
        if isinstance(self.network, MixtureTransformer):
            return learnt_mixture(self.network, self.training.min_time)
        if not self.is_affine:
            raise InputError(
                "the score is not affine in x, so the learnt distribution is not Gaussian and has no closed "
                "form; use sample"
            )
        return learnt_law(self._double.score, self.training.min_time, self.num_frames, self.num_features, self._device)

    @cached_property
    def _double(self) -> Model:
        return replace(self, network=copy.deepcopy(self.network).double())

    @property
    def _device(self) -> torch.device:
        return next((p.device for p in self.network.parameters()), torch.device("cpu"))

    def condition_on(
        self,
        mask: Array,
        values: Array,
        *,
        start: Any = None,
        method: str | None = None,
        num_calls: int = 64,
        generator: torch.Generator | None = None,
    ) -> ConditionalSequence:
        """The learnt law of a sequence given some of its entries, in the units of the data.

        Args:
            mask: (N, d), bool; True = observed.
            values: (N, d) in the units of the data; entries that are not observed may be NaN.
            start: Clock time of the first frame; needed where the model has a seasonal cycle.
            method: "exact" conditions the Gaussian law of an affine score: :meth:`law`, or :attr:`generated_law` unless
                the model :attr:`has_law`. "replacement", "dps" and "mmps" guide any score
                (:func:`kronoscope.sampling.sample_given`). None takes "exact" where the score is affine, else "mmps".
            num_calls: Score calls of the guided methods.
            generator: Of the seed of mean and intervals where they come from draws; None means seed 0.

        Returns:
            What has ``.mean``, ``.sample(n)`` and ``.interval(level)``.

        Raises:
            InputError: Shapes, an observed value that is not finite, no start, or a method that does not apply.
            TypeError: ``mask`` is not boolean.
        """
        observed, given = entries(mask, values, (self.num_frames, self.num_features))
        method = choose_method(method, self.is_affine, self.has_law)
        law = None
        if method == "exact":
            law = self.law().data if self.has_law else self.generated_law
        return condition(
            observed,
            given,
            method=method,
            law=law,
            guided=guided(self.score, self.network, self.training, method, num_calls),
            transform=self.transform,
            format=self._format,
            starts=self.transform.clock_times(start, 1),
            seed=0 if generator is None else int(torch.randint(2**62, (), generator=generator)),
        )

    @property
    def _format(self) -> SequenceFormat:
        return SequenceFormat(self.container, self.feature_names, self.returns_tensor)

    def log_prob(
        self,
        x: Tensor | np.ndarray,
        *,
        starts: Any = None,
        of: str = "noised",
        num_steps: int = 32,
        num_probes: int | None = None,
        generator: torch.Generator | None = None,
    ) -> sampling.FlowLikelihood:
        """Log density in nats of sequences in the units of the data, the change of variables included.

        That of the scaling and, entry by entry, of the margins (:meth:`data.Transform.log_slope`).

        Args:
            x: (n, N, d), in the units of the data.
            starts: Clock times of their first frames; needed where the model has a seasonal cycle.
            of: "noised": the law of x_0 + sqrt(expm1(t0)) eps in scaled coordinates, x_t0 / alpha_t0, which every
                score determines: exact for an affine score of a law, else by the probability flow. "data": that of
                the data, for an affine score of a law only, :attr:`LearntLaw.data`.
            num_steps, num_probes, generator: See :func:`kronoscope.sampling.flow_log_prob`.

        Returns:
            Values with standard errors; ``kind`` is "exact" where nothing was integrated.

        Raises:
            InputError: A wrong shape, values that are not finite, or no law of the data to read off.
        """
        return log_density(
            x,
            starts,
            of,
            transform=self.transform,
            law=self.law() if of == "data" or self.has_law else None,
            score=self._double.score,
            times=(self.training.min_time, self.training.max_time),
            device=self._device,
            num_steps=num_steps,
            num_probes=num_probes,
            generator=generator,
        )

    def _dates(self, n: int, generator: torch.Generator) -> pd.DatetimeIndex | None:
        if self.training_starts is None or not self.transform.num_harmonics:
            return None
        chosen = torch.randint(len(self.training_starts), (n,), generator=generator)
        return self.training_starts[chosen.numpy()]

    def plot(
        self,
        real: Array | None = None,
        what: str | None = None,
        *,
        num_samples: int = 500,
        generator: torch.Generator | None = None,
    ) -> report.Plot:
        """A figure of the run page: the training by itself, or what the model draws beside real sequences.

        Args:
            real: Real sequences like those of the fit (tensor, array, xarray object); None for the training alone.
            what: "training" (the loss by step), "lags" (autocorrelation by lag, with the band of the real ones),
                "features" (correlation between features) or "sequences" (single ones, mean and 90 % band). None is
                "lags" where ``real`` is given, else "training".
            num_samples: Sequences to draw; fewer where they are long.
            generator: None means seed 0.

        Returns:
            A ``matplotlib.figure.Figure``.

        Raises:
            InputError: Another ``what``, no real sequences where they are needed, or some of another shape.
        """
        return draw_model(self, real, what, num_samples, _checks.generator_or_seed_zero(generator))

    def save(self, folder: str | os.PathLike[str], force: bool = False) -> Path:
        """Write a run folder of safetensors and JSON, which :func:`kronoscope.load` reads."""
        return run_folder.save(folder, self.settings(), self.result(), self.network.state_dict(), force)

    def settings(self) -> dict[str, Any]:
        """The settings of the fit, as in ``run.json``."""
        return {
            "format": run_folder.FORMAT,
            "network": {"name": self.network_name, "options": self.network_options},
            "num_frames": self.num_frames,
            "num_features": self.num_features,
            "training": self.training.to_json(),
            **{k: self.record[k] for k in ("fit", "source", "data", "split", "environment") if k in self.record},
        }

    def result(self) -> dict[str, Any]:
        """The result of the fit without the parameters, as in ``result.json``."""
        starts = self.training_starts
        return {
            "transform": self.transform.to_json(),
            "container": self.container.to_json(),
            "feature_names": list(self.feature_names),
            "training_starts": None if starts is None else [stamp.isoformat() for stamp in starts],
            "returns_tensor": self.returns_tensor,
            "record": self.record,
        }

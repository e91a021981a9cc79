"""What the audit measures, against other software, automatic differentiation and loops."""

import numpy as np
import pytest
import scipy.signal
import scipy.stats
import torch
import xarray as xr
from tolerances import relative_error

from kronoscope import metrics
from kronoscope._errors import InputError
from kronoscope.auditing import joint, marginals, memory, moments, spectra, structure
from kronoscope.auditing.pool import Pool
from kronoscope.auditing.resampling import Exchange, Flips
from kronoscope.auditing.run import audit
from kronoscope.auditing.tally import Tally

FLOAT32 = 2e-5  # products over relabellings are in float32


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sequences(n=40, frames=7, features=3, seed=0):
    x = torch.randn(n, frames, 3, generator=generator(seed), dtype=torch.float64)
    mixing = torch.tensor([[1.0, 0.6, 0.0], [0.0, 1.0, -0.4], [0.0, 0.0, 2.0]], dtype=torch.float64)
    x = x.cumsum(dim=1) * torch.linspace(1, 0.5, frames, dtype=torch.float64)[:, None]
    return (x @ mixing)[..., :features] + 5.0


def pool_of(x, names=None):
    names = names or tuple("abc"[: x.shape[2]])
    return Pool(x, names, ("m", "s", "")[: x.shape[2]])


class Recorder(Tally):
    """A tally that keeps every cell it is given."""

    def __post_init__(self):
        super().__post_init__()
        self.seen = []

    def count(self, psi, contrast, label, unit="", factor=1.0, values=None, toward=0, keep=None, terms=None):
        kept = torch.ones(psi.shape[1], dtype=torch.bool) if keep is None else keep
        factors = torch.as_tensor(factor, dtype=torch.float64).expand(psi.shape[1])
        means = self.relabelling.means(psi.double())
        shown = values if values is not None else [m * factors for m in means]
        for j in kept.nonzero().flatten().tolist():
            self.seen.append((label(j), psi[:, j].double(), contrast[:, j], float(shown[0][j]), float(shown[1][j])))
        super().count(psi, contrast, label, unit, factor, values, toward, keep, terms)

    def cell(self, label):
        found = [one for one in self.seen if one[0] == label]
        assert len(found) == 1, (label, [one[0] for one in self.seen][:20])
        return found[0]


@pytest.fixture
def setting():
    x = sequences()
    return x, pool_of(x), Exchange(25, 15, 49, generator(3))


def linear_part(functional, count):
    """T times the derivative of a functional of weighted sequences at equal weights, centred: the influence."""
    weights = torch.full((count,), 1 / count, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(functional(weights), weights)
    return gradient - gradient.mean()


def test_covariances_and_correlations_are_those_of_loops(setting):
    x, pool, relabelling = setting
    covariance, own, cross = (Recorder(relabelling) for _ in range(3))
    moments.covariances(pool, covariance, own, cross)
    z = (x - x.mean(dim=0)).numpy()
    lag, a, b = 2, 0, 1
    products = np.mean([z[:, i, a] * z[:, i + lag, b] for i in range(z.shape[1] - lag)], axis=0)
    _, _, _, real, generated = covariance.cell("covariance of a with b 2 frames later")
    np.testing.assert_allclose([real, generated], [products[:25].mean(), products[25:].mean()], rtol=FLOAT32)

    def correlation(weights, lag, a, b):
        w = weights.detach().numpy() if isinstance(weights, torch.Tensor) else weights
        c = sum(np.einsum("t,t->", w, z[:, i, a] * z[:, i + lag, b]) for i in range(z.shape[1] - lag))
        scale = [np.einsum("t,ti->", w, z[:, :, k] ** 2) / z.shape[1] for k in (a, b)]
        return c / (z.shape[1] - lag) / np.sqrt(scale[0] * scale[1])

    first = np.r_[np.full(25, 1 / 25), np.zeros(15)]
    for tally, label, (a, b) in (
        (cross, "correlation of a with b 2 frames later", (0, 1)),
        (own, "correlation of b with itself 2 frames later", (1, 1)),
    ):
        *_, real, _generated = tally.cell(label)
        assert real == pytest.approx(correlation(first, 2, a, b), rel=FLOAT32)


def test_correlations_move_with_the_weights_as_autograd_says(setting):
    x, pool, relabelling = setting
    covariance, own, cross = (Recorder(relabelling) for _ in range(3))
    moments.covariances(pool, covariance, own, cross)
    z = x - x.mean(dim=0)

    def correlation(w):
        top = torch.einsum("t,ti->", w, z[:, :-3, 2] * z[:, 3:, 0]) / (z.shape[1] - 3)
        bottom = [torch.einsum("t,ti->", w, z[..., k].square()) / z.shape[1] for k in (2, 0)]
        return top / (bottom[0] * bottom[1]).sqrt()

    _, psi, contrast, *_ = cross.cell("correlation of c with a 3 frames later")
    expected = linear_part(correlation, len(x))
    assert relative_error(psi - psi.mean(), expected) < FLOAT32
    np.testing.assert_allclose(contrast, relabelling.weights.double() @ expected, atol=1e-4)


def test_products_in_pieces_equal_products_at_once(setting, monkeypatch):
    _, pool, relabelling = setting

    def largest():
        tallies = [Tally(relabelling) for _ in range(4)]
        moments.covariances(pool, *tallies[:3])
        spectra.coherence(pool, tallies[3])
        return [(t.largest, t.cells) for t in tallies]

    whole = largest()
    monkeypatch.setattr(moments, "VALUES", 1)
    for (one, cells), (two, others) in zip(whole, largest()):
        assert cells == others
        torch.testing.assert_close(one, two, rtol=FLOAT32, atol=0)


def test_every_pair_is_counted_once(setting):
    _, pool, relabelling = setting
    covariance, own, cross = (Tally(relabelling) for _ in range(3))
    moments.covariances(pool, covariance, own, cross)
    frames, d = 7, 3
    natural = d * (d + 1) // 2 + (frames - 1) * d * d
    assert covariance.cells == 2 * natural + frames
    assert cross.cells == d * (d - 1) // 2 + (frames - 1) * d * (d - 1)
    assert own.cells == (frames - 1) * (d + 2)


def test_power_is_that_of_scipy(setting):
    x, pool, relabelling = setting
    tally = Recorder(relabelling)
    spectra.spectrum(pool, tally)
    z = (x - x.mean(dim=0)).numpy()
    taper = np.sin(np.pi * np.arange(1, 8) / 8)
    _, both = scipy.signal.periodogram(z, window=taper, detrend=False, axis=1, return_onesided=False)
    *_, real, generated = tally.cell("power of b at a period of 3.5 frames")
    np.testing.assert_allclose([real, generated], [both[:25, 2, 1].mean(), both[25:, 2, 1].mean()], rtol=1e-6)


def test_coherency_moves_with_the_weights_as_autograd_says(setting):
    x, pool, relabelling = setting
    tally = Recorder(relabelling)
    spectra.coherence(pool, tally)
    z = x - x.mean(dim=0)
    taper = torch.sin(torch.pi * torch.arange(1, 8, dtype=torch.float64) / 8)
    f = torch.fft.fft(z * taper[:, None], dim=1)[:, 2]

    def coherency(w):
        cross = torch.sum(w * (f[:, 0] * f[:, 1].conj()).imag)
        return cross / (torch.sum(w * f[:, 0].abs() ** 2) * torch.sum(w * f[:, 1].abs() ** 2)).sqrt()

    _, psi, _, real, _ = tally.cell("coherency of a with b at a period of 3.5 frames, in quadrature")
    assert relative_error(psi - psi.mean(), linear_part(coherency, len(x))) < 1e-9
    first = torch.cat([torch.full((25,), 1 / 25), torch.zeros(15)]).double()
    assert real == pytest.approx(float(coherency(first)), rel=1e-6)


def test_whitened_sequences_are_white_where_the_pool_is_separable():
    gamma = torch.exp(-(torch.arange(6.0)[:, None] - torch.arange(6.0)).abs() / 4).double()
    sigma = torch.tensor([[1.0, 0.7], [0.7, 1.0]], dtype=torch.float64)
    z = torch.randn(20000, 6, 2, generator=generator(), dtype=torch.float64)
    x = torch.linalg.cholesky(gamma) @ z @ torch.linalg.cholesky(sigma).T
    u = pool_of(x).u.flatten(1)
    assert float((u.T.cov() - torch.eye(12)).abs().max()) < 0.05  # five standard errors of a correlation


def test_shares_and_tails_are_counted(setting):
    x, pool, relabelling = setting
    tally = Recorder(relabelling)
    marginals.marginals(pool, tally)
    median = np.sort(x[..., 1].flatten().numpy())[139]
    label = f"share of the values of b at or below {median:.4g} s"
    *_, real, generated = tally.cell(label)
    expected = [100 * float((x[part, :, 1] <= median).double().mean()) for part in (slice(25), slice(25, None))]
    np.testing.assert_allclose([real, generated], expected, rtol=1e-6)
    tally = Recorder(relabelling)
    marginals.tails(pool, tally)
    *_, real, generated = tally.cell("largest value of c in a sequence, on average")
    highest = x[..., 2].amax(dim=1)
    np.testing.assert_allclose([real, generated], [highest[:25].mean(), highest[25:].mean()], rtol=1e-6)
    assert tally.cell("share of the values of a that repeat the previous frame exactly")[3:] == (0.0, 0.0)


def test_energy_distance_is_that_of_the_metric_and_of_scipy(setting):
    _, pool, relabelling = setting
    energy, diversity = Tally(relabelling), Tally(relabelling)
    joint.distances(pool, energy, diversity)
    scaled = pool.x / np.sqrt(21)
    expected = metrics.energy_distance(scaled[:25], scaled[25:])
    assert energy.worst[0].effect == pytest.approx(expected.value, abs=1e-5)
    line = pool_of(sequences(30, 1, 1))
    one = Exchange(18, 12, 9, generator())
    energy, diversity = Tally(one), Tally(one)
    joint.distances(line, energy, diversity)
    flat = line.x.flatten().numpy()
    biased = scipy.stats.energy_distance(flat[:18], flat[18:]) ** 2
    pairs = [np.abs(p[:, None] - p).sum() for p in (flat[:18], flat[18:])]
    unbiased = biased + pairs[0] * (1 / 18**2 - 1 / (18 * 17)) + pairs[1] * (1 / 12**2 - 1 / (12 * 11))
    assert energy.worst[0].effect == pytest.approx(unbiased, abs=1e-5)
    spread = next(f for f in diversity.worst if "mean distance" in f.label)
    assert spread.real == pytest.approx(pairs[0] / (18 * 17), rel=1e-5)
    assert spread.generated == pytest.approx(pairs[1] / (12 * 11), rel=1e-5)


def test_kernel_distance_is_that_of_loops(setting):
    _, pool, relabelling = setting
    tally = Tally(relabelling)
    joint.kernel_distance(pool, tally)
    u = pool.u.flatten(1).numpy()
    squared = ((u[:, None] - u) ** 2).sum(-1)
    median = np.sort(squared[squared > 1e-6].ravel())[(squared > 1e-6).sum() // 2 - 1]
    kernel = np.mean([np.exp(-squared / (2 * w**2 * median)) for w in (0.5, 1.0, 2.0)], axis=0)
    np.fill_diagonal(kernel, 0)
    n, m = 25, 15
    value = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1)) - 2 * kernel[:n, n:].mean()
    assert tally.worst[0].effect == pytest.approx(value, abs=1e-4)


def test_classifier_area_is_that_of_mann_whitney_and_every_fold_is_unseen(monkeypatch):
    x = sequences(60)
    x[30:] *= 1.5
    pool, relabelling = pool_of(x), Exchange(30, 30, 9, generator(1))
    seen = {}
    area = joint._area
    monkeypatch.setattr(joint, "_area", lambda scores, r: seen.setdefault("scores", scores) is None or area(scores, r))
    tally = Tally(relabelling)
    joint.classifier(pool, tally, generator(2))
    scores = seen["scores"].numpy()
    u = scipy.stats.mannwhitneyu(scores[30:], scores[:30]).statistic
    assert tally.worst[0].effect == pytest.approx(u / 900, abs=1e-6)
    phi = joint._features(pool, generator(2)).numpy()
    fold = relabelling.folds(joint.FOLDS)[0].numpy()
    rest = np.setdiff1d(np.arange(60), fold)
    labels = -60 / 2 * relabelling.weights[0].double().numpy()
    known = phi[rest] - phi[rest].mean(axis=0)
    ridge = max(phi.shape[1], 60 // 4)
    stacked = np.vstack([known, np.sqrt(ridge) * np.eye(phi.shape[1])])
    target = np.concatenate([labels[rest] - labels[rest].mean(), np.zeros(phi.shape[1])])
    coefficients = np.linalg.lstsq(stacked, target, rcond=None)[0]
    np.testing.assert_allclose(scores[fold], (phi[fold] - phi[rest].mean(axis=0)) @ coefficients, atol=1e-8)


def test_degrees_are_zero_for_products_and_known_for_one_that_leads():
    n = 4000
    z = torch.randn(n, 9, 2, generator=generator(), dtype=torch.float64)
    even = (z[:, 1:] + z[:, :-1]) / 2**0.5
    leading = torch.stack([z[:, 1:, 0], z[:, :-1, 0]], dim=-1)  # the second feature is the first one frame later
    x = torch.cat([even, leading])
    relabelling = Exchange(n, n, 19, generator())
    separable, direction = Tally(relabelling), Recorder(relabelling)
    structure.separability(pool_of(x), separable)
    structure.asymmetry(pool_of(x), direction)
    degree = direction.cell("share of the dependence across frames that is asymmetric in time")
    assert degree[3] < 0.01
    assert degree[4] == pytest.approx(1.0, abs=0.05)
    assert separable.largest[0] == separable.largest.max()


def test_few_lags_are_all_or_spread():
    assert structure.few_lags(5) == [1, 2, 3, 4]
    lags = structure.few_lags(200)
    assert len(lags) <= structure.MOST_LAGS
    assert lags[:8] == list(range(1, 9))
    assert lags[-1] == 199
    assert lags == sorted(set(lags))


def test_memorisation_counts_nearest_neighbours():
    held_out, training, new = sequences(12, seed=1), sequences(20, seed=2), sequences(30, seed=3)
    pool, relabelling = pool_of(torch.cat([held_out, training])), Exchange(12, 20, 9, generator())
    tally = Recorder(relabelling)
    memory.memorisation(pool, new, tally)
    scaled = [(v - pool.values.mean(dim=0)).div(pool.scale).flatten(1) for v in (pool.values, new)]
    nearest = torch.cdist(scaled[1], scaled[0]).argmin(dim=1)
    label = "generated sequences whose nearest real neighbour is in this set, per real sequence"
    assert tally.cell(label)[3] == pytest.approx(int((nearest < 12).sum()) / 12, rel=1e-6)
    assert tally.cell(label)[4] == pytest.approx(int((nearest >= 12).sum()) / 20, rel=1e-6)


def test_scale_is_the_spread_over_relabellings(setting):
    x, _, _ = setting
    many = Exchange(25, 15, 20000, generator(5))
    psi = x.mean(dim=1)
    spread = many.contrast(psi)[1:].std(dim=0)
    np.testing.assert_allclose(many.scale(psi), spread, rtol=0.03)  # six standard errors of a deviation
    pairs = Flips(20, 2, 20000, generator(6))
    root = pairs.contrast(psi)[1:].square().mean(dim=0).sqrt()
    np.testing.assert_allclose(pairs.scale(psi), root, rtol=0.03)  # all 40 sequences: 10 pairs of 2 and 2


@pytest.mark.parametrize(("n", "odd"), [(12, 0), (12, 7), (15, 0), (30, 0)])
def test_a_set_against_itself_passes_however_many_ties(n, odd):
    """All sequences but one alike, and no change in time: neighbours are ties, correlations 1 up to rounding."""
    x = torch.zeros(n, 3, 1, dtype=torch.float64)
    x[odd] = 1
    assert audit(x, x, num_draws=199).passed


def test_what_was_trained_on_can_be_told_in_either_way():
    g = generator()
    seen, unseen = (torch.randn(40, 4, 2, generator=g) for _ in range(2))
    copies = seen[torch.randint(40, (40,), generator=g)] + 0.01 * torch.randn(40, 4, 2, generator=g)
    one = audit(seen, copies, unseen, num_draws=199)
    two = audit(unseen, copies, training=seen, num_draws=199)
    assert one.question("memorisation").rejected
    assert two.question("memorisation").rejected
    assert (one.num_held_out, one.num_training) == (two.num_held_out, two.num_training) == (40, 40)
    fresh = audit(unseen, torch.randn(40, 4, 2, generator=g), training=seen, num_draws=199)
    assert not fresh.question("memorisation").rejected
    with pytest.raises(InputError, match="not both"):
        audit(seen, copies, unseen, training=seen)
    with pytest.raises(InputError, match="training must hold at least 10"):
        audit(unseen, copies, training=seen[:5])


def test_the_metrics_of_papers_stand_on_the_page_and_decide_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics.learners, "STEPS", 3)
    x = torch.randn(80, 3, 2, generator=generator())
    plain, told = (audit(x[:40], x[40:], num_draws=99, published=wanted) for wanted in (False, True))
    assert plain.questions == told.questions
    assert [one.name for one in told.published] == list(metrics.PUBLISHED)
    page = told.to_html(tmp_path / "a.html").read_text()
    assert "Context-FID" in page
    assert "The metrics that papers report" not in plain.to_html(tmp_path / "b.html").read_text()


def test_area_counts_ties_half():
    scores = torch.tensor([0.0, 1.0, 1.0, 2.0, 1.0, 1.0, 0.0, 3.0])
    area, _ = joint._area(scores, Exchange(4, 4, 3, generator()))
    u = scipy.stats.mannwhitneyu(scores[4:], scores[:4]).statistic
    assert area == pytest.approx(u / 16)


def test_heavy_tails_are_audited_and_gaps_are_refused():
    x, y = (torch.from_numpy(scipy.stats.t.rvs(1.2, size=(60, 6, 2), random_state=k)) for k in (0, 1))
    result = audit(x, y, num_draws=99)
    assert any("interquartile" in note for note in result.notes)
    y[3, 2, 1] = torch.nan
    with pytest.raises(InputError, match="generated must have no missing values"):
        audit(x, y, num_draws=99)
    with pytest.raises(InputError, match="generated must have no missing values"):
        audit(x, xr.DataArray(y.numpy(), dims=("sequence", "frame", "feature")), num_draws=99)

"""What public objects say of themselves: a short repr, a table in a notebook, a DataFrame of their rows."""

import dataclasses
import importlib
import inspect
from html.parser import HTMLParser

import pytest
import torch
from compiler_cases import separable
from model_cases import PROCESS, SIGMA, fitted, seeded, values

import kronoscope as ks
from kronoscope._display import LONGEST, MOST_ROWS, Displayed, Tabular, Uncertain, columns_of

HOSTILE = '<script>alert("x")</script> & a name that is long ' * 9


def audited():
    return ks.audit(values(30), values(60)[30:] + 3.0, num_draws=19, generator=seeded(1))


def compiled():
    return ks.compile_score(separable(), tolerance=0.05)


def probed():
    return ks.probes.jacobian(PROCESS.score, PROCESS, num_samples=4)


def attended():
    network = ks.nn.UnrolledTransformer(4, 2)
    return ks.probes.attention(network, torch.zeros(2, 4, 2))


def conditioned():
    mask = torch.zeros(4, 2, dtype=torch.bool)
    mask[:2] = True
    return PROCESS.condition_on(mask, values(1)[0])


OBJECTS = {
    "model": (
        fitted,
        [
            "network=position",
            "parameters=",
            "frames=4",
            "features='2 (feature_0, feature_1)'",
            "36 of 40",
            "held_out_loss=",
            "nats",
        ],
    ),
    "process": (
        lambda: PROCESS,
        ["frames=4", "features=2", "PowerExponential(lengthscale=3.0", "0 to 3, step 1", "mean=zero"],
    ),
    "sum": (
        lambda: ks.processes.KroneckerSum(
            [(ks.kernels.White(), SIGMA), (ks.kernels.Cosine(4.0), SIGMA)], [0.0, 1.0, 5.0]
        ),
        ["terms=2", "White", "Cosine", "frames=3", "irregular"],
    ),
    "dense": (lambda: ks.estimators.SampleCovariance().fit(values()), ["DenseGaussian", "frames=4", "parameters=36"]),
    "separable": (
        lambda: ks.estimators.Separable().fit(values()),
        ["SeparableGaussian", "features=2", "parameters=12"],
    ),
    "block-Toeplitz": (lambda: ks.estimators.BlockToeplitz().fit(values()), ["BlockToeplitzSequence", "parameters=15"]),
    "estimator": (lambda: ks.estimators.Separable(mean="free"), ["Separable(", "mean=free"]),
    "conditional": (conditioned, ["DenseConditional", "observed=4 of 8 entries"]),
    "kernel": (lambda: ks.kernels.Matern(4.0, 1.5), ["Matern(lengthscale=4.0, smoothness=1.5)"]),
    "audit": (audited, ["passed=False", "real=30", "generated=30", "alpha=0.05", "frames=4", "worst=", "p = 0.05"]),
    "question": (lambda: audited().question("mean"), ["name=mean", "rejected=True", "interval=(", "detectable="]),
    "cell": (lambda: audited().question("mean").cells[0], ["label=", "real=", "generated=", "effect="]),
    "compiled score": (compiled, ["bound=0.0", "times=0.01 to 6", "iteration=chebyshev", "depth=", "parameters="]),
    "certificate": (lambda: compiled().certificate, ["bound=0.0", "measured=", "nats", "depth=", "weight_norm="]),
    "score error": (
        lambda: ks.metrics.score_kl(lambda x, t: PROCESS.score(x, t) * 1.1, PROCESS, num_samples=512),
        ["value=", " +- ", "nats", "kind=monte carlo", "0.01 to 6"],
    ),
    "energy distance": (lambda: ks.metrics.energy_distance(values(20), values(20) + 1), ["value=", " +- "]),
    "published": (
        lambda: ks.metrics.published_metrics(values(), values(), names=["correlational score"])[0],
        ["correlational score", "value=", "real_against_real=", "difference=", " +- "],
    ),
    "band": (
        lambda: ks.metrics.correlation_band(values(), block=1, num_draws=20),
        ["lags=4", "features=2", "level=0.95"],
    ),
    "likelihood": (lambda: fitted().log_prob(values(5)), ["sequences=5", "mean=", " +- ", "nats a sequence", "kind="]),
    "jacobian": (probed, ["t=0.2", "frames=4", "features=2", "relative_error=", "asymmetry="]),
    "kernel fit": (lambda: probed().fit_kernel(), ["lengthscale=3 +- ", "frames", "exponent=1 +- "]),
    "measured": (lambda: probed().lag_profile(), ["float64 array (4)", "freedom="]),
    "attention": (attended, ["heads=", "frames=4", "t="]),
    "alignment": (lambda: ks.probes.alignment(SIGMA, SIGMA, rotations=19), ["cosine=1", "p_value=0.05", "degrees"]),
    "spectrum": (lambda: ks.probes.spectrum(SIGMA, SIGMA, draws=19), ["distance=0", "null_distance=", "p_value=0.05"]),
    "sampler": (lambda: ks.sampling.SAMPLERS["dpm-solver"](16, 0.01, 8.0), ["score_calls=16", "8 to 0.01"]),
    "data": (
        lambda: ks.data.from_array(values()),
        ["sequences=40", "frames=4", "features='2 (feature_0, feature_1)'", "missing_values=0"],
    ),
    "split": (lambda: ks.data.split(ks.data.from_array(values())), ["train=36", "validation=4", "test=0"]),
    "transform": (lambda: fitted().transform, ["frames=4", "features=2", "mean=False", "margins=False"]),
    "learnt law": (lambda: fitted(max_steps=60).generated_law, ["DenseGaussian", "frames=4"]),
}


class Closed(HTMLParser):
    """Complains about a tag that does not close; keeps the tags and the text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)
        assert not [value for name, value in attrs if name not in ("style",) or "url(" in value]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module", params=OBJECTS)
def shown(request):
    build, facts = OBJECTS[request.param]
    return build(), facts


def test_the_repr_is_one_short_line_with_the_essential_facts(shown):
    thing, facts = shown
    text = repr(thing)
    assert len(text) < 400
    assert "\n" not in text
    assert "tensor(" not in text
    assert "array([" not in text
    assert [fact for fact in facts if fact not in text] == []


def test_the_table_of_a_notebook_is_plain_html_that_names_the_object(shown):
    thing, _ = shown
    page = Closed(thing._repr_html_())
    assert type(thing).__name__ in page.text
    assert {"table", "td"} <= set(page.tags)
    assert not {"script", "style", "link"} & set(page.tags)


def test_a_frame_has_the_rows_under_plain_names(shown):
    thing, _ = shown
    if not isinstance(thing, Tabular):
        return
    frame = thing.to_frame()
    assert len(frame) >= 1
    assert all(name == name.strip() and "_" not in name for name in frame.columns)


def test_every_public_record_has_a_short_repr():
    """Whoever adds a record finds out here; the fields of the others are few and plain."""
    plain = {
        "auditing": set(),
        "compiler": {"ErrorAtTime", "Options"},
        "data": {"BlockGrid", "Coordinate", "CsvOptions", "FileSource", "Reading", "Scaling", "SplitRule"},
        "settings": set(ks.settings.__all__),
        "models": {"FitSettings", "HeadsChoice", "NetworkPreset"},
        "processes": {"Exactness", "SquaredError"},
        "report": {"Bar", "Column", "Estimate", "Number", "Text"},
        "training": {"Processes", "Progress", "RunCost", "TrainingConfig"},
        "kernels": {"Decay"},
        "video": {"Validation"},
    }
    missing = []
    for package in ks._SUBMODULES:
        module = importlib.import_module(f"kronoscope.{package}")
        exempt = plain.get(package, set())
        for name in module.__all__:
            kind = getattr(module, name)
            if inspect.isclass(kind) and dataclasses.is_dataclass(kind) and name not in exempt:
                written = getattr(kind.__repr__, "__wrapped__", None) is not None  # by the dataclass, field by field
                if written or not callable(getattr(kind, "_repr_html_", None)):
                    missing.append(f"{package}.{name}")
    assert missing == []


def test_numbers_of_the_frame_are_those_of_the_result():
    error = ks.metrics.score_kl(lambda x, t: PROCESS.score(x, t) * 1.1, PROCESS, num_samples=512)
    frame = error.to_frame()
    assert float((frame["integrand"] * frame["weight"]).sum()) == pytest.approx(error.value, rel=1e-9)
    result = audited()
    assert list(result.to_frame()["name"]) == [question.name for question in result.questions]
    assert bool(result.to_frame()["rejected"].any()) is not result.passed
    certificate = compiled().certificate
    assert (certificate.to_frame()["measured error"] < certificate.bound).all()
    band = ks.metrics.correlation_band(values(), block=1, num_draws=20)
    row = band.to_frame().set_index(["lag", "feature", "later feature"]).loc[(2, 0, 1)]
    assert row["correlation"] == float(band.center[2, 0, 1])


# --- the mechanism itself


@dataclasses.dataclass(frozen=True, repr=False)
class Record(Tabular):
    name: str
    numbers: tuple[float, ...]
    matrix: torch.Tensor
    _hidden: int = 3

    def _columns(self):
        return {"number": self.numbers, "name": [self.name] * len(self.numbers)}


def test_names_are_escaped_and_shortened():
    record = Record(HOSTILE, tuple(range(MOST_ROWS + 8)), torch.zeros(3, 3))
    assert len(repr(record)) <= LONGEST
    page = Closed(record._repr_html_())
    assert "script" not in page.tags
    assert "<script>" in page.text
    assert "8 more rows" in page.text
    assert "hidden" not in repr(record)


def test_a_repr_with_too_many_facts_ends_in_three_dots():
    wide = dataclasses.make_dataclass("Wide", [(f"field_{i}", str) for i in range(40)], bases=(Displayed,), repr=False)
    text = repr(wide(*["a fact of some length"] * 40))
    assert len(text) <= LONGEST
    assert text.endswith(", ...)")
    assert text.startswith("Wide(field_0=a fact of some length, ")


def test_numbers_are_rounded_to_what_is_known():
    record = Record("x", (), torch.zeros(3))
    assert "matrix=float32 array (3)" in repr(record)
    facts = {"a": Uncertain(0.123456, 0.01, "nats"), "b": 1.23456789, "c": 12345678, "d": float("nan"), "e": None}
    shown = dataclasses.make_dataclass(
        "Shown", [], bases=(Displayed,), repr=False, namespace={"_facts": lambda _: facts}
    )
    assert repr(shown()) == "Shown(a=0.1235 +- 0.01 nats, b=1.235, c=12345678, d=nan, e=None)"
    text = Closed(shown()._repr_html_()).text
    assert "0.123 ± 0.010 nats" in text
    assert "12\u202f345\u202f678" in text
    assert "nan" in text


def test_columns_of_records():
    assert columns_of([Record("a", (1.0,), torch.zeros(1))], "name", "numbers") == {"name": ["a"], "numbers": [(1.0,)]}

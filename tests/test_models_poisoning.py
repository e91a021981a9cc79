"""From file to trained weights: values of validation and test reach nothing that is fitted."""

import numpy as np
import pandas as pd
import pytest
import torch

from kronoscope import data, models

SETTINGS = models.FitSettings.for_input("table", "position", harmonics=1, test="weeks:5", validation=0.1, gap=1)
CONFIG = models.training_config("position", {"max_steps": 2, "keep": "last"})
DAYS = 300


def learnt(folder, table):
    path = folder / "table.csv"
    table.to_csv(path, index=False)
    days = data.read(path, time="when", timezone="UTC", frames=4)
    return models.fit_sequences(days, SETTINGS, CONFIG, folder / "run", force=True), days


@pytest.fixture(scope="module")
def clean():
    when = pd.date_range("2020-01-01", periods=4 * DAYS, freq="6h", tz="UTC").astype(str)
    rng = np.random.default_rng(0)
    return pd.DataFrame({"when": when, "a": rng.standard_normal(4 * DAYS), "b": rng.standard_normal(4 * DAYS)})


def rows_of(days, places):
    first = (days.starts[places] - pd.Timestamp("2020-01-01", tz="UTC")) // pd.Timedelta("6h")
    return (np.asarray(first)[:, None] + np.arange(4)).ravel()


def test_poison_in_held_out_rows_changes_neither_transform_nor_weights(tmp_path, clean):
    model, days = learnt(tmp_path, clean)
    parts = model.record["split"]
    assert len(parts["validation"]) > 20
    assert len(parts["test"]) > 40
    poisoned = clean.copy()
    poisoned.loc[rows_of(days, parts["validation"]), ["a", "b"]] = 1e6
    poisoned.loc[rows_of(days, parts["test"]), ["a", "b"]] = -1e9
    again, others = learnt(tmp_path, poisoned)
    assert not np.array_equal(days.values, others.values)
    assert again.record["split"] == parts
    assert again.transform.to_json() == model.transform.to_json()
    for name, weight in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], weight), name


def test_one_training_value_changes_both(tmp_path, clean):
    model, days = learnt(tmp_path, clean)
    touched = clean.copy()
    touched.loc[rows_of(days, model.record["split"]["train"][:1])[0], "a"] += 1.0
    again, _ = learnt(tmp_path, touched)
    assert again.transform.to_json() != model.transform.to_json()
    weights = again.network.state_dict()
    assert any(not torch.equal(weights[name], weight) for name, weight in model.network.state_dict().items())

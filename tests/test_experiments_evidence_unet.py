"""The page of DiT against U-Net: its verdict keeps to the intervals."""

import math

import numpy as np
import pytest

from kronoscope.report import Text
from kronoscope_evidence.networks import dit_unet, dit_unet_page

KERNELS = ("exponential", "polynomial", "oscillating")


def page(differences):
    """Of differences (value, lower, upper) by kernel, the same for every pair of networks."""
    entrants = [
        dit_unet.Entrant(who, budget, kernel, np.ones(2), np.ones((2, 3)), np.zeros(2), 1.0, 1.0, size, 2 * size)
        for kernel in KERNELS
        for (who, budget), size in zip(dit_unet.ENTRANTS, (90.0, 60.0, 100.0, 90.0, 100.0), strict=True)
    ]
    pairs = [
        dit_unet.Difference(who, budget, kernel, *told, 0 if math.isnan(told[0]) else 5)
        for who, budget in dit_unet.PAIRS
        for kernel, told in zip(KERNELS, differences, strict=True)
    ]
    truth, white = {kernel: [1.0, 0.5, 0.2] for kernel in KERNELS}, dict.fromkeys(KERNELS, 9.0)
    return dit_unet_page.page(dit_unet.Comparison(10, 5, truth, white, entrants, pairs, dit_unet.BUDGETS), False)


@pytest.mark.parametrize(
    ("differences", "value", "standing", "tally"),
    [
        ([(1.0, 0.5, 1.5)] * 3, "+1.00 nats", "good", "nearer on 3 kernels, the U-Net on 0, 0 of 3 undecided"),
        ([(-1.0, -1.5, -0.5)] * 3, "-1.00 nats", "good", "nearer on 0 kernels, the U-Net on 3, 0 of 3 undecided"),
        ([(1.0, 0.5, 1.5), (0.4, 0.1, 0.7), (-1.0, -2.0, -0.1)], "+0.40 nats", "neutral", "the U-Net on 1, 0 of 3"),
        (
            [(1.0, 0.5, 1.5), (0.4, -0.1, 0.9), (0.3, -2.0, 2.6)],
            "+0.40 nats",
            "neutral",
            "1 kernels, the U-Net on 0, 2",
        ),
        ([(1.0, -0.5, 2.5)] * 3, "undecided (+1.00 nats)", "bad", "3 of 3 undecided"),
        ([(1.0, None, None)] * 3, "undecided (+1.00 nats)", "bad", "3 of 3 undecided"),
        ([(float("nan"), None, None)] * 3, "none", "bad", "no pair"),
    ],
)
def test_the_sign_of_a_difference_is_only_as_good_as_its_intervals(differences, value, standing, tally):
    numbers = page(differences).verdict.numbers
    assert len(numbers) == len(dit_unet.PAIRS)
    for one in numbers:
        assert (one.value, one.standing) == (value, standing)
        assert tally in one.explanation


def test_the_page_says_what_would_refute_it_and_computes_what_it_says_of_sizes():
    (how,) = [block for block in page([(1.0, 0.5, 1.5)] * 3).sections[-1].blocks if isinstance(block, Text)]
    assert "would be refuted by an interval that covers 0" in how.text
    assert "90 % (DiT with a linear path), 60 % (DiT as for images)" in how.text
    assert "took 0.9 times in the same steps and 0.9 times in the same seconds what the U-Net's took" in how.text

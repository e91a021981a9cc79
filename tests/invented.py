"""Score errors without trainings, for pages of studies of learning: as the claims have it, the opposite, and noise."""

import math

from kronoscope.report import Table
from kronoscope_evidence.learning.learners import LEARNERS

SHAPED = ("unrolled", "unrolled-4", "stationary-separable")


def noise(job, size=0.03):
    """A factor near 1 that depends on the seed and the learner."""
    return 1 + size * ((7 * job.seed + 3 * list(LEARNERS).index(job.learner)) % 5 - 2)


def wanted(job):
    """Learners with the structure of the solver need fewer sequences, the more so the longer sequences are."""
    shaped = job.learner in SHAPED
    return 0.1 / job.n * job.frames ** (0.2 if shaped else 2.0) * (1 if shaped else 3) * noise(job)


def adverse(job):
    """They have larger errors, and errors fall like the root of n."""
    shaped = job.learner in ("unrolled", "unrolled-4")
    return 1 / job.n**0.5 * job.frames ** (2.0 if shaped else 0.2) * (3 if shaped else 1) * noise(job)


def unsettled(job):
    """Seeds differ by far more than learners."""
    draw = math.sin(97.0 * job.seed + 13.0 * len(job.learner) + 0.7 * (job.frames + len(job.kernel)))
    return 10 / job.n * job.frames * math.exp(2.5 * draw)


def advice(page):
    """Rows of the take-aways: what to do, because, row, column; none where the numbers settle nothing."""
    block = next(section for section in page.sections if section.title == "Recommendations").blocks[0]
    return block.rows if isinstance(block, Table) else ()


def words(page):
    """The subtitle and the take-aways."""
    return page.subtitle + " " + " ".join(" ".join(map(str, row)) for row in advice(page))


def supported(page):
    """Whether every take-away names a row and a column of a table of the page, whose cell is not empty."""
    tables = [b for s in page.sections if s.title != "Recommendations" for b in s.blocks if isinstance(b, Table)]
    cells = {
        (row[0], head.label)
        for table in tables
        for row in table.rows
        for cell, head in zip(row, table.columns, strict=True)
        if cell is not None
    }
    return all((row, column) in cells for _, _, row, column in advice(page))

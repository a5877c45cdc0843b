"""Whether two samples come from one distribution."""
import numpy as np
from scipy import stats

LEAST = 1e-3  # of a p-value; the draws are the same in each run, and so is what comes out
NUM = 5000


def differ(given, expected):
    """Where columns of two tables of draws differ, by Kolmogorov and Smirnov's test."""
    given, expected = (np.asarray(list(draws), dtype=float) for draws in (given, expected))
    assert given.shape[1:] == expected.shape[1:] and min(len(given), len(expected)) >= 500
    p_values = [stats.ks_2samp(a, b).pvalue for a, b in zip(given.T, expected.T)]
    return [(i, p) for i, p in enumerate(p_values) if p < LEAST]


def differ_in_counts(given, expected):
    """Where two samples of a few values differ, by the chi-squared test."""
    values = sorted({*given, *expected})
    table = [[list(draws).count(value) for value in values] for draws in (given, expected)]
    p_value = stats.chi2_contingency(table).pvalue
    return [p_value] if p_value < LEAST else []

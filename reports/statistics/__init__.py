"""Statistics of the report: values and frames in, values and frames out.

Seeds are replicates; arms are described. Single arms are not tested: with 3 seeds per side the
smallest two-sided p of a permutation test is .10, so no pair of arms can reach .05, whatever was
measured. Arms have intervals; factors are contrasted over all arms.

estimates: means, shares and differences with intervals · bootstrap: over seeds × examples, from 10
seeds · levels: factors over fixed arms · permutation: tests of terms and contrasts · holm ·
variance_shares: ω² · improvement: P(improve), Cliff's δ · survival: censored time to solve ·
prediction: whether a number predicts success · agreement: words of an arm. Power is in
study.design.power, which a plan needs before training.
"""

from reports.statistics.agreement import agreed_word, count
from reports.statistics.estimates import (
    NO_ESTIMATE,
    Array,
    Estimate,
    clamp,
    mean_interval,
    share_difference,
    share_over_arms,
    widen,
    wilson,
)
from reports.statistics.levels import Gap, level_gap, marginal_means, weighted_arms
from reports.statistics.prediction import Prediction, auc, predict, spearman

__all__ = [
    "NO_ESTIMATE",
    "Array",
    "Estimate",
    "Gap",
    "Prediction",
    "agreed_word",
    "auc",
    "clamp",
    "count",
    "level_gap",
    "marginal_means",
    "mean_interval",
    "predict",
    "share_difference",
    "share_over_arms",
    "spearman",
    "weighted_arms",
    "widen",
    "wilson",
]

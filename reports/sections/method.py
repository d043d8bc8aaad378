"""How everything on the page was measured and computed, with the thresholds of this study."""

from __future__ import annotations

from reports.blocks import Definitions, Prose, Section
from reports.data.study import Study
from reports.formatting import number


class Method:
    """Definitions in the order of the page; numbers come from the study's own health node."""

    title = "Method"
    needs = ()

    def render(self, study: Study) -> Section:
        health = study.health
        get = lambda key, digits=0: (
            number(float(health[key]), digits)
            if isinstance(health.get(key), int | float)
            else "n/a"
        )
        stages = ", ".join(f"{100 * float(share):g}" for share in health.get("stages", []))
        higher = "below" if study.higher_is_better else "above"
        return Section(
            [
                Prose(
                    "Gradients are total derivatives in fp64, taken on a fixed probe batch that is"
                    " the same for every point; clipping never touches them."
                ),
                Definitions(
                    [
                        (
                            "When",
                            (
                                f"Probes at {stages} % of the updates, on"
                                f" {health.get('examples', 'n/a')} examples."
                            ),
                        ),
                        (
                            "Loss profile",
                            (
                                "p(k) = ‖∂ℓ/∂h(a−k)‖ / ‖∂ℓ/∂h(a)‖ for an anchor step a, ℓ the loss"
                                " of step a alone, by layer. Per example, then the mean of"
                                " logarithms."
                            ),
                        ),
                        (
                            "Transport",
                            (
                                "The same with ℓ = u·s(a), u a random direction of unit norm drawn"
                                " for each example, s the states of all layers (LSTM: h and c). It"
                                " asks nothing of loss or readout, and it decides the state."
                            ),
                        ),
                        (
                            "D",
                            (
                                "log10 of the median over lags 0.9 K to K of the geometric-mean"
                                " transport, relative to lag 1. K is the task’s declared lag, at"
                                " most T − 1, else 90 % of the valid length."
                            ),
                        ),
                        (
                            "U",
                            (
                                "The largest, over lags up to K, of log10 of the root-mean-square"
                                " transport relative to lag 1: explosions live in the tail."
                            ),
                        ),
                        (
                            "State",
                            (
                                f"exploding U > {get('exploding')}; else vanishing D <"
                                f" {get('vanishing')}; fading D < {get('fading')}; else carrying;"
                                f" undefined where more than {get_percent(health.get('undefined'))}"
                                " of the examples are zero or non-finite. The default limits (1,"
                                " −2, −4) were read off one scan and held on other tasks, widths"
                                " and optimizers (experiment thresholds); the margin to the next"
                                " class is shown with every state."
                            ),
                        ),
                        (
                            "Verdict of a point",
                            (
                                "First state → last state, the last from the median D and U of the"
                                " final three probes. carries: carrying → carrying; opens:"
                                " vanishing or fading → carrying; shut: vanishing → vanishing;"
                                " closes: carrying or fading → vanishing; explodes: → exploding;"
                                " mixed: anything else. Opened at: the first probe from which the"
                                " state stays carrying, the final three as one."
                            ),
                        ),
                        (
                            "Loss against transport",
                            (
                                "D of the loss profile, over the same lags, minus D of transport."
                                " Far below 0 the loss asks less of early steps than could reach"
                                " them; far above 0 it enters along a direction that carries"
                                " further than a random one."
                            ),
                        ),
                        (
                            "Verdict of an arm",
                            (
                                "Counts over its seeds; a single word only where at least 80 % of 5"
                                " or more seeds agree."
                            ),
                        ),
                        (
                            "Outcome",
                            (
                                "Apart from the verdict. solved: the task’s rule met on"
                                f" validation; stuck: validation loss never under {get('stuck', 2)}"
                                " of the memoryless baseline; diverged: something not finite;"
                                " silently diverged: the loss is back at the baseline or above it"
                                " for the rest of the run, after progress, a gradient spike (z >"
                                f" {get('spike')}), a loss of {get('blown')} baselines or a"
                                f" spectral radius {get('radius_blown')} times the lowest, and"
                                " spectral radius or saturation has jumped; learning: none of"
                                " these."
                            ),
                        ),
                        (
                            "Skill",
                            (
                                "Where tasks are scored by several metrics: (score −"
                                " baseline)/(perfect − baseline); 0 is the memoryless baseline, 1"
                                " is no error."
                            ),
                        ),
                        (
                            "Claims",
                            (
                                "Declared in the study's YAML, or kept in the ledger (conf/claim)"
                                " that is the same for every study. Two sides are compared over"
                                " arms that are alike in everything else, arms weighing equally: t"
                                " interval over seeds within arms (Satterthwaite) with the test"
                                " set's noise for means, Newcombe's (1998, method 10) for shares."
                                " supported: the interval lies above 0 and the difference is at"
                                " least what matters (claims of no less: it lies above minus that);"
                                " refuted: it lies below what matters; else inconclusive."
                            ),
                        ),
                        (
                            "Horizon",
                            (
                                "The largest lag whose geometric-mean transport is at least"
                                f" {health.get('horizon', 'n/a')} of lag 1: there credit is lost."
                            ),
                        ),
                        (
                            "Score",
                            (
                                f"Test {study.metric} of the weights with the best validation, read"
                                " once. A diverged point counts with the memoryless baseline (or"
                                f" its own score where that lies {higher} it); no point is dropped,"
                                " and no arm is represented by its best seed."
                            ),
                        ),
                        (
                            "Interval of an arm",
                            (
                                "t interval over seeds; the noise of the common test set, which"
                                " more seeds do not reduce, is added in quadrature: half² ="
                                " (t·s/√n)² + (1.96·se)². From 10 seeds on, a bootstrap over seeds"
                                " and examples (Owen 2007) with the width of the variance"
                                " components. One seed has no interval."
                            ),
                        ),
                        (
                            "Means by level",
                            (
                                "Every arm that has the level weighs equally. Interval from the"
                                " spread over seeds within arms (Satterthwaite’s degrees of"
                                " freedom); differences between levels also carry the test set’s"
                                " noise, from the result of every example."
                            ),
                        ),
                        ("Rates", "Wilson’s score interval."),
                        (
                            "Does health predict success",
                            (
                                "AUC (Mann–Whitney, ties half) of D for solved against unsolved,"
                                " and Spearman’s rank correlation of D with the score, over all"
                                " points and within each level of the first factor; 95 % percentile"
                                " interval of a bootstrap over arms, the seeds of an arm drawn"
                                " together. On pure noise with 12 to 36 arms, 5 to 10 % of these"
                                " intervals lie apart from chance (simulated)."
                            ),
                        ),
                        (
                            "What is tested",
                            (
                                "One family: the contrasts that the study declares"
                                " (study.contrasts), else main effects and two-way interactions."
                                " Freedman and Lane (1983): residuals of the model of arm means"
                                " without the term are permuted within blocks of the other factors;"
                                " Holm over the family. Seeds are what is exchanged; arms are"
                                " fixed."
                            ),
                        ),
                        (
                            "Shares of variance",
                            (
                                "ω² = (SS − df·MSE)/(SS total + MSE), 0 at least, MSE from the"
                                " spread over seeds within arms: noise has a share of 0 on average."
                                " Intervals: generalised confidence, σ² from SSE/χ², the"
                                " noncentrality of each term from its sum of squares."
                            ),
                        ),
                        (
                            "P(improve)",
                            (
                                "P(a run of one side is better than one of the other), ties half,"
                                " mean over blocks; Newcombe's interval (2006). Cliff’s δ = 2P − 1."
                            ),
                        ),
                        (
                            "Time to solve",
                            (
                                "Kaplan–Meier; restricted mean = area under the curve to the end of"
                                " the run. What has not solved the task counts as later than its"
                                " run, diverged points too."
                            ),
                        ),
                        (
                            "What is not tested",
                            (
                                "Single arms against each other on the seeds that chose them: with"
                                " n seeds a side a permutation test has few orders to permute (3"
                                " seeds: smallest two-sided p .10), and the best of many arms looks"
                                " better than it is. make confirm trains the best again on fresh"
                                " seeds; those are tested."
                            ),
                        ),
                        (
                            "Clipping",
                            (
                                "Clip rate: share of updates whose gradient the rule changed;"
                                " shrink: norm after over norm before, mean over these."
                            ),
                        ),
                    ]
                ),
            ]
        )


def get_percent(share: object) -> str:
    return f"{100 * share:g} %" if isinstance(share, int | float) else "n/a"

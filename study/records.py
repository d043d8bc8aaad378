"""Vocabulary, columns with their units, schema version: what is stored and what reports read.

Standard library only, so that results can be read without the rest of the package.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = 2  # version of the files on disk; older ones (1 had no digests) are read with nulls
# Versions the numerics: when it changes, every point gets a new id and is retrained.
NUMERICS = 2

STATUSES = ("done", "diverged", "pruned", "failed")
STATES = ("carrying", "fading", "vanishing", "exploding", "undefined")
VERDICTS = ("carries", "opens", "shut", "closes", "explodes", "mixed")
ENDED = ("solved", "diverged", "pruned")  # why a point ended early
OUTCOMES = ("solved", "learning", "stuck", "diverged", "silently diverged")

# What a claim or a planned contrast may compare, as defined in reports/analysis/measures.py.
CLAIMED_BY = (
    "score",
    "train",
    "gap",
    "solved",
    "time",
    "lost",
    "opens",
    "carries",
    "D_init",
    "D",
    "ranking",
    "auc_D_init",
    "auc_D",
    "carry_if_solved",
)

# Settings that every point labels, factor or not, so that a report can always group by them.
CHOICES = ("task", "cell", "initializer", "clip", "optimizer", "readout")
SIZES = ("depth", "hidden", "batch", "updates")

# Root keys that came after ids were first stored, with the value that means as before: with it ids
# leave them out. Those of a piece are in its class's `later` (study/interfaces.py).
LATER: Mapping[str, Any] = {"precision": "full", "accumulate": 1}

# Root keys that affect where and how a point runs or is shown, never its numbers.
NOT_IDENTITY = (
    "name",
    "plan",
    "reprobe",
    "retry",
    "device",
    "executor",
    "probe",
    "tracker",
    "store",
    "study",
    "health",
    "tuned",
    "search",
    "stop",
    "identity",
)

# Settings of a task that say where its data lie. What the data are is in their hash.
LOCATED = ("path", "folder")

OWN = "own"  # label of a choice that a model or trainer of the user's own makes by itself
NETWORK = "network"  # in column `layer`: the states of all layers together


class StudyError(Exception):
    """A user's mistake or a broken file; the message names the key, what is allowed, what came."""


@dataclass(frozen=True)
class Column:
    """One column of a table on disk; `kind` is str, int, float or bool, and nulls are allowed."""

    name: str
    kind: str
    unit: str
    meaning: str


def _columns(*rows: tuple[str, str, str, str]) -> tuple[Column, ...]:
    return tuple(Column(*row) for row in rows)


JUDGED_FROM = (
    "judged_from",
    "int",
    "updates",
    "update of the first of the judged probes, whose median is the end state",
)
JUDGED_PROBES = (
    "judged_probes",
    "int",
    "",
    (
        "number of these probes: the last three, without those before 60 % of the updates trained"
        " or, where training ended early because the task was solved, before the first of the"
        " validations in a row that ended it; where it diverged, the last finite one"
    ),
)
OPENED_AT = (
    "opened_at",
    "int",
    "updates",
    (
        "first probe from which the state stays carrying, those of the end state as one by their"
        " median; for verdict opens"
    ),
)

POINTS = _columns(
    ("id", "str", "", "identity: hash of everything that decides the numbers"),
    *((name, "str", "", f"{name}, by the name of its level") for name in CHOICES),
    ("depth", "int", "layers", "stacked recurrent layers"),
    ("hidden", "int", "units", "width of a layer"),
    ("batch", "int", "examples", "examples per update"),
    (
        "seed",
        "int",
        "",
        "replicate: seeds data order, initial weights and dropout, each by its own stream",
    ),
    ("status", "str", "", " | ".join(STATUSES)),
    ("reason", "str", "", "why the status is not done"),
    ("verdict", "str", "", " | ".join(VERDICTS)),
    ("outcome", "str", "", f"{' | '.join(OUTCOMES)}; solved: by the last validation"),
    ("state_init", "str", "", "state of the network at initialization"),
    (
        "state",
        "str",
        "",
        "state of the network at the end: of the median D and U of the judged probes",
    ),
    JUDGED_FROM,
    JUDGED_PROBES,
    (
        "score",
        "float",
        "task metric",
        "test metric of the weights with the best validation, read once",
    ),
    ("score_se", "float", "task metric", "standard error of score over the test examples"),
    ("val_score", "float", "task metric", "the best validation metric"),
    ("final_score", "float", "task metric", "test metric at the last update"),
    (
        "train_score",
        "float",
        "task metric",
        "metric of the scored weights on training examples, as many as validation has",
    ),
    ("baseline", "float", "task metric", "metric of the best guess that ignores the sequence"),
    ("baseline_loss", "float", "nats or squared units", "loss of that guess"),
    ("val_loss", "float", "nats or squared units", "validation loss of the scored weights"),
    ("solved_at", "int", "updates", "first validation that meets the task's rule"),
    ("ends_solved", "bool", "", "the last validation meets the task's rule"),
    OPENED_AT,
    (
        "opened_loss",
        "float",
        "share of baseline_loss",
        "validation loss at opened_at, interpolated",
    ),
    ("D_init", "float", "decades", "D at initialization"),
    ("D", "float", "decades", "transport at the task's lag relative to lag 1, end of training"),
    ("U_init", "float", "decades", "U at initialization"),
    ("U", "float", "decades", "largest rms transport relative to lag 1, end of training"),
    (
        "horizon_init",
        "int",
        "steps",
        "largest lag with transport of at least 1e-3 of lag 1, at initialization",
    ),
    ("horizon", "int", "steps", "the same at the end"),
    ("horizon_censored", "bool", "", "the horizon reaches the longest lag measured"),
    (
        "clip_rate",
        "float",
        "share of updates",
        "updates in which the clip rule changed the gradient",
    ),
    ("shrink", "float", "ratio", "mean of post-clip over pre-clip norm, over clipped updates"),
    ("max_grad_norm", "float", "", "largest finite pre-clip gradient norm"),
    ("last_grad_norm", "float", "", "last finite pre-clip gradient norm of a point that diverged"),
    ("first_nonfinite", "str", "", "first tensor that was not finite"),
    ("diverged_at", "int", "updates", "update at which the point was frozen"),
    ("params", "int", "", "number of trained values"),
    ("updates", "int", "updates", "planned updates"),
    ("steps", "int", "steps", "length of the task's sequences, T; the longest, where they differ"),
    (
        "lag",
        "int",
        "steps",
        "lag that the task declares: how far credit must be carried; null if it declares none",
    ),
    ("updates_done", "int", "updates", "updates completed"),
    (
        "ended_early",
        "str",
        "",
        (
            f"{' | '.join(ENDED)}: why training ended before the planned updates; null where it"
            " did not"
        ),
    ),
    (
        "updates_saved",
        "int",
        "updates",
        "planned updates that were not computed because training ended early",
    ),
    ("seconds", "float", "s", "this point's share of its group's wall time"),
)

HISTORY = _columns(
    ("update", "int", "updates", "number of updates completed"),
    (
        "loss",
        "float",
        "nats or squared units",
        "training loss of the batch of this update, before it",
    ),
    ("grad_norm", "float", "", "norm of all gradients before clipping"),
    ("clip_scale", "float", "ratio", "post-clip over pre-clip norm; 1 = untouched"),
    ("clip_cosine", "float", "", "cosine between the gradient before and after clipping"),
    (
        "lr",
        "float",
        "",
        "learning rate of this update; null without a schedule: optimizer.lr throughout",
    ),
    ("val_loss", "float", "nats or squared units", "validation loss after this many updates"),
    ("val_score", "float", "task metric", "validation metric after this many updates"),
)

PROFILE = _columns(
    (
        "probe",
        "str",
        "",
        "transport (u.s_a as the loss, u random) | loss (the loss of step a alone)",
    ),
    ("stage", "int", "", "number of the probe within the run, from 0"),
    ("update", "int", "updates", "updates completed at that time"),
    ("layer", "str", "", f"layer from 1, or {NETWORK}"),
    ("state", "str", "", "h | c | s (all states of the layer together)"),
    ("lag", "int", "steps", "steps back from the anchor"),
    (
        "log10_mean",
        "float",
        "decades",
        "geometric mean over examples of |dl/ds_(a-lag)| / |dl/ds_a|",
    ),
    ("log10_p10", "float", "decades", "10 % quantile over examples"),
    ("log10_p90", "float", "decades", "90 % quantile over examples"),
    (
        "log10_rms",
        "float",
        "decades",
        "root mean square over examples: explosions live in the tail",
    ),
    ("n", "int", "examples", "examples long enough to have this lag"),
    ("n_zero", "int", "examples", "of these, exactly zero: left out of the mean, counted here"),
    ("n_nonfinite", "int", "examples", "of these, Inf or NaN: left out of the mean, counted here"),
)

STATES_TABLE = _columns(
    ("stage", "int", "", "number of the probe within the run, from 0"),
    ("update", "int", "updates", "updates completed at that time"),
    ("layer", "str", "", f"layer from 1, or {NETWORK}: the network decides the verdict"),
    ("lag", "int", "steps", "K, the lag that is judged"),
    (
        "D",
        "float",
        "decades",
        "median over lags [.9K, K] of the geometric-mean transport relative to lag 1",
    ),
    ("D_low", "float", "decades", "2.5 % of a bootstrap over examples (and with them draws)"),
    ("D_high", "float", "decades", "97.5 % of it"),
    ("U", "float", "decades", "largest rms transport up to K relative to lag 1"),
    ("U_low", "float", "decades", "2.5 % of the bootstrap"),
    ("U_high", "float", "decades", "97.5 % of it"),
    ("state", "str", "", " | ".join(STATES)),
    ("margin", "float", "decades", "distance to the next class"),
    ("slope", "float", "decades/step", "least-squares slope of the log profile, lags 1..K"),
    ("residual_sd", "float", "decades", "standard deviation of the residuals of that line"),
    ("horizon", "int", "steps", "largest lag with transport of at least 1e-3 of lag 1"),
    ("horizon_censored", "bool", "", "the horizon reaches the longest lag measured"),
    ("undefined_share", "float", "share of examples", "zero or non-finite somewhere on lags 1..K"),
)

LAYERS = _columns(
    ("layer", "str", "", f"layer from 1, or {NETWORK}: the network decides the point's verdict"),
    ("lag", "int", "steps", "K, the lag that is judged: the task's own where it declares one"),
    ("state_init", "str", "", " | ".join(STATES)),
    ("state", "str", "", "state at the end: of the median D and U of the judged probes"),
    JUDGED_FROM,
    JUDGED_PROBES,
    ("verdict", "str", "", " | ".join(VERDICTS)),
    ("margin", "float", "decades", "distance of the end's D and U to the next class"),
    ("D_init", "float", "decades", "D at initialization"),
    ("D", "float", "decades", "D at the end"),
    (
        "D_low",
        "float",
        "decades",
        "median of the lower ends of its intervals over the judged probes",
    ),
    ("D_high", "float", "decades", "of the upper ends"),
    ("U_init", "float", "decades", "U at initialization"),
    ("U", "float", "decades", "U at the end"),
    ("U_low", "float", "decades", "as D_low"),
    ("U_high", "float", "decades", "as D_high"),
    OPENED_AT,
    (
        "horizon_init",
        "int",
        "steps",
        (
            "largest lag with transport of at least 1e-3 of lag 1, at initialization: there credit"
            " is lost"
        ),
    ),
    ("horizon", "int", "steps", "the same at the end"),
    ("horizon_censored", "bool", "", "the horizon reaches the longest lag measured"),
)

# What other probes return, one number per row.
MEASURES = _columns(
    ("probe", "str", "", "name of the probe"),
    ("quantity", "str", "", "name the probe gave it"),
    ("stage", "int", "", "number of the probe within the run, from 0"),
    ("update", "int", "updates", "updates completed at that time"),
    ("layer", "int", "", "layer from 1; null where the quantity has no layer axis"),
    ("lag", "int", "steps", "lag from 0; null where the quantity has no lag axis"),
    (
        "index",
        "int",
        "",
        "number of the value, from 0, where a layer has several values that are not lags",
    ),
    ("value", "float", "", "the measured value"),
)

# What probes record of single examples of the probe batch, one number per step.
TRACES = _columns(
    ("probe", "str", "", "name of the probe"),
    (
        "quantity",
        "str",
        "",
        "name the probe gave it: saliency, input, attention, gate.NAME.mean, gate.NAME.p10, …",
    ),
    ("stage", "int", "", "number of the probe within the run, from 0"),
    ("update", "int", "updates", "updates completed at that time"),
    ("layer", "int", "", "layer from 1; null where the quantity has no layer axis"),
    (
        "example",
        "int",
        "",
        (
            "number of the example in the probe batch, from 0: the same one for every point of the"
            " task"
        ),
    ),
    ("step", "int", "steps", "step of the sequence, from 0; padding has no row"),
    (
        "value",
        "float",
        "",
        (
            "saliency: loss per unit of input; input: as the task scales it; attention: share of 1;"
            " gates: between 0 and 1"
        ),
    ),
)

TEST = _columns(
    ("example", "int", "", "position in the test set"),
    (
        "value",
        "float",
        "task metric",
        "the metric on this example alone (classification: 1 right, 0 wrong)",
    ),
)

METRICS = _columns(
    ("metric", "str", "", "name of a metric of task.metrics, or of task.quantiles"),
    ("part", "str", "", "validation | test"),
    ("value", "float", "that metric", "of the scored weights, over the whole split"),
)

TRIALS = _columns(
    ("arm", "str", "", "the arm's levels, as cell=lstm initializer=orthogonal"),
    ("trial", "int", "", "number of the trial within its arm, from 0: the default setting"),
    ("status", "str", "", "done | diverged | pruned | failed | running | waiting"),
    (
        "score",
        "float",
        "task metric",
        "best validation metric, mean over the replicates; of a pruned trial so far",
    ),
    ("se", "float", "task metric", "standard error of score over the validation examples"),
    ("health", "float", "decades", "min(0, D) - max(0, U) at the end; 0 carries"),
    ("cost", "float", "s", "of one core, as planned"),
    ("default", "bool", "", "the default setting"),
    ("best", "bool", "", "the best of its arm"),
    ("front", "bool", "", "no other trial of the arm is better in everything (several objectives)"),
    ("replicates", "int", "", "seeds it was trained on"),
    ("examples", "int", "examples", "seen in training, all replicates together"),
    ("updates", "int", "updates", "of a trial that is not pruned"),
    ("seconds", "float", "s", "its share of its group's wall time"),
    ("retried", "int", "", "trials of its place that were lost or failed before it"),
    ("reason", "str", "", "why the status is not done"),
)

TRIAL_SETTINGS = _columns(
    ("arm", "str", "", "the arm's levels"),
    ("trial", "int", "", "number of the trial within its arm"),
    ("key", "str", "", "searched key"),
    ("value", "str", "", "its value as text"),
    ("number", "float", "", "its value if it is a number"),
)

TRIAL_CURVES = _columns(
    ("arm", "str", "", "the arm's levels"),
    ("trial", "int", "", "number of the trial within its arm"),
    ("share", "float", "share of updates", "made when it was validated"),
    ("score", "float", "task metric", "best validation metric so far, mean over the replicates"),
)

IMPORTANCE = _columns(
    ("arm", "str", "", "the arm's levels"),
    ("objective", "str", "", "score | health | cost"),
    ("key", "str", "", "searched key"),
    ("other", "str", "", "second key of a pair: their interaction alone; null for a key by itself"),
    (
        "share",
        "float",
        "share of variance",
        "fANOVA (Hutter 2014): of a random forest's variance over the space, mean over its trees",
    ),
    ("sd", "float", "share of variance", "standard deviation over the trees"),
    ("trials", "int", "", "the forest was fitted to"),
)

SEARCH_TABLES: Mapping[str, tuple[Column, ...]] = {
    "trials": TRIALS,
    "settings": TRIAL_SETTINGS,
    "curves": TRIAL_CURVES,
    "importance": IMPORTANCE,
}

TABLES: Mapping[str, tuple[Column, ...]] = {
    "history": HISTORY,
    "profile": PROFILE,
    "states": STATES_TABLE,
    "layers": LAYERS,
    "measures": MEASURES,
    "traces": TRACES,
    "test": TEST,
    "metrics": METRICS,
}


def identity(
    config: Mapping[str, Any],
    *,
    data_hash: str,
    kernel: str,
    device_type: str,
    read_by: Collection[str] = (),
    later: Mapping[str, Mapping[str, Any]] | None = None,
    without_effect: Collection[str] = (),
    executor: str | None = None,
    located: bool = False,
) -> str:
    """Id of a grid point: a hash of everything that determines its numbers, and of nothing else.

    `config` is the composed configuration as plain values; `device_type` is cpu or cuda; `read_by`:
    settings of the task whose whole effect is in `data_hash` (Task.read_by); `later`: by the root
    key of a piece, settings that are left out where they have this value, as LATER for root keys;
    `without_effect`: root keys that this point's network does not read; `executor`: the class of
    one that is not ours, which may train whatever it wants. `located`: the id that earlier versions
    gave, which depended on where the data lie.
    """
    decides = {
        key: without_later(value, (later or {}).get(key, {}))
        for key, value in without_later(config, LATER).items()
        if key not in NOT_IDENTITY and key not in without_effect
    }
    decides["task"] = {
        key: None if key in LOCATED and not located else value
        for key, value in decides["task"].items()
        if key not in read_by
    }
    # left out if null, so that ids from before this key existed stay valid
    if (checks := config["stop"]["solved_checks"]) is not None:
        decides["stop"] = {"solved_checks": checks}
    decides |= {
        "data_hash": data_hash,
        "kernel": kernel,
        "device_type": device_type,
        "numerics": NUMERICS,
    }
    decides |= {"executor": executor} if executor is not None else {}
    text = json.dumps(decides, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def without_later(settings: Any, later: Mapping[str, Any]) -> Any:
    """Settings without those that have the value of `later`, which means as before."""
    if not later or not isinstance(settings, Mapping):
        return settings
    return {
        key: value
        for key, value in settings.items()
        if not (key in later and type(later[key]) is type(value) and later[key] == value)
    }

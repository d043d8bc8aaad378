"""What nobody means to write: overrides, trees of YAML, bytes with parts spoiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

WORDS = [
    "rnn", "lstm", "gru", "orthogonal", "none", "norm", "adam", "auto", "null", "true", "", " ",
    "../../x", "/etc/passwd", "a b", "ü", "\u202e", "'", '"', "\\", "${seed}", "${hidden}",
    "${oc.env:HOME}", "${nothing}", "${", "}", "[", "]", "{", "a:b", "{a:1}", "{a:{b:[1,2]}}",
    "[1,2]", "[]", "{}", "1,2", "a,b,c", "range(3)", "range(0,9,0)", "range(10000000000)",
    "range(3,1)", "choice(1,2)", "choice()", "interval(1,2)", "int(interval(1,2))",
    "tag(log,interval(1e-4,1))", "sort(3,1,2)", "shuffle(1,2)", "glob(*)", "glob(*,exclude=r*)",
    "cast(1)", "str(1)", "???", "1e999", "nan", "inf", "-inf", "-0.0", "1e-400", "0x10", "1_000",
    "--help", "~", "@", "%", "\t", "\n", "\x00", "x" * 300, "1" * 400,
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(WORDS),
    st.integers(-(10**30), 10**30).map(str),
    st.integers(-3, 40).map(str),
    st.floats(allow_subnormal=False).map(str),
    st.text(max_size=12),
    st.lists(st.sampled_from(WORDS), max_size=3).map(",".join),
)
GROUPS = [
    "cell", "initializer", "clip", "optimizer", "readout", "task", "probe", "tracker", "executor",
    "search", "experiment",
]  # fmt: skip
KEYS = [
    *GROUPS, "name", "depth", "hidden", "batch", "updates", "seed", "validate_every", "dropout",
    "dtype", "precision", "kernel", "device", "reprobe", "retry", "tuned", "weights.forget_bias",
    "weights.input", "health", "health.stages", "health.examples", "health.bootstrap",
    "health.fading", "store", "store.folder", "store.weights", "store.checkpoint_seconds",
    "store.lease_seconds", "store.tracker_seconds", "study", "study.title", "study.exclude",
    "study.arms", "study.claims", "study.contrasts", "study.confirm.arms", "study.search",
    "optimizer.lr", "optimizer.beta1", "clip.threshold", "initializer.gain", "task.form",
    "task.lag", "task.steps", "executor.workers", "executor.max_members",
    "executor.timeout_minutes", "tracker.wandb.mode", "tracker.wandb.patience", "search.trials",
    "hydra/sweeper", "hydra/launcher", "hydra.sweeper.params", "hydra.job.chdir", "hydra.run.dir",
    "hydra.sweep.dir", "hydra.output_subdir", "nothing", "study.nothing", "a.b.c", "", "cell@x",
    "probe.transport.stages",
]  # fmt: skip
OVERRIDES = st.lists(
    st.one_of(
        st.builds(
            lambda mark, key, value: f"{mark}{key}={value}",
            st.sampled_from(["", "", "", "", "+", "++", "~"]),
            st.sampled_from(KEYS),
            VALUES,
        ),
        st.sampled_from(KEYS).map("~".__add__),
        st.text(max_size=20),
    ),
    min_size=1,
    max_size=4,
)
BASE = [
    "experiment=quick",
    "cell=rnn",
    "initializer=orthogonal",
    "seed=0,1",
    "task.form=row",
    "tracker=[]",
    "probe=[]",
]
LAST = ["plan=true"]  # what is planned is not trained
# code by design, and training
FORBIDDEN = (
    "_target_",
    "plan",
    "hydra.mode",
    "hydra.launcher",
    "hydra.callbacks",
    "hydra.searchpath",
    "hydra.hydra_logging",
    "hydra.job_logging",
    "--",
)

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_subnormal=False),
    st.sampled_from(WORDS),
    st.text(max_size=8),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=6), st.sampled_from(KEYS)), inner, max_size=3),
    ),
    max_leaves=6,
)
EXPERIMENT: dict[str, Any] = {
    "defaults": [
        {"override /task": "digits"},
        {"override /cell": "rnn"},
        {"override /tracker": []},
        {"override /probe": []},
    ],
    "name": "fuzzed",
    "updates": 3,
    "task": {"form": "row"},
    "study": {
        "title": "t",
        "question": "q",
        "exclude": [{"when": {"cell": "lstm", "initializer": "identity"}, "why": "w"}],
        "arms": [{"when": {"cell": "rnn"}, "set": {"optimizer.lr": 0.01, "hidden": 6}}],
        "claims": [
            {
                "statement": "s",
                "better": {"cell": "rnn"},
                "worse": {"cell": "lstm"},
                "by": "score",
                "least": 0.1,
            }
        ],
        "contrasts": [
            {
                "name": "n",
                "first": {"cell": "rnn"},
                "second": {"cell": ["lstm", "gru"]},
                "by": "score",
            }
        ],
    },
    "hydra": {
        "sweeper": {
            "params": {"cell": "rnn,lstm", "initializer": "orthogonal,identity", "seed": "0,1"}
        }
    },
}


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all nodes of nested dicts and lists."""
    yield path
    for key, item in (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    ):
        yield from places(item, (*path, key))


def exchanged(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = exchanged(tree[path[0]], path[1:], value)
    return copy


def without(tree: Any, path: tuple[Any, ...]) -> Any:
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = without(tree[path[0]], path[1:])
    return copy


@st.composite
def mutated(draw: st.DrawFn, tree: Any) -> Any:
    """A tree with one or two nodes exchanged or taken away."""
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(list(places(tree))[1:] or [()]))
        tree = (
            without(tree, path)
            if path and draw(st.integers(0, 3)) == 0
            else exchanged(tree, path, draw(TREES))
        )
        if not isinstance(tree, dict | list) or not tree:
            break
    return tree


@st.composite
def spoiled(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with bits flipped, parts cut, doubled, zeroed or put in."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        how = draw(st.sampled_from(["flip", "cut", "zero", "insert", "double", "drop"]))
        if how == "flip" and data:
            data = data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
        elif how == "cut":
            data = data[:at]
        elif how == "zero":
            data = (
                data[:at] + bytes(min(draw(st.integers(1, 64)), len(data) - at)) + data[at + 64 :]
            )
        elif how == "insert":
            data = data[:at] + draw(st.binary(min_size=1, max_size=9)) + data[at:]
        elif how == "double":
            data = data[:at] + data[at : at + 40] + data[at:]
        else:
            data = data[:at] + data[at + draw(st.integers(1, 40)) :]
    return data

"""The same script under Ray Tune, a CPU a trial: python script_tune.py '{"cell": ["rnn", "lstm"],
…}' '{"updates": 400, …}' CPUS FOLDER.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ray
from ray import tune


def trial(config):
    from script import run

    tune.report({key: value for key, value in run(**config).items() if key in ("score", "test")})


def main() -> None:
    factors, settings, cpus, folder = (
        json.loads(sys.argv[1]),
        json.loads(sys.argv[2]),
        int(sys.argv[3]),
        Path(sys.argv[4]).resolve(),
    )
    # The loopback by name: by itself Ray takes the machine's own address.
    ray.init(
        num_cpus=cpus,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        _node_ip_address="127.0.0.2",
        log_to_driver=False,
    )
    space = {
        **{name: tune.grid_search(levels) for name, levels in factors.items()},
        **settings,
        "out": str(folder / "runs"),
    }
    config = tune.RunConfig(name="tune", storage_path=str(folder / "tune"), verbose=0)
    found = tune.Tuner(
        tune.with_resources(trial, {"cpu": 1}), param_space=space, run_config=config
    ).fit()
    ray.shutdown()
    if found.errors:
        raise SystemExit(f"{len(found.errors)} of {len(found)} trials failed: {found.errors[0]}")


if __name__ == "__main__":
    main()

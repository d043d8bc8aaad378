"""The same script as a Hydra app: python script_hydra.py -m hydra/launcher=joblib
hydra.launcher.n_jobs=2 cell=rnn,lstm seed=0,1.
"""

from __future__ import annotations

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig
from script import run

POINT = {
    "cell": "???",
    "initializer": "???",
    "clip": "???",
    "depth": 1,
    "seed": 0,
    "form": "pixel",
    "updates": 400,
    "validate_every": 25,
    "out": "runs",
}
ConfigStore.instance().store(name="script", node=POINT)


@hydra.main(version_base="1.3", config_path=None, config_name="script")
def main(config: DictConfig) -> None:
    run(**config)


if __name__ == "__main__":
    main()

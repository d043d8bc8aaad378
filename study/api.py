"""The Python API: plan a study, run it, read what came out.

```python
import study

plan = study.plan("quick", cell=["rnn", "gru"], seed=range(3))
print(plan)                                   # factors, points, groups, estimated time
result = study.run(plan)                      # or study.load("outputs/quick")
result.points                                 # one row per point
result.figure("gradient_flow", cell="gru")    # a matplotlib figure
result.report()                               # renders the page and returns its path
```

`python -m study -m` and this API share every step after the command line: a plan made here is the
plan of the command that `plan.command` names, and both resume each other's studies.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from study.config.compose import Declared, compose, compose_all, declared
from study.config.loader import config_loader
from study.launch.plan import Plan, make_plan
from study.launch.run import INTERRUPTED, carry_out_plan
from study.records import StudyError
from study.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Values = str | int | float | bool | None


def plan(
    experiment: str | None = None,
    *overrides: str,
    config_dirs: Sequence[str | Path] = (),
    **levels: Values | Iterable[Values],
) -> Plan:
    """Plan a study; trains nothing and writes nothing.

    experiment: a file of conf/experiment (or of a folder in `config_dirs`); None: the factors below
    are all there are.
    overrides: as typed on the command line, such as "optimizer.lr=0.01,0.001" or "tracker=[]".
    config_dirs: folders with configuration and pieces of your own, as --config-dir.
    levels: a key of the configuration with one value, or with several, which make it a factor:
    cell=["rnn", "gru"], seed=range(3), hidden=64.

    Raises StudyError with the key, what is allowed and what came.
    """
    typed = [*overrides, *(_override(key, value) for key, value in levels.items())]
    folders = [_importable(folder) for folder in config_dirs]
    loader = config_loader(folders)
    chosen = [] if experiment is None else [f"experiment={experiment}"]
    params, fixed = _factors_of_experiment(loader, chosen, typed)
    study = declared(loader, params, [*chosen, *typed])
    combinations = compose_all(loader, "config", study)
    made = make_plan(combinations, study, experiment)
    given = [part for folder in folders for part in ("--config-dir", folder)]
    multirun = ["-m"] if study.factors else []
    command = ["python", "-m", "study", *multirun, *given, *chosen, *typed]
    return replace(made, command=shlex.join(command))

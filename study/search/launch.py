"""Plan and run the search of a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from study.config.settings import settings_of
from study.launch.console import LaunchConsole, logged
from study.search.planning import make_spec
from study.search.run import run


def launch(
    loader: ConfigLoader, composed: DictConfig, params: Mapping[str, Any], arguments: Sequence[str]
) -> int:
    """Plan and run a search; return the exit status. Raises StudyError."""
    experiment, name = (
        composed.hydra.runtime.choices.get("experiment"),
        composed.hydra.job.config_name,
    )
    config = composed.copy()
    with read_write(config), open_dict(config):
        del config["hydra"]
    spec, request = make_spec(loader, name, config, params, arguments, experiment)
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    settings = settings_of({str(key): value for key, value in plain.items()})
    console = LaunchConsole()
    with logged(console):
        return run(spec, request, settings, console)

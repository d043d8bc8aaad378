"""Hydra's config loader for conf/ and folders given with --config-dir."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import ResultDefault
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf

from study.config.paths import conf_folder
from study.config.schema import Root

# The name under which study.hydra_plugins registers its classes with Hydra.
ALIAS = "hydra_plugins.rnn_gradient_study"


class StudyLoader(ConfigLoaderImpl):
    """Hydra's loader, which reads each YAML file once, when it is first needed.

    Reading is a third of a composition, and the compositions of one study share their files.
    """

    def __init__(self, path: ConfigSearchPath) -> None:
        super().__init__(path)
        self.defaults: list[ResultDefault] = []  # of the last composition, in order
        for source in self.get_sources():
            if source.scheme() != "structured":  # in memory, and looked for by its class
                _read_once(source)

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: Any
    ) -> DictConfig:
        self.defaults = defaults
        return super()._compose_config_from_defaults_list(defaults, repo)


def _read_once(source: ConfigSource) -> None:
    load, read = source.load_config, dict[str, ConfigResult]()

    def load_config(config_path: str) -> ConfigResult:
        if config_path not in read:
            read[config_path] = load(config_path)
        found = read[config_path]
        # A copy: Hydra takes the defaults list out of it, and merges others into it.
        return replace(found, config=copy.deepcopy(found.config))

    source.load_config = load_config  # type: ignore[method-assign]


def config_loader(folders: Sequence[str | Path] = ()) -> ConfigLoader:
    """Return a loader for conf/ and `folders`, each as if given with --config-dir."""
    store_nodes()
    path = create_config_search_path(str(conf_folder().resolve()))
    for folder in folders:
        # Hydra wants the schema to be the last source.
        schema = SearchPathQuery(provider="schema")
        path.prepend("command-line", f"file://{Path(folder).absolute()}", schema)
    return StudyLoader(path)


def with_search_path(loader: ConfigLoader, entries: Sequence[str]) -> ConfigLoader:
    """Return a loader that looks in hydra.searchpath, too, which Hydra itself forgets after use."""
    if not entries:
        return loader
    path = copy.deepcopy(loader.get_search_path())
    for entry in entries:
        path.prepend("hydra.searchpath", entry, SearchPathQuery(provider="schema"))
    return StudyLoader(path)


def store_nodes() -> None:
    """Register the configuration nodes that are defined in code rather than in YAML."""
    store = ConfigStore.instance()
    for name, sweeper in (
        ("study", "StudySweeper"),
        ("optuna", "SearchSweeper"),
        ("confirm", "ConfirmSweeper"),
        ("certain", "CertainSweeper"),
    ):
        node = {"_target_": f"{ALIAS}.{sweeper}", "params": {}}
        store.store(group="hydra/sweeper", name=name, node=OmegaConf.create(node))
    launcher = OmegaConf.create({"_target_": f"{ALIAS}.StudyLauncher"})
    store.store(group="hydra/launcher", name="study", node=launcher)
    store.store(name="schema", node=Root)

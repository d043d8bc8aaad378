"""Hydra's config loader for conf/ and folders given with --config-dir."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from study.config.paths import conf_folder
from study.config.schema import Root

# The name under which study.hydra_plugins registers its classes with Hydra.
ALIAS = "hydra_plugins.rnn_gradient_study"


def config_loader(folders: Sequence[str | Path] = ()) -> ConfigLoader:
    """Return a loader for conf/ and `folders`, each as if given with --config-dir."""
    store_nodes()
    path = create_config_search_path(str(conf_folder().resolve()))
    for folder in folders:
        # Hydra wants the schema to be the last source.
        schema = SearchPathQuery(provider="schema")
        path.prepend("command-line", f"file://{Path(folder).absolute()}", schema)
    return ConfigLoaderImpl(path)


def with_search_path(loader: ConfigLoader, entries: Sequence[str]) -> ConfigLoader:
    """Return a loader that looks in hydra.searchpath, too, which Hydra itself forgets after use."""
    if not entries:
        return loader
    path = copy.deepcopy(loader.get_search_path())
    for entry in entries:
        path.prepend("hydra.searchpath", entry, SearchPathQuery(provider="schema"))
    return ConfigLoaderImpl(path)


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

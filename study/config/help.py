"""The help of the commands that train, without Hydra: importing it and torch takes seconds."""

from __future__ import annotations

from collections.abc import Sequence

from study.config.levels import groups, listed
from study.config.paths import config_dirs
from study.program import command, training

FLAGS = ("-h", "--help")
TEXT = """rnn-gradient-study: which recurrent recipe trains on my sequences, why, and how sure?

The default study; other levels; what would run, which trains nothing:
  {study} experiment=digits
  {study} experiment=digits cell=lstm,gru depth=1,2,4
  {study} experiment=digits plan=true

Tune every arm with the same budget; train the best arms again, on fresh seeds:
  {study} experiment=digits hydra/sweeper=optuna search=default
  {study} experiment=digits hydra/sweeper=confirm

Pieces and experiments of your own; one point; every key with its value; the report:
  {study} --config-dir mine experiment=mine
  {point} cell=gru seed=3
  {point} --cfg job
  {report}

Options: --config-dir DIR (can be repeated), --cfg job, --info, --hydra-help (Hydra's own)

== Levels of each group (override with group=level) ==

{levels}
"""


def asks_for_help(arguments: Sequence[str]) -> bool:
    return any(argument in FLAGS for argument in arguments)


def text(arguments: Sequence[str]) -> str:
    """The help of `python -m study`, with the levels of the folders that `arguments` name."""
    return TEXT.format(
        study=training(many=True),
        point=training(many=False),
        report=command("reports", "render", "outputs/digits"),
        levels=listed(groups(config_dirs(arguments))),
    )

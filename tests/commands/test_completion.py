"""Tab completion, driven through a real bash with the function that argcomplete registers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.script import environment, run

REGISTER = Path(sys.executable).parent / "register-python-argcomplete"
BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="there is no bash here")

# As readline does it: the words of the line, then the function that `complete` names.
DRIVER = """
eval "$("{register}" gradient-study)"
complete -p gradient-study
while IFS= read -r line; do
  COMP_LINE=$line COMP_POINT=${{#line}} COMP_TYPE=9
  COMPREPLY=()
  _python_argcomplete gradient-study
  echo "${{COMPREPLY[*]}}"
done
"""

CASES = {
    "gradient-study pl": "plan",
    "gradient-study rep": "report",
    "gradient-study run --conf": "--config-dir",
    "gradient-study run ce": "cell=",
    "gradient-study run cell=gru_": "gru_reset_after",
    "gradient-study run cell=rnn,sl": "rnn,slstm",
    "gradient-study run optimizer.l": "optimizer.lr=",
    "gradient-study run clip=agc clip.": None,
    "gradient-study run clip=none clip.": "",
    "gradient-study run task=adding task.la": "task.lag=",
    "gradient-study run experiment=adding task.la": "task.lag=",
    "gradient-study run experiment=qui": "quick",
    "gradient-study run reprobe=t": "true",
    "gradient-study run probe=[transport,lo": "\\[transport,loss",
    "gradient-study run probe.transport.st": "probe.transport.stages=",
    "gradient-study run --config-dir mine cell=lea": "leaky",
    "gradient-study run --config-dir mine cell=leaky cell.leak": "cell.leakage=",
    "gradient-study search search/sampler=cm": "cmaes",
    "gradient-study search hydra/sweeper=op": "optuna",
    "gradient-study report o": "outputs/quick",
    "gradient-study report outputs/q": "outputs/quick",
    "gradient-study status --rep": "--repair",
    "gradient-study compact outputs/": "outputs/quick",
    "gradient-study sync --sec": "--seconds",
    "gradient-study adopt --sco": "--score",
    "gradient-study new ini": "initializer",
    "gradient-study levels rea": "readout",
    "gradient-study check --fail": "--fail-if",
    "gradient-study nonsense ": "",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    here = folder / "here"
    for name in ("outputs/quick", "outputs/not-a-study", "mine/cell"):
        (here / name).mkdir(parents=True)
    (here / "outputs" / "quick" / "study.json").write_text("{}")
    (here / "mine" / "cell" / "leaky.yaml").write_text("# Leaks.\nleakage: 1\n")
    ran = subprocess.run(
        [str(BASH), "-c", DRIVER.format(register=REGISTER)],
        input="".join(f"{line}\n" for line in CASES),
        cwd=here,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=120,
    )
    registered, *lines = ran.stdout.splitlines()
    assert registered.endswith("-F _python_argcomplete gradient-study"), ran.stderr
    return dict(zip(CASES, lines, strict=True))


@pytest.mark.parametrize("line", CASES)
def test_bash_completes(answers, line):
    expected = CASES[line]
    if expected is None:
        assert len(answers[line].split()) > 1
    else:
        assert answers[line].strip() == expected


def test_zsh_is_answered_in_its_form(tmp_path):
    """There need not be a zsh: its function asks with these variables and reads this stream."""
    line = "gradient-study lev"
    ran = run(
        tmp_path,
        *[str(BASH), "-c", "gradient-study 8>&1"],
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_SHELL="zsh",
        _ARGCOMPLETE_SUPPRESS_SPACE="1",
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
    )
    assert ran.stdout.startswith("levels:list the levels of all groups"), ran.stderr

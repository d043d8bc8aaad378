"""The command gradient-study: its subcommands, help, errors; mostly without training."""

from __future__ import annotations

import json
import re
import shlex
import sys

import pytest

import study
from study.commands.main import MODULES, REPORTS, subcommands
from study.commands.overrides import Overrides
from study.commands.training import TRAINING, for_hydra
from study.config.levels import description, groups
from study.store import Store
from tests import ROOT
from tests.commands.script import run

TINY = ["updates=2", "hidden=4", "batch=8", "task.form=row", "tracker=[]", "executor.workers=1"]
HEAVY = "torch", "hydra", "pandas"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study trained and rendered by one command, where the user has a folder reports/."""
    folder = tmp_path_factory.mktemp("trained")
    shadow = folder / "here" / "reports"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise ImportError('not ours')\n")
    varied = ["cell=rnn,gru", "seed=0,1", "name=mine", "store.folder=my results"]
    secret = "hush-hush-hush"
    return folder, run(
        folder,
        *["gradient-study", "run", "--report", *varied, *TINY, "study.title=hush-hush-hush"],
        SERVICE_TOKEN=secret,
    )


def test_run_trains_what_varies_and_writes_its_report(trained):
    folder, ran = trained
    assert ran.returncode == 0, ran.stdout + ran.stderr
    store = Store(folder / "here" / "my results" / "mine")
    assert len(store.ids()) == 4
    page = store.folder / "report.html"
    assert page.is_file()
    assert page.as_uri() in ran.stdout and "%20" in ran.stdout
    assert re.search(r"^(gru|rnn) \(by .*\): mean test |No recipe is recommended", ran.stdout, re.M)
    # What is stored is the form that works everywhere, as jobs of executors repeat it.
    stored = store.study()["launches"][-1]["command"]
    assert stored.startswith("python -m study -m cell=rnn,gru seed=0,1 name=mine")


def test_the_last_lines_are_commands_that_work_as_pasted(trained):
    folder, ran = trained
    (line,) = re.findall(r"^report: (gradient-study report .*)$", ran.stdout, re.MULTILINE)
    assert shlex.split(line) == ["gradient-study", "report", "my results/mine"]
    status = run(folder, *shlex.split(line.replace(" report ", " status ")))
    assert status.returncode == 0 and "4 points declared" in status.stdout, status.stderr
    again = run(
        folder,
        *[sys.executable, "-m", "study", "-m", "cell=rnn,gru", "seed=0,1,2", *TINY],
        *["name=mine", "store.folder=my results"],
    )
    assert "it is older than this launch; to render it again: " in again.stdout, again.stderr
    shown = again.stdout.partition("render it again: ")[2]
    assert shlex.split(shown)[1:] == ["-m", "reports", "render", "my results/mine"]
    assert shlex.split(shown)[0].endswith(sys.executable.rpartition("/")[2])


def test_the_log_has_times_and_no_path_or_secret(trained):
    folder, _ = trained
    text = (folder / "here" / "my results" / "mine" / "log.txt").read_text()
    first, *lines = text.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d [\d:,]+ INFO +launch \w+: gradient-study run", first)
    assert "study.title=<secret>" in first
    assert any("training 4 points in 2 groups" in line for line in lines)
    assert any("4 done of 4 points in my results/mine" in line for line in lines)
    assert str(folder) not in text and "hush" not in text


def test_one_point_needs_no_word_for_it():
    given = ["cell=gru", "seed=3"]
    assert for_hydra("run", given) == given
    assert for_hydra("run", ["cell=gru,rnn"]) == ["-m", "cell=gru,rnn"]
    assert for_hydra("run", ["experiment=quick"]) == ["-m", "experiment=quick"]
    assert for_hydra("run", ["experiment=null"]) == ["experiment=null"]
    assert for_hydra("run", ["seed=range(0,3)"]) == ["-m", "seed=range(0,3)"]
    assert for_hydra("run", ["probe=[transport,loss]"]) == ["probe=[transport,loss]"]
    assert for_hydra("run", ["task.path='a,b.csv'"]) == ["task.path='a,b.csv'"]
    assert for_hydra("run", ["-m", "seed=0,1"]) == ["-m", "seed=0,1"]
    assert for_hydra("run", ["--config-dir", "a=1,2", "seed=0"])[0] == "--config-dir"
    assert for_hydra("run", ["cell=]"]) == ["cell=]"], "Hydra says what is wrong"
    assert for_hydra("point", ["experiment=quick"]) == ["experiment=quick"]
    assert for_hydra("plan", ["seed=0,1"]) == ["-m", "seed=0,1", "plan=true"]
    tuned = ["-m", "experiment=quick", "hydra/sweeper=optuna", "search=default"]
    assert for_hydra("search", ["experiment=quick"]) == tuned
    assert for_hydra("search", ["search=lr"]) == ["-m", "search=lr", "hydra/sweeper=optuna"]
    for name in ("confirm", "certain"):
        assert for_hydra(name, []) == ["-m", f"hydra/sweeper={name}"]


def test_the_folder_of_a_study_follows_its_overrides_and_its_experiment(tmp_path):
    def folder(*words: str) -> str:
        return str(Overrides(words).folder())

    assert folder() == "outputs/scratch"
    assert folder("experiment=quick") == "outputs/quick"
    assert folder("experiment=quick", "name=b", "store.folder='a b'") == "a b/b"
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text("# @package _global_\nname: ${cell}\n")
    with pytest.raises(study.StudyError, match="name and store.folder must be written out"):
        folder("--config-dir", str(tmp_path), "experiment=own")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "there is no subcommand 'rnu'; did you mean run?"),
        (["statsu"], "did you mean status?"),
        (["zzzz"], "there is no subcommand 'zzzz'; there are run, point,"),
        (["levels", "cel"], "there is no group 'cel'; did you mean cell?"),
        (["levels", "--config-dir", "nowhere"], "--config-dir: there is no folder nowhere"),
    ],
)
def test_a_wrong_word_is_one_sentence(tmp_path, words, said):
    ran = run(tmp_path, "gradient-study", *words)
    assert ran.returncode == 2 and said in ran.stderr
    assert ran.stderr.count("\n") == 1 and ran.stdout == ""


def test_version_is_the_packages(tmp_path):
    ran = run(tmp_path, "gradient-study", "--version")
    assert ran.stdout == f"rnn-gradient-study {study.__version__}\n"


IMPORTED = """
import json, runpy, sys
sys.argv = {argv!r}
try:
    {start}
except SystemExit as end:
    assert not end.code, end.code
finally:
    heavy = [name for name in {heavy!r} if name in sys.modules]
    print(json.dumps(heavy))
"""


def imports(folder, start: str, *words: str) -> tuple[str, list[str]]:
    """What a command prints, and which heavy packages it imports."""
    code = IMPORTED.format(argv=["gradient-study", *words], start=start, heavy=HEAVY)
    ran = run(folder, sys.executable, "-c", code)
    assert ran.returncode == 0, ran.stderr
    text, _, heavy = ran.stdout.rstrip().rpartition("\n")
    return text, json.loads(heavy)


def test_no_help_imports_torch_or_hydra(tmp_path):
    """All in one process: what one of them imports, none may."""
    calls = "; ".join(
        f"sys.argv[1:] = {[name, '--help']!r}; finished(main)" for name in subcommands()
    )
    start = (
        "from study.commands.main import main; import contextlib\n"
        "    def finished(call):\n"
        "        with contextlib.suppress(SystemExit): call()\n"
        f"    sys.argv[1:] = ['--help']; finished(main); {calls}"
    )
    text, heavy = imports(tmp_path, start)
    assert "torch" not in heavy and "hydra" not in heavy
    assert text.count("usage: ") == 1 + len(subcommands())


@pytest.mark.parametrize("module", ["study", "reports"])
def test_help_of_the_modules_imports_nothing_heavy(tmp_path, module):
    start = f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    text, heavy = imports(tmp_path, start, "--help")
    assert heavy == []
    if module == "study":
        assert "gru_reset_after  Gated recurrent unit, reset after the product" in text
        assert "python -m study -m experiment=digits" in text


def test_every_level_has_a_description():
    for group, levels in groups().items():
        for name, path in levels.items():
            assert description(path), f"{group}/{name}"
            assert "\n" not in description(path)


def test_levels_of_a_users_own_folder_are_listed(tmp_path):
    (tmp_path / "here" / "mine" / "cell").mkdir(parents=True)
    (tmp_path / "here" / "mine" / "cell" / "leaky.yaml").write_text("# Leaks.\na: 1\n")
    (tmp_path / "here" / "mine" / "cell" / "plain.yaml").write_text("a: 1\n")
    ran = run(tmp_path, "gradient-study", "levels", "cell", "--config-dir", "mine")
    lines = ran.stdout.splitlines()
    assert lines[0] == "cell" and "  plain" in lines
    assert [line.split() for line in lines if "leaky" in line] == [["leaky", "Leaks."]]
    assert any(line.startswith("  gru ") for line in lines)
    helped = run(
        tmp_path, sys.executable, "-m", "study", "--config-dir", "mine", "cell=leaky", "--help"
    )
    assert "Leaks." in helped.stdout


def test_every_module_that_python_starts_is_a_subcommand():
    own = {
        path.parent.name if path.name == "__main__.py" else path.stem
        for path in [*(ROOT / "study").glob("*.py"), *(ROOT / "study").glob("*/__main__.py")]
        if '__name__ == "__main__"' in path.read_text() or path.name == "__main__.py"
    } - {"study", "commands"}
    named = {"check" if name == "check-plugin" else name for name in MODULES}
    assert own == named
    assert not set(TRAINING) & {*MODULES, *REPORTS}


def test_pieces_in_the_current_folder_are_found(tmp_path):
    """As with python -m, which puts this folder first."""
    here = tmp_path / "here"
    (here / "cell").mkdir(parents=True)
    (here / "leaky_here.py").write_text("from study.cells.rnn import RNN\nclass Own(RNN): ...\n")
    (here / "cell" / "own.yaml").write_text(
        (ROOT / "conf" / "cell" / "rnn.yaml")
        .read_text()
        .replace("study.cells.rnn.RNN", "leaky_here.Own")
    )
    ran = run(tmp_path, "gradient-study", "plan", "--config-dir", ".", "cell=rnn,own", *TINY)
    assert ran.returncode == 0 and "2 points" in ran.stdout, ran.stderr

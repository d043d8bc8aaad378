"""What the pages show is what the tool does: links, names, commands, code, YAML, tables."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

import reports.__main__
from study.commands.main import LEVELS, MODULES, REPORTS, in_folder, levels_parser
from study.commands.training import REPORT, TRAINING, for_hydra
from study.config.compose import compose, compose_all, read_sweep
from study.config.loader import config_loader
from study.config.paths import conf_folder
from study.hydra_plugins import register
from study.new import create
from study.records import POINTS
from tests import ROOT
from tests.support import levels, pages, theory
from tests.support.pages import PAGES

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PLACEHOLDER = re.compile(r"[A-Z]{3,}|…|\*")
API = "study.plan("


# --- names and links ------------------------------------------------------------------------------


def test_there_is_a_page_in_each_folder():
    assert {"README.md", "conf/README.md", "study/README.md", "study/COMPANY.md"} <= PAGES.keys()
    assert {"reports/README.md", "tests/README.md", "CONTRIBUTING.md"} <= PAGES.keys()
    assert len(PAGES["README.md"].splitlines()) <= 140
    assert len(PAGES["CONTRIBUTING.md"].splitlines()) <= 40


@pytest.mark.parametrize("shown", PAGES)
def test_every_link_leads_somewhere(shown):
    for path, anchor in pages.links(shown):
        assert path.exists(), path
        if anchor:
            assert anchor in pages.slugs(path.relative_to(ROOT).as_posix()), f"{path}#{anchor}"


@pytest.mark.parametrize("shown", PAGES)
def test_every_file_that_is_named_exists(shown):
    named = [
        re.match(r"(?:study|conf|reports|tests)/[\w./-]*", code) for code in pages.inline(shown)
    ]
    for code in [found.group() for found in named if found]:
        assert PLACEHOLDER.search(code) or (ROOT / code).exists(), f"{shown}: {code}"


@pytest.mark.parametrize("shown", PAGES)
def test_every_python_name_exists(shown):
    """Dotted names of this tool; keys of the configuration's `study` are no Python."""
    keys = OmegaConf.load(conf_folder() / "config.yaml")["study"]
    for code in pages.inline(shown):
        found = re.match(r"(study|reports|tests)((?:\.\w+)+)", code)
        if found and found.group(2).split(".")[1] not in keys:
            assert resolved(found.group()), f"{shown}: {found.group()}"


def resolved(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for size in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            found: object = importlib.import_module(".".join(parts[:size]))
            for part in parts[size:]:
                if not hasattr(found, part):
                    return False
                found = getattr(found, part)
            return True
    return False


# --- figures of the gallery -----------------------------------------------------------------------


def test_the_ledger_on_the_default_study_is_counted_as_on_its_page():
    """reports/README.md quotes reports/gallery/digits.html."""
    page = (ROOT / "reports" / "gallery" / "digits.html").read_text(encoding="utf-8")
    counted = r"Of (\d+) claims that textbooks make[^:]*: ([^.]*)\. (\d+) claims? cannot"
    found = re.search(counted, page)
    assert found is not None
    tested, words, left = int(found[1]), found[2], int(found[3])
    readme = re.sub(r"\s+", " ", PAGES["reports/README.md"])
    assert f"On the default study {tested} of {tested + left} can be tested: {words}." in readme


# --- commands -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the pages call mine and my_conf, with the files that they show in it."""
    folder = tmp_path_factory.mktemp("own")
    create("cell", "mine_cell", folder)
    create("trainer", "my_loop", folder)
    for page in PAGES:
        for block in pages.blocks(page, "yaml"):
            if "${args_no_hyphens}" in block:
                continue  # a sweep of W&B
            if "_target_" in block:
                (at,) = re.findall(rf"`my_conf/(\S+)`:\n\n```yaml\n{re.escape(block)}", PAGES[page])
                path = folder / at
            else:
                name = OmegaConf.create(block).get("name", "claims_of_a_page")
                path = folder / "experiment" / f"{name}.yaml"
                block = block if "@package" in block else f"# @package _global_\n{block}"
            path.parent.mkdir(exist_ok=True)
            path.write_text(block, encoding="utf-8")
        for block in pages.blocks(page, "python"):
            if "(Cell)" in block:
                (folder / "cells_of_mine.py").write_text(block, encoding="utf-8")
    return folder


@pytest.mark.parametrize("shown", PAGES)
def test_every_command_exists(shown, own):
    register()
    for words in pages.commands(shown):
        judge(words, own)


def judge(words: Sequence[str], own: Path) -> None:
    """Fails where a command of a page is none of this tool's, or does not take these arguments."""
    shown = shlex.join(words)
    if words[0] == "make":
        judge_make(words[1:], own)
    elif words[0] == "pip":
        for extra in re.findall(r"\.\[(\w+)\]", shown):
            assert extra in PROJECT["optional-dependencies"], shown
    elif "-m" in words[:2] and words[0].endswith("python"):
        module, arguments = words[2], words[3:]
        assert importlib.util.find_spec(module), shown
        if module == "study":
            judge_study(arguments, own)
        elif module == "reports":
            judge_reports(arguments)
        elif module.startswith("study."):
            judge_options(module, arguments)
    elif words[0] == "gradient-study":
        judge_subcommand(words[1], words[2:], own)
    elif words[0] == "eval":
        assert shown.endswith("gradient-study)'"), shown
    else:
        pytest.fail(f"{shown}: no command that this test knows how to check")


def judge_make(words: Sequence[str], own: Path) -> None:
    """The target and its variables exist; ARGS are overrides that compose."""
    given = dict(word.split("=", 1) for word in words if "=" in word)
    for target in [word for word in words if "=" not in word]:
        assert re.search(rf"^{target}:.*## ", MAKEFILE, re.MULTILINE), f"make {target}"
    for name in given:
        assert f"$({name})" in MAKEFILE or f"$(or $({name})" in MAKEFILE, f"make {name}="
    name = given.get("STUDY", "digits")
    if not PLACEHOLDER.search(name) and "STUDY" in given:
        judge_study([f"experiment={name}"], own)
    if "ARGS" in given:
        search = ["search=default"] if "search" in words else []
        judge_study([*search, *shlex.split(given["ARGS"])], own)


def judge_study(arguments: Sequence[str], own: Path) -> None:
    """The overrides compose, with the first value of what is swept."""
    rest, folders = list(arguments), []
    while "--config-dir" in rest:
        at = rest.index("--config-dir")
        folders, rest = [own], [*rest[:at], *rest[at + 2 :]]
    if "--cfg" in rest:
        del rest[rest.index("--cfg") + 1]
    rest = [word for word in rest if word not in ("-m", "--cfg", "--info", "--help")]
    assert not [word for word in rest if word.startswith("-")], arguments
    loader = config_loader(folders)
    fixed, searched = [], []
    for override in OverridesParser.create(config_loader=loader).parse_overrides(rest):
        if override.is_sweep_override() and not override.is_discrete_sweep():
            searched.append(override.get_key_element())
        elif override.is_sweep_override():
            value = next(iter(override.sweep_string_iterator()))
            fixed.append(f"{override.get_key_element()}={value}")
        else:
            fixed.append(override.input_line)
    config = compose(loader, "config", fixed).config
    for key in searched:
        assert OmegaConf.select(config, key) is not None, f"{key}: no such key"


def judge_subcommand(name: str, arguments: Sequence[str], own: Path) -> None:
    """As the module that it stands for."""
    if name in TRAINING:
        given = [word for word in arguments if word != REPORT]
        judge_study(for_hydra(name, given), own)
    elif name in REPORTS:
        judge_reports([name, *in_folder(name, arguments)])
    elif name in LEVELS:
        levels_parser().parse_args(arguments)
    else:
        judge_options(MODULES[name][0], arguments)


def judge_reports(arguments: Sequence[str]) -> None:
    """The arguments are taken; a command that is only named has help."""
    named = arguments if len(arguments) > 1 else [*arguments, "--help"]
    with contextlib.redirect_stderr(io.StringIO()) as error, contextlib.redirect_stdout(error):
        try:
            reports.__main__.parser().parse_args(named)
        except SystemExit as end:
            assert end.code == 0, f"python -m reports {shlex.join(arguments)}: {error.getvalue()}"


def judge_options(module: str, arguments: Sequence[str]) -> None:
    """The options stand in the command's own help."""
    if options := [word for word in arguments if word.startswith("--")]:
        with contextlib.redirect_stdout(io.StringIO()) as text, pytest.raises(SystemExit):
            importlib.import_module(module).main(["--help"])
        for option in options:
            assert re.search(rf"{option}\b(?!-)", text.getvalue()), f"python -m {module} {option}"


BASES = (
    [],
    ["search=default", "hydra/sweeper=optuna"],
    ["executor=slurm"],
    ["executor=ray"],
    ["probe=[train_profile]"],
    ["encoder=conv"],
    ["penalty=pascanu"],
    ["initializer=normal"],
    ["optimizer=torch", "schedule=step", "average=ema"],
    *([f"task={name}"] for name in ("ucr", "csv", "text", "mnist")),
)


@pytest.fixture(scope="module")
def composed() -> list[DictConfig]:
    """The configuration beside each of BASES: together they have every key."""
    register()
    return [compose(config_loader(), "config", base).config for base in BASES]


@pytest.mark.parametrize("shown", PAGES)
def test_every_setting_in_the_text_exists(shown, composed, own):
    """key=value between backticks: a level of conf/, or a key; NAME=… is a variable of make."""
    for code in pages.inline(shown):
        words = code.split()
        if re.match(r"[A-Z]+=", code):
            judge_make(["help", *shlex.split(code)], own)
        elif all(re.match(r"[a-z_./]+=[^\"]+$", word) for word in words) and "=True" not in code:
            for key, value in (word.split("=", 1) for word in words):
                assert exists(key, value, composed), f"{shown}: {code}"


def exists(key: str, value: str, composed: Sequence[DictConfig]) -> bool:
    """Whether a key is there, and the levels of one that is a folder of conf/."""
    if (conf_folder() / key).is_dir() and value != "[]":
        names = [
            name for name in re.split(r"[,|]", value.strip("[]")) if not PLACEHOLDER.search(name)
        ]
        return all((conf_folder() / key / f"{name}.yaml").exists() for name in names)
    return any(has(config, key) for config in composed)


def has(config: DictConfig, key: str) -> bool:
    node, _, last = key.rpartition(".")
    return last in ((OmegaConf.select(config, node) if node else config) or {})


# --- blocks ---------------------------------------------------------------------------------------


def test_every_yaml_block_is_a_configuration(own):
    """Experiments compose with all their factors, claims and contrasts; pieces with their class."""
    register()
    loader, names = config_loader([own]), {path.stem for path in (own / "experiment").iterdir()}
    assert {"lags", "mine", "claims_of_a_page"} <= names
    for name in names:
        chosen = [f"experiment={name}"]
        config = loader.load_configuration("config", chosen, run_mode=RunMode.MULTIRUN)
        params = dict(config.hydra.sweeper.params)
        params |= CLIPPED if name == "claims_of_a_page" else {}
        study_of = read_sweep(loader, params, chosen)
        assert len(compose_all(loader, "config", study_of)) >= 12
    piece = compose(loader, "config", ["cell=leaky"]).config["cell"]
    assert piece == {"_target_": "cells_of_mine.Leaky", "a": 0.1}


def test_a_sweep_of_wandb_starts_a_command_that_takes_its_parameters(own):
    """As an agent starts it: with each parameter as KEY=VALUE."""
    blocks = [block for page in PAGES for block in pages.blocks(page, "yaml")]
    (sweep,) = (yaml.safe_load(block) for block in blocks if "${args_no_hyphens}" in block)
    register()
    given = {
        name: node["values"][0] if "values" in node else node["min"]
        for name, node in sweep["parameters"].items()
    }
    words = [word for word in sweep["command"] if word != "${env}"]
    assert words[0] == "${interpreter}" and words.pop() == "${args_no_hyphens}"
    judge(["python", *words[1:], *(f"{key}={value}" for key, value in given.items())], own)
    assert sweep["metric"]["name"] in {column.name for column in POINTS}


CLIPPED = {
    "cell": "rnn,lstm,gru",
    "initializer": "orthogonal,normal_large",
    "clip": "none,norm",
    "seed": "0,1,2",
}


def python(page: str, *, api: bool) -> Iterator[str]:
    return (code for code in pages.blocks(page, "python") if (API in code) == api)


WITH_PYTHON = [page for page in PAGES if any(python(page, api=False))]


@pytest.mark.parametrize("shown", WITH_PYTHON)
def test_every_python_block_runs(shown, tmp_path, monkeypatch):
    """Those of a shown one after another, as somebody pastes them."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "pasted"}
    for code in python(shown, api=False):
        exec(code, names)


def test_the_python_api_runs_as_shown(tmp_path):
    """Both pages in one folder: the second finds the points stored."""
    code = "\n".join(code for page in PAGES for code in python(page, api=True))
    assert code.count(API) >= 2
    (tmp_path / "pasted.py").write_text(code, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "pasted.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (tmp_path / "outputs" / "quick" / "report.html").stat().st_size > 10_000


# --- tables ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows() -> list[theory.Row]:
    return list(theory.rows())


def test_every_row_of_the_theory_table_holds(rows):
    assert [row.setting for row in rows if not row.holds] == []
    assert len(rows) >= 13


def test_the_theory_table_is_shown_as_it_comes_out(monkeypatch, rows):
    monkeypatch.setattr(theory, "rows", lambda: rows)
    assert "\n".join(theory.lines()) in PAGES["reports/README.md"]


def test_the_table_of_levels_is_that_of_conf():
    table = "\n".join(levels.lines())
    assert table in PAGES["conf/README.md"], "run python -m tests.support.levels"
    for path in Path(conf_folder()).rglob("*.yaml"):
        if path.parent != Path(conf_folder()):
            assert f"`{path.stem}`" in table, path


@pytest.mark.parametrize("group", ["experiment", "task", "probe"])
def test_every_level_is_explained(group):
    """Beside the table of levels, which only names them."""
    text = PAGES["conf/README.md"].replace("\n".join(levels.lines()), "")
    for path in sorted((Path(conf_folder()) / group).glob("*.yaml")):
        assert f"`{path.stem}`" in text, f"{group}/{path.name}"


# --- the API page ---------------------------------------------------------------------------------


def test_the_api_page_is_made_from_docstrings(tmp_path):
    """The command of make api; a warning is a door that does not open."""
    assert "$(PY) -m tests.support.api build/api" in MAKEFILE
    command = [sys.executable, "-m", "tests.support.api", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0 and "Warn" not in ran.stderr, ran.stderr
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.html")}
    assert {"study.html", "study/interfaces.html", "study/battery.html"} <= made
    assert {"study/diagnostics/watch.html", "reports/interfaces.html"} <= made
    assert not {name for name in made if name.startswith(("study/training", "reports/figures"))}
    for page, name in (("study", "plan"), ("study/battery", "check_cell")):
        assert f'id="{name}"' in (tmp_path / f"{page}.html").read_text(encoding="utf-8")

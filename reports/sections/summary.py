"""The first screen: what came out, how sure it is, what went wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.arms import outcome_words, ranked, score_words, summary, verdict_words, with_counted
from reports.blocks import Box, Facts, Matrices, Matrix, Notice, Prose, Section
from reports.data import MISSING, Study
from reports.effects import main_effects
from reports.prediction import at_share, prediction_word
from reports.statistics import Estimate, mean_interval, wilson
from reports.words import OUTCOME_SYMBOLS, VERDICT_SYMBOLS, count, duration, interval, known, level, levels, listing, number, percent
from study.records import VERDICTS


class Summary:
    """`trusted`: seeds below which the report says that the intervals are wide and single arms are not tested."""

    title = "Summary"
    needs = ()

    def __init__(self, *, trusted: int, draws: int) -> None:
        self.trusted, self.draws = trusted, draws

    def render(self, study: Study) -> Section:
        arms = summary(study)
        points = with_counted(study)
        blocks: list[object] = []
        missing = int((study.grid["status"].isin([MISSING, "failed"])).sum())
        if missing:
            blocks.append(Notice(f"INCOMPLETE {len(study.grid) - missing}/{len(study.grid)}: every number below rests on the points that are there.", "banner"))
        for sentence in self._answer(study, arms, points):
            blocks.append(Prose(sentence, "lead"))
        blocks.append(Facts(self._facts(study, arms, points)))
        blocks.append(Prose(self._time(study, points), "small"))
        blocks.append(self._matrix(study, arms))
        caveats = self._caveats(study, arms, points)
        if caveats:
            blocks.append(Notice("Before you rely on this:", "caution", caveats))
        return Section(blocks)

    # --- the answer ------------------------------------------------------------------------------------------------

    def _answer(self, study: Study, arms: pd.DataFrame, points: pd.DataFrame) -> list[str]:
        if points.empty:
            return ["No point has been trained yet: there is no answer."]
        solved = wilson(int((points["outcome"] == "solved").sum()), len(points))
        said = [
            f"{round(solved.value * len(points))} of {len(points)} trained networks solved the task ({percent(solved.value)}, 95 % interval {_span(solved)})."
        ]
        effects = self._effects(study, points)
        if effects:
            said.append(effects)
        order = ranked(study, arms)
        if len(order):
            said.append(self._leaders(study, order))
        paragraphs = [" ".join(said)]
        health = self._health(study, points)
        return [*paragraphs, health] if health else paragraphs

    def _effects(self, study: Study, points: pd.DataFrame) -> str:
        """Main effects, largest first; those whose interval holds 0 are only named."""
        effects = main_effects(study, points)
        shown = [one for one in effects if one.difference.low > 0]
        quiet = [one.factor for one in effects if not one.difference.low > 0]
        parts = []
        for one in shown:
            said = f"{level(one.factor, one.better)} {number(one.better_mean)} against {level(one.factor, one.worse)} {number(one.worse_mean)}"
            parts.append(f"{one.factor} by {number(one.difference.value)} {interval(one.difference.low, one.difference.high)} ({said})")
        text = f"Averaged over everything else, mean test {study.metric} differs by {'; '.join(parts)}." if parts else ""
        if quiet:
            text += (
                f" For {listing(quiet)} no difference is shown." if parts else f"No factor shows a difference in mean test {study.metric} ({listing(quiet)})."
            )
        return text

    def _leaders(self, study: Study, order: pd.DataFrame) -> str:
        best = order.iloc[0]
        text = f"The arm with the {'highest' if study.higher_is_better else 'lowest'} mean is {best['label']} at {_score(best['score'])}"
        if len(order) == 1:
            return text + "."
        second = order.iloc[1]
        close = [one for one in order["score"][1:] if known(one.half) and abs(one.value - best["score"].value) <= np.hypot(one.half, best["score"].half)]
        text += f", then {second['label']} at {_score(second['score'])}"
        if known(best["score"].half):
            text += f"; {count(len(close), 'other arm')} cannot be told apart from it with these seeds" if close else ""
        return text + ". It was chosen on these seeds, so its mean is flattered: only fresh seeds tell."

    def _health(self, study: Study, points: pd.DataFrame) -> str:
        judged = points[points["verdict"].notna()]
        if judged.empty:
            return ""
        begun = judged["state_init"].isin(["vanishing", "fading"])
        opened, shut = int((judged["verdict"] == "opens").sum()), int((judged["verdict"] == "shut").sum())
        text = (
            f"At initialization the gradient of {int(begun.sum())} of {len(judged)} networks vanished or faded before the judged lag; "
            f"{opened} opened in training, {shut} stayed shut"
        )
        unhealthy = judged["verdict"].isin(["shut", "closes", "explodes"])
        solved = int((judged.loc[unhealthy, "outcome"] == "solved").sum())
        text += f", and {solved} of the {int(unhealthy.sum())} that ended without carrying solved the task all the same." if unhealthy.any() else "."
        return f"{text} {prediction_word(study, points, at_share(study, 1.0), 'at the end', self.draws)}"

    # --- facts, matrix, caveats --------------------------------------------------------------------------------------

    def _facts(self, study: Study, arms: pd.DataFrame, points: pd.DataFrame) -> list[tuple[str, str, str]]:
        status = study.grid["status"].value_counts()
        get = lambda name: int(status.get(name, 0))  # noqa: E731
        notes = [f"{get(name)} {name}" for name in ("pruned", "failed", MISSING)]
        facts = [
            ("points done", f"{get('done')} of {len(study.grid)}", ", ".join(notes)),
            ("seeds", str(len(study.seeds)), f"an arm; {count(len(arms), 'arm')}"),
            ("diverged", str(get("diverged")), f"{percent(get('diverged') / max(1, len(points)))} of those trained"),
        ]
        order = ranked(study, arms)
        if len(order):
            facts.append(("highest mean arm" if study.higher_is_better else "lowest mean arm", _score(order.iloc[0]["score"]), order.iloc[0]["label"]))
        else:
            facts.append(("best arm", "n/a", "nothing trained yet"))
        return [*facts, self._gap(study, order)]

    def _time(self, study: Study, points: pd.DataFrame) -> str:
        wall = sum(float(launch.get("seconds") or 0) for launch in study.launches)
        devices = listing(sorted({str(launch.get("device") or "unknown device") for launch in study.launches}) or ["unknown device"])
        trained = float(points["seconds"].sum())
        hours = f" = {number(trained / 3600)} device hours" if trained >= 360 else ""
        launches = count(len(study.launches), "launch", "launches")
        return f"Wall clock {duration(wall)} over {launches}; {duration(trained)}{hours} of training summed over points (device: {devices})."

    def _gap(self, study: Study, order: pd.DataFrame) -> tuple[str, str, str]:
        if len(order) < 2:
            return "gap to runner-up", "n/a", "one arm"
        a, b = order.iloc[0], order.iloc[1]
        gap = abs(a["score"].value - b["score"].value)
        noise = mean_interval(a["scores"]), mean_interval(b["scores"])
        half = np.hypot(noise[0].half, noise[1].half)
        return "gap to runner-up", number(gap) + (f" ± {number(half)}" if known(half) else ""), f"{b['label']}; shown, not tested"

    def _matrix(self, study: Study, arms: pd.DataFrame) -> Matrices:
        row_key, column_key = study.sides
        rows, columns = study.levels(row_key), study.levels(column_key)
        at = {tuple(arm[key] for key in (row_key, column_key, *study.others)): arm for _, arm in arms.iterrows()}
        matrices, hidden = [], 0
        for block in study.combinations(study.others):
            # A row, column or matrix without any arm says nothing that the design does not say once.
            own_rows = [row for row in rows if any((row, column, *block.values()) in at for column in columns)]
            own_columns = [column for column in columns if any((row, column, *block.values()) in at for row in rows)]
            hidden += len(rows) * len(columns) - len(own_rows) * len(own_columns)
            if not own_rows:
                continue
            boxes = []
            for row in own_rows:
                boxes.append([self._box(study, at.get((row, column, *block.values())), {row_key: row, column_key: column, **block}) for column in own_columns])
            heads = [level(row_key, row) for row in own_rows], [level(column_key, column) for column in own_columns]
            matrices.append(Matrix(levels(block) if block else "", f"{row_key} \\ {column_key}", *heads, boxes))
        enough = "a single word needs 5 seeds of which 80 % agree" if len(study.seeds) < 5 else "counts where fewer than 80 % of the seeds agree"
        caption = (
            f"Each box: how transport changed (verdict), whether it learned (outcome), mean test {study.metric} with 95 % interval over seeds, n seeds. "
            f"Counts are seeds; {enough}. The verdict describes transport, not success."
        ) + (f" {count(hidden, 'combination')} left out by the design {'is' if hidden == 1 else 'are'} not shown." if hidden else "")
        legend = [(f"{VERDICT_SYMBOLS[name]} {name}", f"v-{name}") for name in VERDICTS]
        return Matrices(matrices, caption, legend)

    def _box(self, study: Study, arm: pd.Series | None, labels: dict[str, str]) -> Box:
        if arm is None:
            why = study.why_excluded(labels)
            return Box([("excluded" if why else "not in the grid", "word"), (why or "", "")], "empty")
        if not arm["n"]:
            return Box([("no point yet", "word"), (f"0 of {arm['declared']} seeds", "")], "empty")
        word, kind = verdict_words(arm)
        short = "" if arm["n"] == arm["declared"] else f" of {arm['declared']}"
        return Box([(word, "word"), (outcome_words(arm), "outcome"), (f"{score_words(arm['score'])} · n={arm['n']}{short}", "score")], kind)

    def _caveats(self, study: Study, arms: pd.DataFrame, points: pd.DataFrame) -> list[str]:
        said = []
        seeds = len(study.seeds)
        if seeds < self.trusted and len(arms) > 1:
            said.append(
                f"{count(seeds, 'seed')} an arm: single arms are shown with their intervals and not tested against each other (no permutation "
                "test of two arms can reach p < .05 below 4 seeds each)."
            )
        if points.empty:
            return said
        diverged = points[points["status"] == "diverged"]
        if len(diverged):
            where = diverged[study.sides[0]].value_counts()
            said.append(
                f"{count(len(diverged), 'point')} diverged ({listing(f'{n} {level(study.sides[0], name)}' for name, n in where.items())}) and "
                f"{'counts' if len(diverged) == 1 else 'count'} with the memoryless baseline, never dropped."
            )
        silent = int((points["outcome"] == "silently diverged").sum())
        if silent:
            said.append(f"{count(silent, 'point')} diverged silently: {OUTCOME_SYMBOLS['silently diverged']} back at the baseline with nothing non-finite.")
        if not any("lr" in key.rpartition(".")[2] or key == "tuned" for key in study.factors) and not study.declaration.get("arms"):
            said.append("The learning rate is the same for every arm and not tuned: differences between cells and initializers hold at this rate.")
        edges = self._margins(study)
        if edges:
            said.append(edges)
        if len(study.also):
            said.append(f"{count(len(study.also), 'stored point')} outside the declared grid left out.")
        return said

    def _margins(self, study: Study) -> str:
        states = study.table("states")
        if states.empty:
            return ""
        last = states[states["layer"] == "network"].sort_values("stage").groupby("id").tail(1)
        near = int((last["margin"].astype(float) < 0.5).sum())
        return f"{near} of {len(last)} points end within half a decade of another class; the class limits are provisional." if near else ""


def _score(of: Estimate) -> str:
    return score_words(of)


def _span(of: Estimate) -> str:
    return f"{percent(of.low)} to {percent(of.high)}"

"""Design: factors, levels, exclusions, fixed settings and the budget, as declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from reports.analysis.rates import rate_is_chosen, rate_words
from reports.blocks import Definitions, Fold, Notice, Prose, Section, Table
from reports.data.own_training import notes_on_models, notes_on_trainers
from reports.data.study import NO_RULE, Study, perfect
from reports.formatting import as_number, count, known, level, levels, listing, score_number

BUDGET = (
    "updates",
    "batch",
    "accumulate",
    "hidden",
    "depth",
    "optimizer",
    "optimizer.name",
    "optimizer.lr",
    "schedule",
    "average",
    "dropout",
    "stop.solved_checks",
)  # fixed settings that come first


class Design:
    """The declaration, in words and tables."""

    title = "Design"
    needs = ()

    def render(self, study: Study) -> Section:
        full = len(study.declared_arms)
        left_out = full - len(study.arms)
        sentences = (
            f"{count(len(study.arms), 'recipe')} × {count(len(study.seeds), 'seed')} ="
            f" {count(len(study.grid), 'network')}"
        )
        sentences += (
            f"; {count(left_out, 'combination')} of {full} left out."
            if left_out
            else ", the full factorial."
            if study.factors
            else "."
        )
        sentences += (
            " There is no column of seeds: rows of one recipe are its replicates, numbered in"
            " order."
            if study.replicates
            else " Seeds are replicates, not a factor, as they were recorded."
            if study.adopted
            else f" Seeds are replicates, not a factor: {_seeds(study)}."
        )
        blocks: list[object] = [Prose(sentences)]
        if study.factors:
            rows = [
                [factor, ", ".join(names), str(len(names))]
                for factor, names in study.factors.items()
            ]
            blocks.append(Table(["factor", "levels", "how many"], rows, "Factors and their levels"))
        excluded = study.declaration.get("excluded", [])
        if excluded:
            rows = [
                [
                    levels({key: str(label) for key, label in one["labels"].items()}),
                    str(one.get("why", "no reason given")),
                ]
                for one in excluded
            ]
            table = Table(
                ["combination", "why"], rows, "Combinations left out, with the reason given"
            )
            if len(rows) <= 8:
                blocks.append(table)
            else:
                reasons = [row[1] for row in rows]
                counted = [[why, str(reasons.count(why))] for why in dict.fromkeys(reasons)]
                blocks.append(
                    Table(["why", "combinations"], counted, "Why combinations were left out")
                )
                blocks.append(Fold(f"All {count(len(rows), 'combination')} left out", [table]))
        if study.as_skill:
            note = (
                "The tasks are scored by several metrics, so scores are shown as skill: 0 is the"
                " memoryless baseline of the task, 1 is perfect (no error)."
            )
            none = [
                name
                for name, facts in study.tasks.items()
                if facts.get("baseline") == perfect(facts)
            ]
            if none:
                note += f" On {listing(none)} the baseline is perfect: there is no skill to have."
            blocks.append(Prose(note))
        blocks += self._settings(study)
        return Section(blocks)

    def _settings(self, study: Study) -> list[object]:
        set_by_arm = study.declaration.get("arms", [])
        tuned = [level(key, "") for key in study.factors if "tuned" in key]
        sentences = "No setting was tuned: every recipe has the same fixed settings" + (
            ", but for those that the study sets for single recipes." if set_by_arm else "."
        )
        if study.adopted:
            sentences = (
                "How the networks were trained, and which settings were tuned, is known as far as"
                " it is a factor or listed below."
            )
        if tuned:
            sentences = "Tuning is a factor of this study (tuned)."
        rates = (
            rate_words(study) if not study.adopted and "optimizer.lr" not in study.constant else ""
        )
        if rates and not rate_is_chosen(study):
            sentences += f" Learning rate: {rates}."
        budget = [f"{key} {study.constant[key]}" for key in BUDGET if key in study.constant]
        sentences += f" Budget and size of every network: {', '.join(budget)}." if budget else ""
        blocks: list[object] = [Prose(sentences.strip())] if sentences else []
        if set_by_arm:
            rows = [
                [
                    levels(_texts(one.get("when", {}))),
                    ", ".join(f"{key} = {value}" for key, value in one.get("set", {}).items()),
                ]
                for one in set_by_arm
            ]
            blocks.append(
                Table(["recipe", "settings of its own"], rows, "Settings of single recipes")
            )
        if study.constant:
            rows = [[key, text] for key, text in study.constant.items()]
            blocks.append(
                Fold(
                    f"{count(len(rows), 'setting')} fixed for every network",
                    [Table(["setting", "value"], rows, "The same for every network")],
                )
            )
        for kind, of_kind in (
            ("model", notes_on_models(study)),
            ("trainer", notes_on_trainers(study)),
        ):
            for name, notes in of_kind.items():
                items = [("Note", note) for note in notes]
                blocks.append(Fold(f"The {kind} {name}", [Definitions(items)]))
        for name, facts in study.tasks.items():
            if warnings := _sentences(facts, "warnings"):
                blocks.append(Notice(f"Warnings on the data of {name}:", "caution", warnings))
            # Baselines of scores shown as skill are 0.
            if study.adopted:
                blocks.append(Fold(f"The task {name}", [Definitions(_as_recorded(facts, study))]))
                continue
            own = study.stored.drop(columns=["baseline"] if study.as_skill else [])
            own = own[own["task"].isin([name]) | (len(study.tasks) == 1)]
            blocks.append(Fold(f"The task {name}", [Definitions(self._task(facts, own))]))
        return blocks

    def _task(self, facts: Mapping[str, object], points: pd.DataFrame) -> list[tuple[str, str]]:
        """Facts as declared, which are of the longest; those of its stored points where they have
        them.
        """
        better = "higher is better" if facts.get("higher_is_better") else "lower is better"
        sign = "at least" if facts.get("higher_is_better") else "at most"
        return [
            (
                "Sequences",
                (
                    f"{_range(points, 'steps', facts.get('steps'), _whole)} steps,"
                    f" {facts.get('inputs')} input(s) per step,"
                    f" {facts.get('outputs')} output(s), longest lag asked for"
                    f" {_range(points, 'lag', facts.get('lag') or 'not declared', _whole)}"
                ),
            ),
            ("Loss and metric", f"{facts.get('loss')}; {facts.get('metric')}, {better}"),
            (
                "Memoryless baseline",
                (
                    f"loss {_range(points, 'baseline_loss', facts.get('baseline_loss'), _figure)},"
                    f" {facts.get('metric')}"
                    f" {_range(points, 'baseline', facts.get('baseline'), _figure)}:"
                    " the best guess that ignores the sequence"
                ),
            ),
            (
                "Solved",
                f"validation {facts.get('metric')} of {sign} {_figure(facts.get('solved'))}"
                if facts.get("solved", 0.0) is not None
                else NO_RULE,
            ),
            ("Split", str(facts.get("split"))),
            ("Source and licence", f"{facts.get('source')}; {facts.get('licence')}"),
            *(("Notes", note) for note in _sentences(facts, "notes")),
        ]


def _as_recorded(facts: Mapping[str, object], study: Study) -> list[tuple[str, str]]:
    """What is known of a task whose runs were adopted."""
    better = "higher is better" if facts.get("higher_is_better") else "lower is better"
    sign = "at least" if facts.get("higher_is_better") else "at most"
    columns = study.declaration.get("adopted") or {}
    validated = study.recorded("val_score")
    solved = facts.get("solved")
    return [
        ("Score", f"column {columns.get('score')}: {facts.get('metric')}, {better}"),
        (
            "Validation score",
            f"column {columns['val_score']}"
            if columns.get("val_score")
            else "best of the curves"
            if validated
            else "not recorded",
        ),
        (
            "Memoryless baseline",
            _figure(facts["baseline"]) if "baseline" in facts else "not recorded",
        ),
        (
            "Solved",
            f"{'validation' if validated else 'test'} {facts.get('metric')} of {sign}"
            f" {_figure(solved)}"
            if solved is not None
            else study.no_rule,
        ),
        ("Sequences, split, source and licence", "not recorded"),
    ]


def _seeds(study: Study) -> str:
    of_engine = (
        "a seed gives every recipe the same order of data and the same streams of random numbers"
    )
    trainers = study.declaration.get("trainers") or []
    if not trainers:
        return of_engine
    own = "a seed is what the trainer of a network may draw from"
    engine = any(row["labels"].get("trainer") not in trainers for row in study.declaration["grid"])
    return f"{of_engine}, but for trainers of the reader's own, where {own}" if engine else own


def _range(
    points: pd.DataFrame, column: str, declared: object, text: Callable[[object], str]
) -> str:
    """What the stored points have, from lowest to highest if they differ; else as declared."""
    column = as_number(column) if as_number(column) in points else column
    found = points[column].dropna() if column in points else points.index[:0]
    if found.empty:
        return text(declared)
    low, high = (text(float(end)) for end in (found.min(), found.max()))
    return low if low == high else f"{low} to {high}"


def _whole(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


def _figure(value: object) -> str:
    return (
        score_number(float(value), 3)
        if isinstance(value, int | float) and known(float(value))
        else "n/a"
    )


def _sentences(facts: Mapping[str, object], key: str) -> list[str]:
    """Sentences of a task on its data; older studies have none."""
    found = facts.get(key)
    return [str(each) for each in found] if isinstance(found, list | tuple) else []


def _texts(labels: dict[str, object]) -> dict[str, str]:
    return {key: str(label) for key, label in labels.items()}

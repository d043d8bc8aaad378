"""Tuning: what the search spent on each arm, what it found, and how far to trust it."""

from __future__ import annotations

from reports.analysis.arms import with_counted, with_interval
from reports.analysis.effect_words import reversed_words
from reports.analysis.effects import main_effects
from reports.blocks import Cell, Definitions, Fold, Notice, Prose, Rows, Section, Table
from reports.data.search import Search, find, objective_name, setting, shown
from reports.data.study import Study
from reports.formatting import (
    count,
    duration,
    known,
    listing,
    number,
    percent,
    score_number,
    short_names,
)


class Tuning:
    """Budget, best setting against default by arm, values at an edge, flatness of the optimum."""

    title = "Tuning"
    needs = ()

    def render(self, study: Study) -> Section:
        search = find(study)
        if search is None:
            return Section([])
        blocks: list[object] = [
            Prose(budget_words(search)),
            Prose(gain_words(study, search)),
            *cautions(search),
            by_arm(search),
        ]
        blocks.append(Fold("How it was searched", [Definitions(how(search))]))
        return Section(blocks)


def budget_words(search: Search) -> str:
    """The budget, in words."""
    arms, facts = search.arms, search.summary
    examples = {arm["examples"] for arm in arms}
    seconds = sum(arm["seconds"] for arm in arms)
    trials = {arm["trials"] for arm in arms}
    many = f"{min(trials)}" + (f" to {max(trials)}" if len(trials) > 1 else "")
    same = (
        f"the same {next(iter(examples)):,}"
        if len(examples) == 1
        else f"{min(examples):,} to {max(examples):,}"
    )
    sentence = (
        f"{listing(search.keys)} were tuned on validation data: {many} trials for each of"
        f" {count(len(arms), 'recipe')}, {same} examples seen in training by each,"
        f" {duration(seconds)} of training. The first trial of a recipe is the default setting."
    )
    pruned, failed = sum(arm["pruned"] for arm in arms), sum(arm["failed"] for arm in arms)
    sentence += f" {count(pruned, 'trial')} ended early." if pruned else ""
    sentence += f" {count(failed, 'trial')} failed for good." if failed else ""
    return sentence if facts["complete"] else f"The search is not finished. {sentence}"


def gain_words(study: Study, search: Search) -> str:
    """Gains on the search's own data, and on test data with fresh seeds if the study has both."""
    gains = [
        search.sign * (arm["best"]["score"] - arm["default"]["score"])
        for arm in search.arms
        if arm["best"] and known(arm["default"]["score"])
    ]
    won = sum(gain > 0 for gain in gains)
    sentence = ""
    if gains:
        sentence = (
            f"On the search's validation data a setting better than the default was found in {won}"
            f" of {count(len(gains), 'recipe')}; the gain runs from {score_number(min(gains), 3)}"
            " to"
            f" {score_number(max(gains), 3)}. That gain is a best of several and so looks larger"
            " than it is."
        )
    if "tuned" in study.factors:
        found = next(
            (
                one
                for one in main_effects(study, with_counted(study))
                if one.factor == "tuned" and known(one.difference.low)
            ),
            None,
        )
        if found is not None and found.reversed_by:
            depends = reversed_words(found.reversed_by, "score")
            sentence += f" On test data with fresh seeds, {depends}."
        elif found is not None:
            effect, better = found.difference, "tuned" if found.better == "True" else "default"
            clear = effect.low > 0
            sentence += (
                f" On test data with fresh seeds, {better} recipes are better by"
                f" {with_interval(effect, 3)} in"
                f" {study.metric} on"
                f" average{'' if clear else ', an interval with 0 in it: inconclusive'}."
            )
    return sentence


def cautions(search: Search) -> list[object]:
    """Reasons to be careful with the settings found."""
    edges = [
        f"{search.labels[arm['arm']]}: {key} {shown(arm['best']['setting'][key])}, the {edge} end"
        for arm in search.arms
        if arm["best"]
        for key, edge in arm["best"]["boundary"].items()
    ]
    blocks: list[object] = []
    if edges:
        blocks.append(
            Notice(
                f"{count(len(edges), 'best value')} at an edge of the space: a better one may lie"
                " beyond.",
                "caution",
                edges,
            )
        )
    without = [search.labels[arm["arm"]] for arm in search.arms if not arm["best"]]
    if without:
        blocks.append(
            Notice(
                "No trial finished in these recipes, so they have no tuned setting.",
                "caution",
                without,
            )
        )
    if any(not arm["default"]["inside"] for arm in search.arms):
        blocks.append(
            Notice("The default setting lies outside the space that was searched.", "caution")
        )
    return blocks


def by_arm(search: Search) -> Table:
    rows: Rows = []
    for arm in search.arms:
        best, flat = arm["best"], arm.get("flat") or {}
        default = arm["default"]["score"]
        spread = f" ± {number(best['se'], 3)}" if best and known(best["se"]) else ""
        label = search.labels[arm["arm"]]
        if not best:
            rows.append(
                [
                    label,
                    score_number(default, 3),
                    "n/a",
                    "n/a",
                    "none finished",
                    str(arm["trials"]),
                    "n/a",
                ]
            )
            continue
        spent = percent(arm["examples"] / arm["examples_budget"])
        gain = search.sign * (best["score"] - default) if known(default) else None
        rows.append(
            [
                label,
                Cell(score_number(default, 3), default),
                Cell(f"{score_number(best['score'], 3)}{spread}", best["score"]),
                Cell(number(gain, 3, sign=True), gain),
                Cell(
                    "the default" if best["is_default"] else setting(best["setting"]), kind="free"
                ),
                Cell(
                    f"{arm['trials']}" + ("" if spent == "100 %" else f" ({spent} of the budget)"),
                    arm["trials"],
                ),
                Cell(
                    f"{flat['near']} of {flat['of']}: {ranges(flat['ranges'])}",
                    flat["near"],
                    "wrap",
                ),
            ]
        )
    notes = (
        "± one standard error over validation examples. Flat: trials whose score is within one"
        " standard error of the best, and the values they have; where they are many and far apart,"
        " the setting hardly matters there."
    )
    columns = ["recipe", "default", "best", "gain", "setting", "trials", "flat"]
    return Table(
        columns,
        rows,
        "Validation score of the default and the best setting by recipe",
        notes,
        filtered=True,
    )


def ranges(values: dict[str, list[object]]) -> str:
    texts = []
    names = short_names(values)
    for key, summary in values.items():
        name = names[key]
        texts.append(
            f"{name} {shown(summary[0])}"
            if len(summary) == 1 or summary[0] == summary[-1]
            else f"{name} {shown(summary[0])}…{shown(summary[-1])}"
        )
    return ", ".join(texts)


def how(search: Search) -> list[tuple[str, str]]:
    facts = search.summary
    return [
        *((key, text) for key, text in facts["space"].items()),
        ("sampler, pruner", f"{facts['sampler']}, {facts['pruner']}"),
        (
            "seeds",
            f"{listing(str(seed) for seed in facts['seeds'])}; the study's networks have others",
        ),
        ("objectives", listing(map(objective_name, facts["objectives"]))),
        ("trials", f"{facts['trials']} a recipe; budget counted in {facts['budget']}"),
        ("kept in", str(facts["storage"])),
    ]

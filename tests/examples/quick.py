# %% [markdown]
# # A study from Python
# Two cells, three seeds, 60 updates each: some seconds on two cores. This notebook is made from
# `tests/examples/quick.py` by `python -m tests.support.notebook`; the tests run both.

# %%
import study

# %% [markdown]
# A list or a range makes a factor, a single value a setting. Planning checks everything and trains
# nothing. Overrides with a dot are texts, as on the command line.

# %%
plan = study.plan(
    "quick", "tracker=[]", cell=["rnn", "gru"], initializer="orthogonal", seed=range(3), updates=60
)
print(plan)

# %% [markdown]
# Running trains what has no result yet; running it again trains nothing.

# %%
result = study.run(plan)
print(result.points.groupby("cell")["score"].agg(["mean", "min", "max"]))

# %% [markdown]
# Every table of the store is a frame, with the factors beside each row. D is transport at the
# task's lag, in decades: 0 is carried whole, -4 has vanished.

# %%
states = result.table("states")
network = states[states["layer"] == "network"]
print(network.groupby(["cell", "stage"])["D"].median().unstack("stage").round(1))

# %% [markdown]
# A section's figure is a matplotlib figure. The report has all of them.

# %%
figure = result.figure("gradient_flow", cell="gru")
figure.savefig("gradient_flow.png")

# %%
print("report:", result.report())

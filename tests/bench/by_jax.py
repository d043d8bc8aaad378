"""An update of a minGRU or an LRU by JAX, on one thread: run by the Python of an environment that
has it, python by_jax.py SIZES, where SIZES is JSON. CPU seconds by cell and way, as JSON.
"""

import json
import os
import sys
import time

# before JAX is imported
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax  # type: ignore[import-not-found, unused-ignore]  # noqa: E402
import jax.numpy as jnp  # type: ignore[import-not-found, unused-ignore]  # noqa: E402

RATE = 1e-3


def step_by_step(a, b):
    """h_t = a_t h_{t-1} + b_t by lax.scan."""

    def step(h, ab):
        h = ab[0] * h + ab[1]
        return h, h

    return jax.lax.scan(step, jnp.zeros_like(b[0]), (a, b))[1]


def in_parallel(a, b):
    def after(one, other):
        return other[0] * one[0], other[0] * one[1] + other[1]

    return jax.lax.associative_scan(after, (a, b))[1]


def mingru(p, x, y, scan):
    z, n = jnp.split(x @ p["w"] + p["b"], 2, -1)
    h = scan(jax.nn.sigmoid(-z), jax.nn.sigmoid(z) * n)[-1]
    return ((h @ p["o"] - y) ** 2).mean()


def lru(p, x, y, scan):
    eigenvalue = jnp.exp(-jnp.exp(p["nu"]) + 1j * jnp.exp(p["theta"]))
    b = x @ (jnp.exp(p["gamma"]) * (p["b_re"] + 1j * p["b_im"]))
    c = scan(jnp.broadcast_to(eigenvalue, b.shape), b)[-1]
    h = (c @ (p["c_re"] + 1j * p["c_im"])).real + x[-1] @ p["d"]
    return ((h @ p["o"] - y) ** 2).mean()


def seconds(loss, scan, shapes, sizes):
    """CPU seconds of the median update of five, compiled before."""
    keys = jax.random.split(jax.random.key(0), len(shapes) + 2)
    params = {
        name: 0.1 * jax.random.normal(key, shape)
        for key, (name, shape) in zip(keys, shapes.items(), strict=False)
    }
    x = jax.random.normal(keys[-1], (sizes["steps"], sizes["batch"], sizes["inputs"]))
    y = jax.random.normal(keys[-2], (sizes["batch"], 1))

    @jax.jit
    def update(params):
        grads = jax.grad(loss)(params, x, y, scan)
        return jax.tree.map(lambda value, grad: value - RATE * grad, params, grads)

    jax.block_until_ready(update(params))
    found = []
    for _ in range(5):
        started = time.process_time()
        jax.block_until_ready(update(params))
        found.append(time.process_time() - started)
    return sorted(found)[2]


def main(sizes):
    D, H = sizes["inputs"], sizes["hidden"]
    cells = {
        "mingru": (mingru, {"w": (D, 2 * H), "b": (2 * H,), "o": (H, 1)}),
        "lru": (
            lru,
            {
                **dict.fromkeys(("nu", "theta", "gamma"), (H,)),
                **dict.fromkeys(("b_re", "b_im", "d"), (D, H)),
                **dict.fromkeys(("c_re", "c_im"), (H, H)),
                "o": (H, 1),
            },
        ),
    }
    ways = {"lax.scan": step_by_step, "associative_scan": in_parallel}
    return {
        cell: {way: seconds(loss, scan, shapes, sizes) for way, scan in ways.items()}
        for cell, (loss, shapes) in cells.items()
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))

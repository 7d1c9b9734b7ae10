"""The same GANs as a JAX user writes them: one step under vmap over seeds, in a scan, compiled once.

A peer of its own environment, which `test_jax.py` starts: `python jax_loop.py WIDTH DEPTH BATCH RUNS PENALTY`. It says
how many seconds compiling took, then for every number of steps on a line of its input the processor seconds of a run's
step.
"""

import sys
import time

import jax
import jax.numpy as jnp

LATENT, DATA = 8, 2
RATE, BETAS, EPS = 2e-3, (0.5, 0.999), 1e-8
BLOCK = 50
"""Steps of a scan."""


def perceptron(key, sizes):
    keys = jax.random.split(key, len(sizes) - 1)
    pairs = zip(keys, sizes, sizes[1:], strict=False)
    return [(jax.random.normal(k, (a, b)) * (2 / a) ** 0.5, jnp.zeros(b)) for k, a, b in pairs]


def forward(parameters, x, slope):
    for weight, bias in parameters[:-1]:
        x = x @ weight + bias
        x = jnp.where(x > 0, x, slope * x)
    weight, bias = parameters[-1]
    return x @ weight + bias


def g_of(g, z):
    return forward(g, z, 0.0)


def d_of(d, x):
    return forward(d, x, 0.2)[..., 0]


def adam(parameters, gradients, state, count):
    first = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, state[0], gradients)
    second = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, state[1], gradients)
    rate, root = RATE / (1 - BETAS[0] ** count), jnp.sqrt(1 - BETAS[1] ** count)
    moved = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + EPS), parameters, first, second)
    return moved, (first, second)


def reals(key, batch):
    place, noise = jax.random.split(key)
    angle = jax.random.randint(place, (batch,), 0, 8) * (jnp.pi / 4)
    centres = 1.41 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
    return centres + 0.07 * jax.random.normal(noise, (batch, DATA))


def d_loss(d, real, fake, key, penalty):
    loss = jax.nn.softplus(-d_of(d, real)).mean() + jax.nn.softplus(d_of(d, fake)).mean()
    if penalty:
        share = jax.random.uniform(key, (len(real), 1))
        slopes = jax.vmap(jax.grad(lambda x: d_of(d, x)))(share * real + (1 - share) * fake)
        loss = loss + 10.0 * ((jnp.sqrt((slopes**2).sum(1)) - 1) ** 2).mean()
    return loss


def step(state, _, batch, penalty):
    key, g, d, g_adam, d_adam, count = state
    key, a, b, c, e = jax.random.split(key, 5)
    real, z = reals(a, batch), jax.random.normal(b, (batch, LATENT))
    d, d_adam = adam(d, jax.grad(d_loss)(d, real, g_of(g, z), e, penalty), d_adam, count)
    z = jax.random.normal(c, (batch, LATENT))
    slope = jax.grad(lambda own: jax.nn.softplus(-d_of(d, g_of(own, z))).mean())(g)
    g, g_adam = adam(g, slope, g_adam, count)
    return (key, g, d, g_adam, d_adam, count + 1), None


def main(width, depth, batch, runs, penalty):
    def begin(key):
        key, a, b = jax.random.split(key, 3)
        g, d = (perceptron(k, [n, *[width] * depth, out]) for k, n, out in ((a, LATENT, DATA), (b, DATA, 1)))
        zeros = [jax.tree.map(jnp.zeros_like, player) for player in (g, d)]
        return key, g, d, (zeros[0], zeros[0]), (zeros[1], zeros[1]), jnp.ones(())

    block = jax.jit(
        jax.vmap(lambda state: jax.lax.scan(lambda s, x: step(s, x, batch, penalty), state, length=BLOCK)[0])
    )
    state = jax.vmap(begin)(jax.random.split(jax.random.key(0), runs))
    began = time.perf_counter()
    state = jax.block_until_ready(block(state))
    print(time.perf_counter() - began, flush=True)
    for line in sys.stdin:
        began = time.process_time()
        for _ in range(max(1, round(int(line) / BLOCK))):
            state = jax.block_until_ready(block(state))
        taken = (time.process_time() - began) / max(1, round(int(line) / BLOCK)) / BLOCK / runs
        finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(state[1]))
        print(taken if finite else float("nan"), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

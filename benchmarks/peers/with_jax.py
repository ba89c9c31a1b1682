"""Both modes for any peer whose circuit is a jax function of one sample: jit, vmap, grad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.interface import Array, Runner

__all__ = ["make_runner", "set_precision"]


def set_precision(precision: str) -> None:
    """`single` (complex64) or `double` (complex128), for the whole process."""
    jax.config.update("jax_enable_x64", precision == "double")


def make_runner(single: Callable[[Any, Any], Any]) -> Runner:
    """`single(x, w)`: x (3n,), w (3nb,) -> values (n,), traceable by jax."""
    batched = jax.vmap(single, in_axes=(0, None))

    @jax.jit
    def vjp(x: Any, w: Any, cotangent: Any) -> Any:
        values, pull_back = jax.vjp(batched, x, w)
        return values, *pull_back(cotangent)

    def with_value(x: Any, w: Any) -> Any:
        values = single(x, w)
        return values, values

    @jax.jit
    def jacobian(x: Any, w: Any) -> Any:
        (d_x, d_w), values = jax.vmap(jax.jacrev(with_value, (0, 1), has_aux=True), in_axes=(0, None))(x, w)
        return values, d_x, d_w

    def to_numpy(results: Any) -> Any:
        return tuple(np.asarray(result) for result in results)

    def run_backward(x: Array, w: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        return to_numpy(vjp(jnp.asarray(x), jnp.asarray(w), jnp.asarray(cotangent, jnp.result_type(float))))

    def run_jacobian(x: Array, w: Array) -> tuple[Array, Array, Array]:
        return to_numpy(jacobian(jnp.asarray(x), jnp.asarray(w)))

    return Runner(run_backward, run_jacobian)

"""Both modes for any peer whose circuit is a torch function of a batch: autograd."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.peers.interface import Array, Runner

__all__ = ["make_runner", "real_dtype"]


def real_dtype(precision: str) -> torch.dtype:
    return torch.float64 if precision == "double" else torch.float32


def make_runner(
    batched: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    dtype: torch.dtype,
    *,
    per_sample_w: bool = True,
) -> Runner:
    """`batched(x, w)`: x (batch, 3n), w (1, 3nb) or (batch, 3nb) -> values (batch, n)."""

    def backward(x: Array, w: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        x_leaf = torch.tensor(x, dtype=dtype, requires_grad=True)
        w_leaf = torch.tensor(w[None], dtype=dtype, requires_grad=True)
        values = batched(x_leaf, w_leaf)
        d_x, d_w = torch.autograd.grad(values, (x_leaf, w_leaf), torch.tensor(cotangent, dtype=values.dtype))
        return values.detach().numpy(), d_x.numpy(), d_w[0].numpy()

    def jacobian(x: Array, w: Array) -> tuple[Array, Array, Array]:
        x_leaf = torch.tensor(x, dtype=dtype, requires_grad=True)
        w_leaf = torch.tensor(w, dtype=dtype).repeat(len(x), 1).requires_grad_()
        values = batched(x_leaf, w_leaf)
        n_outputs = values.shape[1]
        rows = [
            torch.autograd.grad(values[:, j].sum(), (x_leaf, w_leaf), retain_graph=j + 1 < n_outputs)
            for j in range(n_outputs)
        ]
        d_x, d_w = (torch.stack(parts, dim=1).numpy() for parts in zip(*rows, strict=True))
        return values.detach().numpy(), d_x, d_w

    return Runner(backward, jacobian if per_sample_w else None)

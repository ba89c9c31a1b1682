"""Phase coding: a pixel becomes a train of weighted spikes, one bit a step.

Source: Kim et al., "Deep neural networks with weighted spikes", Neurocomputing 311 (2018).
"""

from __future__ import annotations

import torch

from sqdr_qiskit.errors import ArgumentError

__all__ = ["check_code", "phase_code", "phase_of_step", "quantise"]

N_BITS = 8


def check_code(n_steps: int, n_phases: int) -> None:
    """Refuse step and phase counts that the code has no meaning for.

    Raises:
        ArgumentError: If `n_steps` is below 1 or `n_phases` is not between 1 and 8.
    """
    if n_steps < 1:
        raise ArgumentError(f"Argument `n_steps` must be at least 1, but is {n_steps}.")
    if not 1 <= n_phases <= N_BITS:
        raise ArgumentError(f"Argument `n_phases` must lie in 1 to 8 (bits of a pixel), but is {n_phases}.")


def phase_of_step(step: int, n_phases: int) -> tuple[int, float]:
    """Which bit a step sends, and its weight: k = step mod K and 2^-(1 + k), for `step` counted from 0."""
    phase = step % n_phases
    return phase, 2.0 ** -(1 + phase)


def quantise(images: torch.Tensor) -> torch.Tensor:
    """Images as 8-bit pixels.

    Args:
        images: Tensor of shape (batch, C, H, W): uint8, or floating point in [0, 1].

    Returns:
        uint8 tensor of the same shape, contiguous: `images` itself, or round(255 * images).

    Raises:
        ArgumentError: If `images` has another shape or type, is empty, lies outside [0, 1], or requires a
            gradient (pixels become bits, which have none).
    """
    if images.ndim != 4 or 0 in images.shape:
        raise ArgumentError(
            f"Argument `images` must have shape (batch, channels, height, width) with no empty axis, "
            f"but has shape {tuple(images.shape)}."
        )
    if images.requires_grad:
        raise ArgumentError(
            "Argument `images` must not require a gradient, but it does: a pixel becomes bits, "
            "which have none; pass `images.detach()`."
        )
    if images.dtype == torch.uint8:
        return images.contiguous()
    if not images.dtype.is_floating_point:
        raise ArgumentError(
            f"Argument `images` must be uint8, or floating point in [0, 1], but has type {images.dtype}."
        )
    low, high = (float(value) for value in images.aminmax())
    if not (low >= 0.0 and high <= 1.0):  # written so that NaN is refused too
        raise ArgumentError(
            f"Argument `images` of floating-point type must lie in [0, 1], but spans [{low:g}, {high:g}]."
        )
    return (images * 255.0).round().to(torch.uint8).contiguous()


def phase_code(images: torch.Tensor, n_steps: int = 10, n_phases: int = 8) -> torch.Tensor:
    """Weighted spikes of an image: step t sends bit k = mod(t - 1, K) with weight 2^-(1 + k).

    Bits run from the most significant. With K = 8 the first 8 steps sum to the pixel over 256, exactly.

    Args:
        images: Tensor of shape (batch, C, H, W): uint8, or floating point in [0, 1] (quantised to 8 bits).
        n_steps: T, number of steps; steps past `n_phases` repeat the code.
        n_phases: K, number of bits sent, 1 to 8.

    Returns:
        float32 tensor of shape (T, batch, C, H, W).

    Raises:
        ArgumentError: As in `quantise` and `check_code`.
    """
    check_code(n_steps, n_phases)
    pixels = quantise(images)
    planes = []
    for step in range(n_steps):
        phase, weight = phase_of_step(step, n_phases)
        planes.append((pixels >> (N_BITS - 1 - phase) & 1).to(torch.float32) * weight)
    return torch.stack(planes)

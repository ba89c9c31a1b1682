"""Runs of one-qubit gates as one gate each: rotations composed as unit quaternions, read as Euler angles.

q = (q_0, q_1, q_2, q_3) stands for the gate q_0 - i (q_1 X + q_2 Y + q_3 Z). Composing on the host costs
nothing on a chip, where the result is one `u` gate: two SX pulses, whatever went into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.lightcone.paulis import PAULIS, ComplexArray, RealArray

__all__ = ["Run", "euler_angles", "multiply", "quaternion_of", "rotate_vector", "rotation"]


@dataclass(frozen=True, eq=False)
class Run:
    """One-qubit gates that follow each other on one wire.

    Attributes:
        wire: The qubit of the tiled circuit.
        steps: In the order in which they act: (rotation's number, axis 1 = X, 2 = Y, 3 = Z), or a fixed
            quaternion.
        columns: Where theta, phi and lambda of U(theta, phi, lambda) stand among the circuit's parameters;
            None for an angle that changes nothing and is 0 (lambda on |0>, phi before a measurement of Z).
    """

    wire: int
    steps: tuple[tuple[int, int] | RealArray, ...]
    columns: tuple[int | None, int | None, int | None]

    def compose(self, angles: RealArray, shifts: Mapping[int, float] = MappingProxyType({})) -> RealArray:
        """The run as quaternions.

        Args:
            angles: Shape (..., n_rotations), radians.
            shifts: Added to the angles of single rotations, radians.

        Returns:
            Shape (4, ...).
        """
        # Quaternions, and not matrices: four real numbers, and a global phase that nobody has to take out.
        total = np.zeros((4, *angles.shape[:-1]))
        total[0] = 1.0
        for step in self.steps:
            if isinstance(step, tuple):
                number, axis = step
                total = multiply(rotation(axis, angles[..., number] + shifts.get(number, 0.0)), total)
            else:
                total = multiply(step.reshape(4, *[1] * (total.ndim - 1)), total)
        return total


def rotation(axis: int, angle: RealArray) -> RealArray:
    """exp(-i angle P / 2), shape (4, ...)."""
    # (cos, sin times the axis): q stands for q0 - i (q1 X + q2 Y + q3 Z).
    found = np.zeros((4, *np.shape(angle)))
    found[0], found[axis] = np.cos(angle / 2), np.sin(angle / 2)
    return found


def multiply(left: RealArray, right: RealArray) -> RealArray:
    """The gate `right` and then `left`; shapes (4, ...)."""
    a0, a1, a2, a3 = left
    b0, b1, b2, b3 = right
    return np.stack(
        np.broadcast_arrays(
            a0 * b0 - a1 * b1 - a2 * b2 - a3 * b3,
            a0 * b1 + a1 * b0 + a2 * b3 - a3 * b2,
            a0 * b2 - a1 * b3 + a2 * b0 + a3 * b1,
            a0 * b3 + a1 * b2 - a2 * b1 + a3 * b0,
        )
    )


def rotate_vector(gate: RealArray, vector: RealArray) -> RealArray:
    """The Bloch vector `vector`, shape (3, ...), turned by `gate`, shape (4, ...)."""
    scalar, axis = gate[0], gate[1:]
    axis, vector = np.broadcast_arrays(axis, vector)
    # q v q* without the two products: v + 2 (w (a x v) + a x (a x v)), for a quaternion (w, a).
    cross = np.cross(axis, vector, axis=0)
    return np.asarray(vector + 2.0 * (scalar * cross + np.cross(axis, cross, axis=0)))


def quaternion_of(unitary: ComplexArray) -> RealArray:
    """A gate's matrix, shape (2, 2), as a quaternion (up to a global phase).

    Raises:
        ArgumentError: The matrix is not unitary.
    """
    determinant = np.linalg.det(unitary)
    if abs(abs(determinant) - 1.0) > 1e-9:
        raise ArgumentError(f"Argument `unitary` must be unitary, but has determinant {determinant:.3g}.")
    # Of determinant 1, so that its parts along I, X, Y, Z are real or imaginary; the sign of the root is a
    # phase.
    special = unitary / np.sqrt(determinant)
    parts = np.einsum("aij,ji->a", PAULIS, special) / 2
    return np.array([parts[0].real, *(-parts[1:].imag)])


def euler_angles(gate: RealArray) -> RealArray:
    """(theta, phi, lambda) with U(theta, phi, lambda) = `gate` up to a phase: (4, ...) -> (3, ...)."""
    q0, q1, q2, q3 = gate
    # By atan2, since arccos loses half of its digits near 0 and pi.
    theta = 2.0 * np.arctan2(np.hypot(q1, q2), np.hypot(q0, q3))
    half_sum, half_difference = np.arctan2(q3, q0), np.arctan2(-q1, q2)
    return np.stack([theta, half_sum + half_difference, half_sum - half_difference])

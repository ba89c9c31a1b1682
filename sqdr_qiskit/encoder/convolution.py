"""Sizes of a spiking layer, where its data lies in memory, and its convolution on one pooling window.

Everything is in vectors of 16 samples (`simd.py`), innermost in memory; a group is 16 samples. Spikes rest
packed: one 32-bit word for each neuron and sample, bit t for step t, a tenth of what floats for 10 steps are.
For a kernel they are unpacked to floats, [channel][row][column][plane], with a border of zeros and an even
number of rows and columns, so that every window sees a whole patch and no kernel asks where it is.

A plane is an input that differs from step to step: step t sees plane t mod n_planes. The first layer has as
many planes as the phase code has phases (steps 9 and 10 repeat 1 and 2, and their currents are not computed
twice), the others one for each step.

A window is what pooling makes one neuron of: 2 x 2 neurons, here of 2 channels at once, 8 vectors in the
order [channel][row][column]. It sees a patch of 4 x 4 inputs through 3 x 3 weights. That is 72 fused
multiply-adds for 16 loads, unrolled, and what they need stays within the 32 vector registers of AVX-512: 8
sums, 18 weights, one input.
"""

# numba's extension interface has no types, and its intrinsics are typed by what they return.
# mypy: disable-error-code="no-untyped-def, misc, type-arg, no-any-return, call-arg"

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from sqdr_qiskit.simd import (
    FLOATS,
    bit,
    broadcast,
    element_address,
    floats,
    load,
    load_at,
    multiply_add,
    nonzero,
    select,
    store,
)

__all__ = [
    "N_PAIR_TAPS",
    "N_WINDOW",
    "Layer",
    "LayerInput",
    "LayerSpace",
    "add_taps",
    "add_window",
    "load_taps",
    "load_window",
    "n_columns",
    "n_pooled",
    "n_rows",
    "store_many",
    "store_window",
    "unpack_rows",
]


class Layer(NamedTuple):
    """A convolution with its neurons and pooling; kernels take it as it is.

    The last two say how gradients go back: the surrogate's slope k, and whether pooling hands a gradient to
    the neuron with the largest membrane of its window rather than to the first that fired.
    """

    n_in: int
    n_out: int
    height: int
    width: int
    n_planes: int
    n_steps: int
    slope: float
    to_largest: bool

    @property
    def pooled(self) -> tuple[int, int]:
        """Height and width after pooling."""
        return self.height // 2, self.width // 2


class LayerInput(NamedTuple):
    """What a layer's currents are computed from, forward and again backward.

    Attributes:
        words: uint32 vectors, [group][input channel][row][column]: packed spikes that come in.
        planes: float32 array of shape (n_planes,): value of a spike in each plane.
        weights: float32 array, [pair of output channels][input channel][18], times the batch norm's gain.
        biases: float32 array of shape (n_out,): the batch norm's bias less its mean's part.
        valid: uint32 vectors, [group]: all bits set for real samples, none for those that fill up a group.
    """

    words: Any
    planes: Any
    weights: Any
    biases: Any
    valid: Any


class LayerSpace(NamedTuple):
    """One thread's work space for a layer, in vectors; all but the first two are shared by its layers.

    Attributes:
        inputs: Spikes unpacked, [input channel][row][column][plane], zero at its border.
        outputs: Gradient of the convolution's output, laid out as `inputs` with output channels and steps,
            zero at its border; empty for the first layer, from which nothing goes back.
        currents: Of one window, [plane][8].
        membranes: Of one window, [step][8]: u_t, before the reset.
        spikes: uint32, of one window, [8]: bit t is s_t.
        gradient: Of one window's currents, [step][8].
        taps: [pair][input channel][18], zeros between two groups.
        sums: [output channel], zeros between two groups.
    """

    inputs: Any
    outputs: Any
    currents: Any
    membranes: Any
    spikes: Any
    gradient: Any
    taps: Any
    sums: Any


@njit(nogil=True, cache=True, forceinline=True)
def n_rows(layer: Layer) -> int:
    """Rows of the unpacked inputs: even, with a border."""
    return layer.height + layer.height % 2 + 2


@njit(nogil=True, cache=True, forceinline=True)
def n_columns(layer: Layer) -> int:
    """Columns of the unpacked inputs: even, with a border."""
    return layer.width + layer.width % 2 + 2


@njit(nogil=True, cache=True, forceinline=True)
def n_pooled(layer: Layer) -> int:
    """Vectors of the pooled spikes' gradient: [channel][row][column][step], rows and columns made even."""
    high, wide = layer.height // 2, layer.width // 2
    return layer.n_out * (high + high % 2) * (wide + wide % 2) * layer.n_steps


@njit(nogil=True, cache=True, forceinline=True)
def unpack_rows(layer, source, group, y, inputs):
    """Unpack spikes to floats: those rows that windows of row `y` are the first to see.

    Called with y = 0, 1, 2 ... while the windows are worked on, it leaves the inputs in the cache for them.

    Args:
        layer: Sizes.
        source: A `LayerInput`.
        group: Which group.
        y: Row of windows.
        inputs: float32 vectors to write; the border is left as it is (zeros).
    """
    rows, columns, n_planes = n_rows(layer), n_columns(layer), layer.n_planes
    at = group * layer.n_in * layer.height * layer.width
    zero = floats(0.0)
    for channel in range(layer.n_in):
        # A window of row y reaches one row past its own two.
        for down in range(2 * y + 1 if y > 0 else 0, min(2 * y + 3, layer.height)):
            start = at + (channel * layer.height + down) * layer.width
            for right in range(layer.width):
                word = load(source.words, start + right)
                to = ((channel * rows + down + 1) * columns + right + 1) * n_planes
                for plane in range(n_planes):
                    # One word of bits between the layers in place of a float for each plane.
                    fired = nonzero(word & bit(plane))
                    store(inputs, to + plane, select(fired, floats(source.planes[plane]), zero))


N_WINDOW = 8  # vectors of a window: 2 channels x 2 rows x 2 columns
N_PAIR_TAPS = 18  # weights of one input channel: 2 channels x 3 rows x 3 columns

WINDOW = types.UniTuple(FLOATS, N_WINDOW)
TAPS = types.UniTuple(FLOATS, N_PAIR_TAPS)


def _unpack(builder, value, count):
    return [builder.extract_value(value, i) for i in range(count)]


def _pack(builder, values):
    # A tuple of vectors is an LLVM array of values and lives in registers: nothing is written to memory.
    packed = ir.Constant(ir.ArrayType(values[0].type, len(values)), ir.Undefined)
    for i, value in enumerate(values):
        packed = builder.insert_value(packed, value, i)
    return packed


def _patch(context, builder, array_type, array, at, row, column):
    """The 4 x 4 inputs, one load at a time, each with the (window, tap) pairs that it joins."""
    # One load at a time and all its uses at once: the 16 inputs of a patch never wait in registers together.
    for y in range(4):
        for x in range(4):
            steps = [(row, y), (column, x)]
            index = at
            for stride, count in steps:
                index = builder.add(index, builder.mul(stride, ir.Constant(stride.type, count)))
            value = load_at(builder, element_address(context, builder, array_type, array, index))
            joined = [
                (2 * dy + dx, 3 * (y - dy) + x - dx)
                # a neuron at (dy, dx) of the window sees this input through the tap at their distance
                for dy in range(2)
                for dx in range(2)
                if 0 <= y - dy < 3 and 0 <= x - dx < 3
            ]
            yield value, joined


@intrinsic
def add_window(typingctx, window, inputs, at, row, column, weights, weights_at):
    """`window` + convolution of one input channel at one step.

    Args:
        typingctx: Numba's.
        window: 8 vectors.
        inputs: float32 vectors.
        at: Vector where the patch starts.
        row: Vectors from one row of the patch to the next.
        column: Vectors from one column to the next.
        weights: float32 array of numbers, of which 18 are used: [channel][row][column].
        weights_at: Number where they start.
    """

    def codegen(context, builder, signature, args):
        window, inputs, at, row, column, weights, weights_at = args
        # Eight running sums, in registers through all 16 loads.
        sums = _unpack(builder, window, N_WINDOW)
        data = context.make_array(signature.args[5])(context, builder, weights).data
        first = builder.gep(data, [weights_at])
        # All 18 weights are spread over the lanes once, before the 16 loads that they meet.
        spread = [
            broadcast(
                builder, builder.load(builder.gep(first, [ir.Constant(ir.IntType(64), i)])), FLOATS.count
            )
            for i in range(N_PAIR_TAPS)
        ]
        for value, joined in _patch(context, builder, signature.args[1], inputs, at, row, column):
            for channel in range(2):
                for neuron, tap in joined:
                    i = 4 * channel + neuron
                    sums[i] = multiply_add(builder, value, spread[9 * channel + tap], sums[i])
        return _pack(builder, sums)

    size = types.intp
    return WINDOW(WINDOW, inputs, size, size, size, weights, size), codegen


@intrinsic
def add_taps(typingctx, taps, window, inputs, at, row, column):
    """`taps` + products of a window with the inputs that each of the 18 weights joins it to.

    The transpose of `add_window` in the weights: 18 vectors, [channel][row][column].
    """

    def codegen(context, builder, signature, args):
        taps, window, inputs, at, row, column = args
        sums = _unpack(builder, taps, N_PAIR_TAPS)
        values = _unpack(builder, window, N_WINDOW)
        for value, joined in _patch(context, builder, signature.args[2], inputs, at, row, column):
            for channel in range(2):
                for neuron, tap in joined:
                    i = 9 * channel + tap
                    sums[i] = multiply_add(builder, value, values[4 * channel + neuron], sums[i])
        return _pack(builder, sums)

    size = types.intp
    return TAPS(TAPS, WINDOW, inputs, size, size, size), codegen


def _loader(kind, count):
    def typed(typingctx, array, index):
        def codegen(context, builder, signature, args):
            # The address once; the vectors lie side by side behind it.
            base = element_address(context, builder, signature.args[0], *args)
            offsets = [ir.Constant(ir.IntType(64), i) for i in range(count)]
            return _pack(builder, [load_at(builder, builder.gep(base, [offset])) for offset in offsets])

        return kind(array, types.intp), codegen

    return intrinsic(typed)


load_window = _loader(WINDOW, N_WINDOW)  # 8 neighbouring vectors of an array, from vector `index` on
load_taps = _loader(TAPS, N_PAIR_TAPS)  # 18 of them


@intrinsic
def store_window(typingctx, array, at, channel, row, column, window):
    """Write a window at its place: two channels, two rows and two columns, at the given distances."""

    def codegen(context, builder, signature, args):
        array, at, *strides, window = args
        for i, value in enumerate(_unpack(builder, window, N_WINDOW)):
            index = at
            # Bits of i: channel, row, column.
            for stride, used in zip(strides, (i // 4, i // 2 % 2, i % 2), strict=True):
                index = builder.add(index, stride) if used else index
            builder.store(value, element_address(context, builder, signature.args[0], array, index), align=4)
        return context.get_dummy_value()

    size = types.intp
    return types.void(array, size, size, size, size, WINDOW), codegen


@intrinsic
def store_many(typingctx, array, index, values):
    """Write a tuple of vectors side by side, from vector `index` of an array on."""

    def codegen(context, builder, signature, args):
        base = element_address(context, builder, signature.args[0], *args[:2])
        for i, value in enumerate(_unpack(builder, args[2], signature.args[2].count)):
            builder.store(value, builder.gep(base, [ir.Constant(ir.IntType(64), i)]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, values), codegen

"""Vectors of samples for numba kernels, and cosines and sines of many angles.

The compiled kernels of encoder and engine keep samples side by side, innermost in memory, so that an
operation on a pixel, a neuron or a matrix entry is one operation on a whole vector. Each function here
becomes one LLVM instruction, whatever the loop vectoriser thinks of the loop around it; LLVM splits vectors
where a machine's registers are shorter. Written as loops the same is half as fast: a compiler cannot know
that the rows of one array do not overlap.

The encoder has 16 lanes (float32, and uint32 for packed spikes), the engine 32 (float64): long enough to hide
the latency of a multiply-add, and short enough that what a kernel needs at once stays in registers.

A vector lives in a flat array; `load(array, i)` reads vector number i, whose length and type follow from the
array's. Indices are not checked.
"""

# numba's extension interface has no types, and its intrinsics are typed by what they return.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, type-arg, no-any-return, call-arg"

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

__all__ = [
    "DOUBLES",
    "FLOATS",
    "LARGEST_ANGLE",
    "Lanes",
    "WORDS",
    "bit",
    "broadcast",
    "cos_sin",
    "doubles",
    "element_address",
    "floats",
    "fma",
    "load",
    "load_at",
    "multiply_add",
    "nonzero",
    "popcount",
    "select",
    "store",
    "total",
    "total_words",
    "vectors",
]


class Lanes(types.Type):
    """A vector: its elements' LLVM type, and how many there are."""

    def __init__(self, name: str, element: ir.Type, count: int) -> None:
        super().__init__(name)
        self.element, self.count = element, count

    @property
    def vector(self) -> ir.VectorType:
        """The LLVM type."""
        return ir.VectorType(self.element, self.count)


FLOATS = Lanes("floats", ir.FloatType(), 16)
WORDS = Lanes("words", ir.IntType(32), 16)
MASKS = Lanes("masks", ir.IntType(1), 16)
DOUBLES = Lanes("doubles", ir.DoubleType(), 32)
_IN_ARRAYS = {types.float32: FLOATS, types.uint32: WORDS, types.float64: DOUBLES}


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, fe_type.vector)


# ---- for intrinsics: pieces of LLVM ------------------------------------------------------------------------


def element_address(context, builder, array_type, array, index):
    """Address of vector number `index` of an array."""
    kind = _IN_ARRAYS[array_type.dtype]
    data = context.make_array(array_type)(context, builder, array).data
    offset = builder.mul(index, ir.Constant(index.type, kind.count))
    return builder.bitcast(builder.gep(data, [offset]), kind.vector.as_pointer())


def load_at(builder, address):
    """The vector at an address, which need be aligned as its elements are and no more."""
    return builder.load(address, align=_bytes(address.type.pointee))


def broadcast(builder, value, count):
    """A number in each of `count` lanes."""
    vector = ir.VectorType(value.type, count)
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
    return builder.shuffle_vector(first, nothing, zeros)


def multiply_add(builder, a, b, c):
    """The sum a * b + c, rounded once where the machine can."""
    width = 8 * _bytes(a.type)
    return _call(builder, f"llvm.fmuladd.v{a.type.count}f{width}", a.type, a, b, c)


def _bytes(vector):
    return 8 if vector.element == ir.DoubleType() else 4


def _call(builder, name, result, *args):
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(result, [arg.type for arg in args]), name
    )
    return builder.call(function, args)


# ---- memory ------------------------------------------------------------------------------------------------


@intrinsic
def load(typingctx, array, index):
    """Vector number `index` of an array of float32, uint32 or float64."""

    def codegen(context, builder, signature, args):
        return load_at(builder, element_address(context, builder, signature.args[0], *args))

    return _IN_ARRAYS[array.dtype](array, types.intp), codegen


@intrinsic
def store(typingctx, array, index, value):
    """Make `value` vector number `index` of an array."""

    def codegen(context, builder, signature, args):
        address = element_address(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], address, align=_bytes(args[2].type))
        return context.get_dummy_value()

    return types.void(array, types.intp, _IN_ARRAYS[array.dtype]), codegen


def vectors(count: int, dtype: type = np.float32) -> np.ndarray:
    """`count` uninitialised vectors of the encoder, on a cache line's boundary.

    Args:
        count: Number of vectors.
        dtype: float32 or uint32.

    Returns:
        Array of shape (16 count,).
    """
    size = FLOATS.count * count
    raw: np.ndarray = np.empty(size + FLOATS.count, dtype)
    start = -(raw.ctypes.data // 4) % FLOATS.count
    return raw[start : start + size]


# ---- numbers in every lane ---------------------------------------------------------------------------------


def _filler(kind, number):
    def typed(typingctx, value):
        def codegen(context, builder, signature, args):
            return broadcast(builder, args[0], kind.count)

        return kind(number), codegen

    return intrinsic(typed)


floats = _filler(FLOATS, types.float32)  # the same float32 in 16 lanes
doubles = _filler(DOUBLES, types.float64)  # the same float64 in 32 lanes


@intrinsic
def bit(typingctx, step):
    """The word with bit `step` set, in every lane."""

    def codegen(context, builder, signature, args):
        one = builder.shl(ir.Constant(ir.IntType(32), 1), builder.trunc(args[0], ir.IntType(32)))
        return broadcast(builder, one, WORDS.count)

    return WORDS(types.intp), codegen


# ---- operations lane by lane -------------------------------------------------------------------------------


@intrinsic
def fma(typingctx, a, b, c):
    """A * b + c, rounded once where the machine can."""

    def codegen(context, builder, signature, args):
        return multiply_add(builder, *args)

    return a(a, a, a), codegen


@intrinsic
def popcount(typingctx, words):
    """Number of set bits in each lane."""

    def codegen(context, builder, signature, args):
        return _call(builder, f"llvm.ctpop.v{WORDS.count}i32", args[0].type, args[0])

    return WORDS(WORDS), codegen


@intrinsic
def nonzero(typingctx, words):
    """True in the lanes that have a set bit."""

    def codegen(context, builder, signature, args):
        return builder.icmp_unsigned("!=", args[0], ir.Constant(args[0].type, None))

    return MASKS(WORDS), codegen


@intrinsic
def select(typingctx, mask, a, b):
    """`a` where `mask` is true, else `b`."""

    def codegen(context, builder, signature, args):
        return builder.select(*args)

    return a(MASKS, a, a), codegen


def _binary(kind, result, emit):
    def typed(typingctx, a, b):
        def codegen(context, builder, signature, args):
            return emit(builder, *args)

        return result(kind, kind), codegen

    return intrinsic(typed)


_BUILD = ir.IRBuilder
_OPERATORS = {
    operator.add: {
        FLOATS: _binary(FLOATS, FLOATS, _BUILD.fadd),
        DOUBLES: _binary(DOUBLES, DOUBLES, _BUILD.fadd),
        WORDS: _binary(WORDS, WORDS, _BUILD.add),
    },
    operator.sub: {FLOATS: _binary(FLOATS, FLOATS, _BUILD.fsub)},
    operator.mul: {
        FLOATS: _binary(FLOATS, FLOATS, _BUILD.fmul),
        DOUBLES: _binary(DOUBLES, DOUBLES, _BUILD.fmul),
    },
    operator.truediv: {FLOATS: _binary(FLOATS, FLOATS, _BUILD.fdiv)},
    operator.gt: {FLOATS: _binary(FLOATS, MASKS, lambda builder, a, b: builder.fcmp_ordered(">", a, b))},
    operator.and_: {WORDS: _binary(WORDS, WORDS, _BUILD.and_)},
    operator.or_: {WORDS: _binary(WORDS, WORDS, _BUILD.or_)},
    operator.xor: {WORDS: _binary(WORDS, WORDS, _BUILD.xor)},
}


def _register(symbol, members):
    @overload(symbol)
    def choose(a, b):
        if a is not b or a not in members:
            return None
        member = members[a]

        def apply(a, b):
            return member(a, b)

        return apply


for _symbol, _members in _OPERATORS.items():
    _register(_symbol, _members)


# ---- sums over the lanes -----------------------------------------------------------------------------------


@intrinsic
def total(typingctx, value):
    """Sum over the lanes of float32, in float64, in a fixed order: no result depends on the machine."""

    def codegen(context, builder, signature, args):
        wide = builder.fpext(args[0], ir.VectorType(ir.DoubleType(), FLOATS.count))
        width = FLOATS.count
        while width > 1:
            width //= 2
            halves = [
                builder.shuffle_vector(
                    wide, wide, ir.Constant(ir.VectorType(ir.IntType(32), width), list(part))
                )
                for part in (range(width), range(width, 2 * width))
            ]
            wide = builder.fadd(*halves)
        return builder.extract_element(wide, ir.Constant(ir.IntType(32), 0))

    return types.float64(FLOATS), codegen


@intrinsic
def total_words(typingctx, value):
    """Sum over the lanes, each read as an unsigned 32-bit number."""

    def codegen(context, builder, signature, args):
        wide = builder.zext(args[0], ir.VectorType(ir.IntType(64), WORDS.count))
        return _call(builder, f"llvm.vector.reduce.add.v{WORDS.count}i64", ir.IntType(64), wide)

    return types.int64(WORDS), codegen


# ---- trigonometry ------------------------------------------------------------------------------------------

LARGEST_ANGLE = 2.0**20
"""Radians, up to which `cos_sin` is as exact as it says."""

# pi / 2 as a sum of three numbers, the first two of 33 bits: times a whole number below 2^20 they are exact.
_HALF_PI = (1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21)
_PER_QUARTER = 2.0 / math.pi

# Taylor's coefficients: on [-pi/4, pi/4] the first term left out is below 2^-53.
_S3, _S5, _S7, _S9, _S11, _S13, _S15 = ((-1.0) ** k / math.factorial(2 * k + 1) for k in range(1, 8))
_C2, _C4, _C6, _C8, _C10, _C12, _C14, _C16 = ((-1.0) ** k / math.factorial(2 * k) for k in range(1, 9))


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def cos_sin(angles: Any, cosines: Any, sines: Any) -> None:
    """Cosines and sines of `angles`, radians, at most `LARGEST_ANGLE` in size; all of shape (n,).

    Off by 1.2e-16 at most (tested against NumPy's); without a branch, so that several go at once. NumPy takes
    eight nanoseconds for each (no vector instructions in double precision before AVX-512), which was half of
    the exact engine's time; here an angle takes less than one for both.
    """
    for i in range(angles.shape[0]):
        angle = angles[i]
        quarters = math.floor(angle * _PER_QUARTER + 0.5)
        rest = ((angle - quarters * _HALF_PI[0]) - quarters * _HALF_PI[1]) - quarters * _HALF_PI[2]
        z = rest * rest
        sine = _S9 + z * (_S11 + z * (_S13 + z * _S15))
        sine = rest + rest * z * (_S3 + z * (_S5 + z * (_S7 + z * sine)))
        cosine = _C10 + z * (_C12 + z * (_C14 + z * _C16))
        cosine = 1.0 + z * (_C2 + z * (_C4 + z * (_C6 + z * (_C8 + z * cosine))))
        quadrant = quarters - 4.0 * math.floor(quarters * 0.25)
        odd = (quadrant == 1.0) or (quadrant == 3.0)
        first = cosine if odd else sine
        second = sine if odd else cosine
        sines[i] = -first if quadrant >= 2.0 else first
        cosines[i] = -second if (quadrant == 1.0 or quadrant == 2.0) else second

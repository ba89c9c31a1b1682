"""Vectors of 16 samples for numba kernels.

The fused encoder keeps 16 samples side by side, innermost in memory, so that every operation on a pixel or a
neuron is one operation on a whole vector. These are that vector's types and operations: each becomes one LLVM
instruction, whatever the compiler's loop vectoriser thinks of the loop around it. Where a machine's registers
are shorter, LLVM splits them.

A vector lives in a flat array; `load(array, i)` reads elements 16 i to 16 i + 15. Indices are not checked.
"""

# numba's extension interface has no types, and its intrinsics are typed by what they return.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, type-arg, no-any-return, call-arg"

from __future__ import annotations

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

__all__ = [
    "LANES",
    "Lanes",
    "bit",
    "broadcast",
    "element_address",
    "fma",
    "load",
    "load_at",
    "load_words",
    "multiply_add",
    "nonzero",
    "popcount",
    "select",
    "splat",
    "store",
    "store_words",
    "total",
    "total_words",
    "vectors",
]

LANES = 16


class Lanes(types.Type):
    """A vector of 16 float32 (`floats`), of 16 int32 (`words`) or of 16 truth values (`masks`)."""


FLOATS, WORDS, MASKS = Lanes("floats"), Lanes("words"), Lanes("masks")
_ELEMENTS = {FLOATS: ir.FloatType(), WORDS: ir.IntType(32), MASKS: ir.IntType(1)}
_ARRAYS = {FLOATS: types.float32, WORDS: types.uint32}


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.VectorType(_ELEMENTS[fe_type], LANES))


def element_address(context, builder, array_type, array, index, kind):
    """Address of vector number `index` of an array, for the intrinsics here and in `windows.py`."""
    data = context.make_array(array_type)(context, builder, array).data
    offset = builder.mul(index, ir.Constant(index.type, LANES))
    return builder.bitcast(builder.gep(data, [offset]), context.get_value_type(kind).as_pointer())


def load_at(builder, address):
    """The vector of floats at an address."""
    return builder.load(address, align=4)


def broadcast(builder, value):
    """A number in every lane."""
    vector = ir.VectorType(value.type, LANES)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _loader(kind):
    def typed(typingctx, array, index):
        def codegen(context, builder, signature, args):
            return load_at(builder, element_address(context, builder, signature.args[0], *args, kind))

        return kind(array, types.intp), codegen

    return intrinsic(typed)


def _storer(kind):
    def typed(typingctx, array, index, value):
        def codegen(context, builder, signature, args):
            builder.store(
                args[2], element_address(context, builder, signature.args[0], *args[:2], kind), align=4
            )
            return context.get_dummy_value()

        return types.void(array, types.intp, kind), codegen

    return intrinsic(typed)


load, store = _loader(FLOATS), _storer(FLOATS)
load_words, store_words = _loader(WORDS), _storer(WORDS)


@intrinsic
def splat(typingctx, value):
    """The same float32 in every lane."""

    def codegen(context, builder, signature, args):
        return broadcast(builder, args[0])

    return FLOATS(types.float32), codegen


@intrinsic
def bit(typingctx, step):
    """The word with bit `step` set, in every lane."""

    def codegen(context, builder, signature, args):
        one = builder.shl(ir.Constant(ir.IntType(32), 1), builder.trunc(args[0], ir.IntType(32)))
        return broadcast(builder, one)

    return WORDS(types.intp), codegen


def _call(builder, name, result, *args):
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(result, [arg.type for arg in args]), name
    )
    return builder.call(function, args)


def multiply_add(builder, a, b, c):
    """The sum a * b + c, rounded once."""
    return _call(builder, f"llvm.fmuladd.v{LANES}f32", a.type, a, b, c)


@intrinsic
def fma(typingctx, a, b, c):
    """A * b + c, rounded once where the machine can."""

    def codegen(context, builder, signature, args):
        return multiply_add(builder, *args)

    return FLOATS(FLOATS, FLOATS, FLOATS), codegen


@intrinsic
def popcount(typingctx, words):
    """Number of set bits in each lane."""

    def codegen(context, builder, signature, args):
        return _call(builder, f"llvm.ctpop.v{LANES}i32", args[0].type, args[0])

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


@intrinsic
def total(typingctx, value):
    """Sum over the lanes, in float64, in a fixed order."""

    def codegen(context, builder, signature, args):
        wide = builder.fpext(args[0], ir.VectorType(ir.DoubleType(), LANES))
        width = LANES
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
        wide = builder.zext(args[0], ir.VectorType(ir.IntType(64), LANES))
        return _call(builder, f"llvm.vector.reduce.add.v{LANES}i64", ir.IntType(64), wide)

    return types.int64(WORDS), codegen


def _binary(kind, result, emit):
    def typed(typingctx, a, b):
        def codegen(context, builder, signature, args):
            return emit(builder, *args)

        return result(kind, kind), codegen

    return intrinsic(typed)


_OPERATORS = {
    operator.add: {
        FLOATS: _binary(FLOATS, FLOATS, lambda builder, a, b: builder.fadd(a, b)),
        WORDS: _binary(WORDS, WORDS, lambda builder, a, b: builder.add(a, b)),
    },
    operator.sub: {FLOATS: _binary(FLOATS, FLOATS, lambda builder, a, b: builder.fsub(a, b))},
    operator.mul: {FLOATS: _binary(FLOATS, FLOATS, lambda builder, a, b: builder.fmul(a, b))},
    operator.truediv: {FLOATS: _binary(FLOATS, FLOATS, lambda builder, a, b: builder.fdiv(a, b))},
    operator.gt: {FLOATS: _binary(FLOATS, MASKS, lambda builder, a, b: builder.fcmp_ordered(">", a, b))},
    operator.and_: {WORDS: _binary(WORDS, WORDS, lambda builder, a, b: builder.and_(a, b))},
    operator.or_: {WORDS: _binary(WORDS, WORDS, lambda builder, a, b: builder.or_(a, b))},
    operator.xor: {WORDS: _binary(WORDS, WORDS, lambda builder, a, b: builder.xor(a, b))},
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


def vectors(count: int, dtype: type = np.float32) -> np.ndarray:
    """`count` uninitialised vectors, on a cache line's boundary.

    Args:
        count: Number of vectors.
        dtype: float32 or uint32.

    Returns:
        Array of shape (16 count,).
    """
    size = LANES * count
    raw: np.ndarray = np.empty(size + LANES, dtype)
    start = -(raw.ctypes.data // 4) % LANES
    return raw[start : start + size]

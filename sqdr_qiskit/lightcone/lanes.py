"""Vectors of 32 samples for the engine's kernels.

Samples lie side by side, innermost in memory, and every operation on them is one operation on a whole vector,
which LLVM splits into the machine's registers. Written as loops, the same operations are half as fast: the
compiler cannot know that the rows of one array do not overlap.

A vector lives in a flat array of float64; `load(array, i)` reads elements 32 i to 32 i + 31, unchecked.
"""

# numba's extension interface has no types, and its intrinsics are typed by what they return.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, type-arg, no-any-return, call-arg"

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

__all__ = ["LANES", "add", "fma", "load", "multiply", "splat", "store"]

LANES = 32


class _Doubles(types.Type):
    """32 float64."""


_DOUBLES = _Doubles("doubles")
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)


@register_model(_Doubles)
class _DoublesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _VECTOR)


def _address(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    offset = builder.mul(index, ir.Constant(index.type, LANES))
    return builder.bitcast(builder.gep(data, [offset]), _VECTOR.as_pointer())


@intrinsic
def load(typingctx, array, index):
    """Vector number `index` of an array."""

    def codegen(context, builder, signature, args):
        return builder.load(_address(context, builder, signature.args[0], *args), align=8)

    return _DOUBLES(array, types.intp), codegen


@intrinsic
def store(typingctx, array, index, value):
    """Make `value` vector number `index` of an array."""

    def codegen(context, builder, signature, args):
        builder.store(args[2], _address(context, builder, signature.args[0], *args[:2]), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, _DOUBLES), codegen


@intrinsic
def splat(typingctx, value):
    """The same number in every lane."""

    def codegen(context, builder, signature, args):
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(nothing, args[0], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, nothing, zeros)

    return _DOUBLES(types.float64), codegen


@intrinsic
def add(typingctx, a, b):
    """The sum a + b."""

    def codegen(context, builder, signature, args):
        return builder.fadd(*args)

    return _DOUBLES(_DOUBLES, _DOUBLES), codegen


@intrinsic
def multiply(typingctx, a, b):
    """The product a * b."""

    def codegen(context, builder, signature, args):
        return builder.fmul(*args)

    return _DOUBLES(_DOUBLES, _DOUBLES), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """The sum a * b + c, rounded once where the machine can."""

    def codegen(context, builder, signature, args):
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fmuladd.v{LANES}f64"
        )
        return builder.call(function, args)

    return _DOUBLES(_DOUBLES, _DOUBLES, _DOUBLES), codegen

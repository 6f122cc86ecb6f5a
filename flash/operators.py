"""Which operators an interpreter on a device can load, for what is asked before anything is sent.

Only of tflite-runtime is that known here: 2.14 is its last release, and it knows less than what the
converter of today may write. LiteRT goes on growing. Whatever passes here, the device's self-test
has the last word.
"""

from __future__ import annotations

from collections.abc import Collection

from convert.inspect import inspect_model

__all__ = ["TFLITE_RUNTIME", "unknown_operator"]

# Each operator's newest version, by version. Asked of the wheel of tflite-runtime 2.14.0 itself, by
# loading a model with each operator in versions 1 to 24; the test does so again.
_BY_VERSION = {
    1: """
        ADD_N ASSIGN_VARIABLE ATAN2 BITCAST BITWISE_XOR BROADCAST_ARGS BUCKETIZE CALL_ONCE
        CEIL COMPLEX_ABS CONV_3D CONV_3D_TRANSPOSE COS CUMSUM DENSIFY DYNAMIC_UPDATE_SLICE
        ELU EMBEDDING_LOOKUP_SPARSE EXPAND_DIMS FLOOR HARD_SWISH HASHTABLE HASHTABLE_FIND
        HASHTABLE_IMPORT HASHTABLE_LOOKUP HASHTABLE_SIZE IF IMAG L2_POOL_2D
        LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LSH_PROJECTION
        MATRIX_DIAG MATRIX_SET_DIAG MULTINOMIAL NEG NON_MAX_SUPPRESSION_V4
        NON_MAX_SUPPRESSION_V5 ONE_HOT POW PRELU RANDOM_STANDARD_NORMAL RANDOM_UNIFORM RANK
        READ_VARIABLE REAL REDUCE_ALL REDUCE_ANY RELU_0_TO_1 RELU_N1_TO_1 RESHAPE
        REVERSE_SEQUENCE RFFT2D RIGHT_SHIFT ROUND SCATTER_ND SEGMENT_SUM SHAPE SIN SKIP_GRAM
        SQRT SQUARE UNIQUE UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_MIN UNSORTED_SEGMENT_PROD
        UNSORTED_SEGMENT_SUM VAR_HANDLE WHILE ZEROS_LIKE
    """,
    2: """
        DEPTH_TO_SPACE DIV EXP FAKE_QUANT FLOOR_MOD GELU GREATER L2_NORMALIZATION LEAKY_RELU
        LESS_EQUAL LOG_SOFTMAX RANGE REDUCE_PROD RSQRT SELECT_V2 SIGN SPACE_TO_DEPTH SPLIT_V
        SQUARED_DIFFERENCE SQUEEZE SUM WHERE
    """,
    3: """
        ARG_MAX ARG_MIN AVERAGE_POOL_2D BIDIRECTIONAL_SEQUENCE_LSTM
        BIDIRECTIONAL_SEQUENCE_RNN BROADCAST_TO EMBEDDING_LOOKUP FLOOR_DIV GREATER_EQUAL
        LESS LOGISTIC MAX_POOL_2D MEAN MIRROR_PAD NOT_EQUAL QUANTIZE REDUCE_MAX REDUCE_MIN
        RELU RELU6 REVERSE_V2 RNN SOFTMAX SPARSE_TO_DENSE TANH TILE TOPK_V2
        UNIDIRECTIONAL_SEQUENCE_RNN
    """,
    4: """
        BATCH_MATMUL BATCH_TO_SPACE_ND CONCATENATION EQUAL FILL GATHER_ND LSTM MAXIMUM
        MINIMUM PACK PAD PADV2 RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SELECT
        SPACE_TO_BATCH_ND SPLIT SVDF TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK
    """,
    5: """
        ABS ADD CAST DEQUANTIZE SUB
    """,
    6: """
        GATHER SLICE TRANSPOSE
    """,
    7: """
        CONV_2D DEPTHWISE_CONV_2D MUL
    """,
    8: """
        STRIDED_SLICE
    """,
    10: """
        FULLY_CONNECTED
    """,
}
TFLITE_RUNTIME = {name: version for version, text in _BY_VERSION.items() for name in text.split()}
"""The newest version of each operator that tflite-runtime 2.14 loads."""


def unknown_operator(model: bytes, interpreters: Collection[str]) -> str | None:
    """The operator for which a device cannot load a model.

    Args:
        model: The bytes of a ``.tflite``, sealed or not.
        interpreters: Names of the interpreters there, as `edge_runtime.backend.BACKENDS` has them.

    Returns:
        For example "FULLY_CONNECTED version 12 (it loads up to 10)"; None where nothing is known
        that speaks against the model.

    Raises:
        ModelError: It is not a TensorFlow Lite model, or a damaged one.
        MissingDependencyError: No package with the schema is installed.
    """
    if set(interpreters) != {"tflite-runtime"}:
        return None
    for operator in inspect_model(model).operators:
        if operator.name.startswith("CUSTOM "):
            continue
        newest = TFLITE_RUNTIME.get(operator.name)
        if newest is None:
            return f"{operator.name}, which it does not have"
        if operator.version > newest:
            return f"{operator.name} version {operator.version} (it loads up to {newest})"
    return None

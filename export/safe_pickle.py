"""Safe pickle reader: reads the pickle of a PyTorch file as data, imports no module and calls no foreign name.

Unpickling calls whatever a file names. This module therefore does not unpickle: it walks the opcodes itself and
builds only dictionaries, lists, tuples and scalars. The few names that a checkpoint needs have an inert counterpart
in this module. Tensors stay descriptions. A pickle that names anything else (``os.system``, ``builtins.getattr``, …)
is refused.
"""

from __future__ import annotations

import pickletools
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..engine.errors import CheckpointError

MAX_DIMENSIONS = 8
MAX_SIZE = 1 << 48  # elements; far above any file, far below an overflow

STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


class StandIn:
    """Empty placeholder for an object of a class that this engine does not have."""


@dataclass(frozen=True)
class StorageRecord:
    """The bytes of one or more tensors: ``numel`` elements in the file's entry ``data/<key>``."""

    dtype: str
    key: str
    numel: int


@dataclass(frozen=True)
class TensorRecord:
    """Description of a tensor in the pickle; offset and stride in elements of the storage."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class Global:
    """Counterpart of a name in a pickle: ``make`` runs instead of the named function."""

    make: Callable[..., Any]


def read_pickle(data: bytes) -> Any:
    """The object in a pickle: dict, list, tuple, scalars, TensorRecord, and StandIn or Global for all others.

    Raises:
        CheckpointError: the pickle is damaged, or asks for something that a checkpoint does not need.
    """
    try:
        return _walk(data)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle may fail in any way
        raise CheckpointError(f"damaged: its pickle cannot be read ({type(error).__name__}: {error})") from error


# Opcodes by their effect; these push their argument.
VALUES = {
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "BINFLOAT",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "SHORT_BINSTRING",
    "BINBYTES",
    "SHORT_BINBYTES",
}
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _walk(data: bytes) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        mark = marks.pop()
        items = stack[mark:]
        del stack[mark:]
        return items

    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name in VALUES:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name]())
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[_whole(argument)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[_whole(argument)])
        elif name in TUPLES:
            stack[-TUPLES[name] :] = [tuple(stack[-TUPLES[name] :])]
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name == "APPEND":
            _extend(stack[-2], [stack.pop()])
        elif name in ("APPENDS", "ADDITEMS"):
            items = since_mark()
            _extend(stack[-1], items)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _update(stack[-1], [(key, value)])
        elif name == "SETITEMS":
            items = since_mark()
            _update(stack[-1], zip(items[::2], items[1::2], strict=True))
        elif name == "GLOBAL":
            module, _, attribute = str(argument).partition(" ")
            stack.append(_find(module, attribute))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_find(module, attribute))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            stack.append(_call(function, arguments))
        elif name == "BUILD":
            stack.pop()  # the state of an object is not needed: a StandIn has none
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise CheckpointError(f"refused: its pickle uses {name}, which no PyTorch file does")
    raise CheckpointError("damaged: its pickle has no end")


def _whole(argument: Any) -> int:
    if not isinstance(argument, int):
        raise CheckpointError(f"damaged: expected a number in its pickle, got {reprlib.repr(argument)}")
    return argument


def _extend(target: Any, items: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif not isinstance(target, StandIn):
        raise CheckpointError(f"damaged: its pickle appends to a {type(target).__name__}")


def _update(target: Any, items: Iterable[tuple[Any, Any]]) -> None:
    if isinstance(target, StandIn):
        return
    if not isinstance(target, dict):
        raise CheckpointError(f"damaged: its pickle sets items of a {type(target).__name__}")
    for key, value in items:
        # Hashing a nested tuple recurses: a small file could make it take hours or end the process.
        # Integers beyond 2^61 - 1 can share one hash: a small file could make a dictionary take hours.
        if not isinstance(key, str | None) and not (isinstance(key, int) and abs(key) < MAX_SIZE):
            raise CheckpointError(f"refused: its pickle has a dictionary with a {type(key).__name__} as key")
        target[key] = value


def _call(function: Any, arguments: Any) -> Any:
    if not isinstance(function, Global) or not isinstance(arguments, tuple):
        raise CheckpointError(f"damaged: its pickle calls a {type(function).__name__}")
    return function.make(*arguments)


def _find(module: Any, name: Any) -> Any:
    if not isinstance(module, str) or not isinstance(name, str):
        raise CheckpointError("damaged: its pickle asks for a name that is no text")
    if (module, name) in KNOWN:
        return KNOWN[module, name]
    if module == "torch" and name in STORAGES:
        return STORAGES[name]
    if f"{module}.".startswith(STAND_IN_PACKAGES):
        return Global(lambda *_: StandIn())
    raise CheckpointError(
        f"refused: its pickle asks for {reprlib.repr(f'{module}.{name}')}, which no MFP checkpoint needs and "
        "which could run code; nothing was executed. Get the file from its authors again"
    )


def _storage(identity: Any) -> StorageRecord:
    if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
        raise CheckpointError(f"damaged: expected a storage, got a {type(identity).__name__}")
    _, dtype, key, _device, numel = identity
    if not isinstance(dtype, str) or dtype not in STORAGES.values():
        raise CheckpointError(f"damaged: a storage of {reprlib.repr(dtype)}")
    if not isinstance(key, str) or not _are_sizes(numel):
        raise CheckpointError(f"damaged: a storage named {reprlib.repr(key)}")
    return StorageRecord(dtype, key, numel)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: object) -> TensorRecord:
    if not isinstance(storage, StorageRecord) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise CheckpointError("damaged: a tensor without storage or shape")
    if not _are_sizes(offset, *shape, *stride) or not len(shape) == len(stride) <= MAX_DIMENSIONS:
        raise CheckpointError(f"damaged: a tensor of shape {reprlib.repr(shape)}")
    return TensorRecord(storage, offset, shape, stride)


def _are_sizes(*values: object) -> bool:
    return all(type(value) is int and 0 <= value < MAX_SIZE for value in values)


def _empty_dictionary(*contents: object) -> dict[str, Any]:
    """An empty dictionary, which later opcodes of ``torch.save`` fill.

    Given contents are refused, as they could make hashing or copying endless.
    """
    if contents:
        raise CheckpointError("refused: its pickle makes a dictionary from contents, which no PyTorch file does")
    return {}


INERT = Global(lambda *_: StandIn())
KNOWN: dict[tuple[str, str], Global] = {
    ("collections", "OrderedDict"): Global(_empty_dictionary),
    # These return their argument: a copy each time would let a small file fill the memory.
    ("builtins", "set"): Global(lambda items: items),
    ("__builtin__", "set"): Global(lambda items: items),
    ("torch", "Size"): Global(lambda sizes: sizes),
    ("torch", "device"): INERT,
    ("torch._utils", "_rebuild_tensor_v2"): Global(_tensor),
    ("torch._utils", "_rebuild_parameter"): Global(lambda tensor, *_: tensor),
    # NumPy scalars: their type, their bytes and the scalar.
    ("numpy", "dtype"): INERT,
    ("_codecs", "encode"): INERT,
    ("numpy.core.multiarray", "scalar"): INERT,
    ("numpy._core.multiarray", "scalar"): INERT,
}
# Packages of known origin whose objects the engine does not use: the authors' loss objects, and layers. Their
# contents are dropped.
STAND_IN_PACKAGES = ("isegm.", "torch.nn.")

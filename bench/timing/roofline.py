"""Roofline: lower bound of the time of a network's pass, from its ONNX file and the device's peak speeds.

:func:`count` counts floating-point operations and bytes; :func:`measure_ceilings` times a large matrix product and a
large copy. Only the matrix operators (:data:`~mfp.engine.contract.MATRIX_OPERATORS`) are counted; all others can be
fused into them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ...engine.contract import INPUT_CHANNELS, MATRIX_OPERATORS, Size
from ...engine.errors import NetworkError, RuntimeMissingError

if TYPE_CHECKING:
    import onnx

Shape: TypeAlias = tuple[int, ...]

BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}  # bytes per number
LARGE = 1024  # size from which a tensor is certainly a weight, not a shape
REPEATS = 10
CPU_SIDE, GPU_SIDE = 2048, 8192  # side of the square matrices
CPU_BYTES, GPU_BYTES = 1 << 29, 1 << 31  # bytes of the copy: more than the caches hold


def count(path: Path, size: Size, batch: int) -> dict[str, Any]:
    """Operations and bytes of one pass of a batch.

    Args:
        path: FP32 ONNX file written by :mod:`mfp.export`.
        size: network size (H, W).
        batch: number of items; 2 with the mirrored pass.

    Returns:
        ``size``; ``gflop``: 1e9 floating-point operations, where a multiply-add counts as two; ``weight_bytes``: bytes
        of all weights in float32; ``tensor_bytes``: bytes of the other tensors that the matrix operators read and write
        in float32, which is the traffic of a pass if caches hold nothing from one operator to the next.

    Raises:
        NetworkError: a shape is still unknown at this size.
    """
    import onnx

    model = onnx.load(path)
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes = weights | _shapes(model, size, batch)
    operations = numbers = 0
    for node in model.graph.node:
        if node.op_type not in MATRIX_OPERATORS:
            continue
        missing = [name for name in (*node.input[:2], node.output[0]) if name not in shapes]
        if missing:
            raise NetworkError(
                f"{path}: the shape of {missing[0]!r} is open at {size[0]}×{size[1]}; count a file of that size, "
                f"exported with: mfp export --size {size[0]}x{size[1]}"
            )
        first, second, output = (shapes[name] for name in (*node.input[:2], node.output[0]))
        operations += 2 * _multiply_adds(node, first, second, output)
        activations = [shapes[name] for name in (*node.input[:2], node.output[0]) if name not in weights]
        numbers += sum(map(prod, activations))
    return {
        "size": list(size),
        "gflop": operations / 1e9,
        "weight_bytes": 4 * sum(map(prod, weights.values())),
        "tensor_bytes": 4 * numbers,
    }


def floor_ms(network: dict[str, Any], ceilings: dict[str, Any], precision: str) -> float | None:
    """Lower bound of a pass in milliseconds: the longer of its arithmetic and the reading of its weights.

    Tensors between operators can stay in caches, so they are not part of the bound.

    Args:
        network: result of :func:`count`.
        ceilings: result of :func:`measure_ceilings`.
        precision: ``"fp32"``, ``"fp16"`` or ``"bf16"``.

    Returns:
        Milliseconds; None where the ceiling of this precision has not been measured.
    """
    products = ceilings["matrix_product_gflops"]
    if precision not in products:
        return None
    # where half precision is slower, a runtime may compute in full precision
    gflops = max(products[name] for name in (precision, "fp32", "tf32") if name in products)
    arithmetic = network["gflop"] / gflops * 1e3
    weights = network["weight_bytes"] * BYTES[precision] / BYTES["fp32"] / 1e9 / ceilings["copy_gb_per_s"] * 1e3
    return float(max(arithmetic, weights))


def _multiply_adds(node: onnx.NodeProto, first: Shape, second: Shape, output: Shape) -> int:
    """Number of multiply-adds of a node, from the shapes of its two operands and its output."""
    import onnx

    if node.op_type == "Conv":  # weights: outputs × inputs of a group × kernel
        return prod(output) * prod(second[1:])
    if node.op_type == "ConvTranspose":  # weights: inputs × outputs of a group × kernel
        return prod(first) * prod(second[1:])
    if node.op_type == "MatMul":
        return prod(output) * first[-1]
    transposed = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return prod(output) * (first[0] if transposed.get("transA") else first[1])  # Gemm


def _shapes(model: onnx.ModelProto, size: Size, batch: int) -> dict[str, Shape]:
    """Shapes of all tensors that follow from batch, height and width. Removes large weights from the model."""
    import onnx

    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        for dim, side in zip(dims, (batch, INPUT_CHANNELS.get(value.name, 1), *size), strict=False):
            dim.dim_value = side
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")  # it is unknown there too, and would override the inferred shape
    del model.graph.value_info[:]
    # Inference copies the model several times. For large weights it needs only the shape; for small ones, which may be
    # shapes themselves, it needs the values.
    large = [tensor for tensor in model.graph.initializer if prod(tensor.dims) > LARGE]
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in large
    )
    small = [tensor for tensor in model.graph.initializer if prod(tensor.dims) <= LARGE]
    del model.graph.initializer[:]
    model.graph.initializer.extend(small)
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found


def measure_ceilings(device: str, precisions: tuple[str, ...]) -> dict[str, Any]:
    """Measure median speeds on ``"cpu"`` or ``"cuda:N"`` with PyTorch.

    Args:
        precisions: precisions of the products: ``"fp32"``, ``"fp16"``, ``"bf16"``, and on a GPU ``"tf32"``, to which
            runtimes round the inputs of FP32 products. A precision that the device does not support is left out.

    Returns:
        ``matrix_product_gflops``: by precision, 1e9 floating-point operations per second, where a multiply-add counts
        as two; ``copy_gb_per_s``: 1e9 bytes read and written per second.
    """
    import torch

    products = {}
    for precision in precisions:
        try:
            products[precision] = _matrix_product(torch, device, precision)
        except (RuntimeError, TypeError):  # such as "not implemented for 'Half'"
            continue
    return {"matrix_product_gflops": products, "copy_gb_per_s": _copy(torch, device)}


def _matrix_product(torch: Any, device: str, precision: str) -> float:
    side = CPU_SIDE if device == "cpu" else GPU_SIDE
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    switch = torch.backends.cuda.matmul
    before, switch.allow_tf32 = switch.allow_tf32, precision == "tf32"
    try:
        return 2 * side**3 / _seconds(lambda: torch.mm(a, b, out=out), device) / 1e9
    finally:
        switch.allow_tf32 = before


def _copy(torch: Any, device: str) -> float:
    nbytes = CPU_BYTES if device == "cpu" else GPU_BYTES
    try:
        source = torch.ones(nbytes // 4, dtype=torch.float32, device=device)
        target = torch.ones_like(source)
    except RuntimeError as error:  # PyTorch's subclass of it differs between versions
        raise RuntimeMissingError(f"no memory on {device} to measure a copy of {nbytes:,} bytes: {error}") from error
    return 2 * nbytes / _seconds(lambda: target.copy_(source), device) / 1e9


def _seconds(work: Callable[[], object], device: str) -> float:
    """Median seconds of one call after two warm-up calls; on a GPU by events around several, as one is too short."""
    import torch

    for _ in range(2):
        work()
    samples = []
    for _ in range(REPEATS):
        if device == "cpu":
            start = time.perf_counter()
            work()
            samples.append(time.perf_counter() - start)
        else:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begin.record(torch.cuda.current_stream(device))
            for _ in range(REPEATS):
                work()
            end.record(torch.cuda.current_stream(device))
            end.synchronize()
            samples.append(begin.elapsed_time(end) / REPEATS / 1e3)
    return float(np.median(samples))

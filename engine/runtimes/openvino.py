"""Networks on OpenVINO, on the CPU."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ..contract import INPUT_CHANNELS, OUTPUT, NetworkInfo
from ..errors import NetworkError, OptionError, RuntimeMissingError
from ..network import F32, Network, Options
from ..onnx_file import read_onnx
from ..requirements import INSTALL, one_line
from ..telemetry import import_silenced

DEVICE = "CPU"

# Entries of the CPU plug-in's cache, one for each different layer and shape. With OpenVINO's default, 5000, lite0 of
# any size grows by 700 MB, and a large network by more; with this value lite0 grows by 200 MB. The first pass after a
# shape was dropped from the cache takes twice the time.
CACHED_PRIMITIVES = 1024


class OpenVinoNetwork(Network):
    """An FP32 ONNX file on OpenVINO's CPU plug-in, computed in FP32 or BF16."""

    runtime = "openvino"
    device = "cpu"

    def __init__(self, compiled: Any, info: NetworkInfo) -> None:
        self._compiled = compiled
        self._idle: list[Any] = []  # idle requests; each runs one pass at a time, so as many as passes ran at once
        self.info = info

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        feeds = dict(zip(INPUT_CHANNELS, (image, prev_mask, modulated_mask, clicks), strict=True))
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            logits: F32 = request.infer(feeds, share_inputs=True)[OUTPUT]
        except Exception as error:  # RuntimeError, TypeError, ValueError: a size it refuses, out of memory, …
            raise NetworkError(f"OpenVINO could not run {self!r} on {image.shape}: {one_line(error)}") from error
        finally:
            self._idle.append(request)
        return self._checked(logits, image)


def _broken(error: Exception) -> NetworkError:
    return NetworkError(
        f"OpenVINO is installed, but does not load: {one_line(error)}; install it anew: "
        "pip install --force-reinstall openvino"
    )


def open(source: Path, options: Options) -> OpenVinoNetwork:
    """See :func:`mfp.engine.network.load_network`."""
    if options.device.startswith("cuda"):
        raise OptionError(f"OpenVINO runs on the CPU here, asked for {options.device}; on a GPU run onnxruntime")
    try:
        openvino = import_silenced("openvino")
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise _broken(error) from error
        raise RuntimeMissingError(f"OpenVINO is not installed; install it with: {INSTALL['openvino']}") from None
    except Exception as error:  # any class: a broken binary package raises many
        raise _broken(error) from error

    properties = openvino.properties
    _, info = read_onnx(source)
    info = replace(info, precision=_precision(source.name, info, options))

    # Compiled once for all sizes that the file leaves open: in measurements, a fixed shape is no faster.
    settings = {
        properties.hint.performance_mode(): properties.hint.PerformanceMode.LATENCY,
        # Never left to its default, which is BF16 where the processor has it.
        properties.hint.inference_precision(): openvino.Type.bf16 if info.precision == "bf16" else openvino.Type.f32,
    }
    if options.threads is not None:
        settings[properties.inference_num_threads()] = options.threads
    try:
        compiled = _compiled(core().read_model(source), settings)
    except Exception as error:  # RuntimeError and its kin
        raise NetworkError(f"OpenVINO cannot take {source}: {one_line(error)}") from error
    return OpenVinoNetwork(compiled, info)


def _compiled(model: Any, settings: dict[Any, Any]) -> Any:
    try:
        return core().compile_model(model, DEVICE, {**settings, "CPU_RUNTIME_CACHE_CAPACITY": CACHED_PRIMITIVES})
    except Exception:  # a version without this setting; the next line raises any other error
        return core().compile_model(model, DEVICE, settings)


@cache
def core() -> Any:
    """OpenVINO's ``Core``, one for the process, because making one loads the plug-ins."""
    return import_silenced("openvino").Core()


def has_bf16() -> bool:
    """Whether this processor computes in BF16."""
    return "BF16" in core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")


def _precision(file: str, info: NetworkInfo, options: Options) -> str:
    """The precision that the network runs in."""
    if info.precision != "fp32":
        raise OptionError(
            f"{file} is {info.precision}; OpenVINO takes an fp32 file and computes it in fp32 or bf16. Load the file "
            "that this one was converted from, or run this one on onnxruntime"
        )
    precision = options.precision or "fp32"
    if precision == "fp16":
        raise OptionError(
            f"OpenVINO computes in fp32 or bf16 on a CPU; for fp16 run onnxruntime on a file of "
            f"mfp convert {file} --precision fp16"
        )
    if precision == "bf16" and not has_bf16():
        raise RuntimeMissingError(
            "this processor has no BF16 instructions (AVX-512 BF16 or AMX); load the network in fp32"
        )
    return precision

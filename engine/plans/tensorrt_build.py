"""Driver of TensorRT's builder: parser, profile, progress, error messages, precision check of the result."""

from __future__ import annotations

import hashlib
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract import INPUT_CHANNELS, MATRIX_OPERATORS, NetworkInfo
from ..devices import cuda_driver
from ..errors import BuildError, NetworkError, OptionError
from ..onnx_file import read_onnx
from .flavour import Complaints, Flavour
from .plan_file import replace_file
from .plan_layers import HEADING, Share, share_of_layers, share_of_network

if TYPE_CHECKING:
    from .options import BuildOptions

Progress = Callable[[str, int, int], None]  # (phase, steps done, steps in all)

_ACTIVATIONS = re.compile(r"Total Activation Memory: (\d+) bytes")


@dataclass(frozen=True)
class Model:
    """An ONNX file as the builder needs it.

    Attributes:
        path, data, sha256, info: the file's path, bytes, hash and network information; ``data`` is both hashed and
            parsed.
        matrix_nodes: names of the convolutions and matrix products.
        half_asked: number of them that are in half precision in the file.
        inputs: each node's inputs, by the node's name.
        fp32_bytes: size of the weights in bytes, if they all were FP32.
    """

    path: Path
    data: bytes
    sha256: str
    info: NetworkInfo
    matrix_nodes: tuple[str, ...]
    half_asked: int
    inputs: dict[str, tuple[str, ...]]
    fp32_bytes: int


def read_model(path: str | Path) -> Model:
    """Read and check an ONNX file.

    Raises:
        NetworkError: the file is no MFP network, or has its weights in other files.
    """
    import onnx

    path = Path(path)
    proto, info = read_onnx(path)
    data = path.read_bytes()
    half_types = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    half_weights = {tensor.name for tensor in proto.graph.initializer if tensor.data_type in half_types}
    try:
        inferred = onnx.shape_inference.infer_shapes(proto)
    except Exception as error:  # onnx raises a C++ class
        raise NetworkError(f"{path}: the types of its tensors are not consistent: {error}. Export it again.") from error
    half = half_weights | {v.name for v in inferred.graph.value_info if v.type.tensor_type.elem_type in half_types}
    matrix = [node for node in proto.graph.node if node.op_type in MATRIX_OPERATORS]
    return Model(
        path,
        data,
        hashlib.sha256(data).hexdigest(),
        info,
        tuple(node.name for node in matrix),
        sum(not half.isdisjoint(node.input) for node in matrix),
        {n.name: tuple(n.input) for n in proto.graph.node},
        4 * sum(prod(tensor.dims) for tensor in proto.graph.initializer),
    )


class Compiler:
    """One build of one file.

    Args:
        flavour: TensorRT variant to build with.
        model: the ONNX file.
        profile: smallest, usual and largest (batch, H, W).
        progress: callback for TensorRT's phases; an exception from it cancels the build and is raised again.

    Raises:
        BuildError: TensorRT's parser refuses the file.
        KeyboardInterrupt: Ctrl-C, once TensorRT has stopped.
    """

    def __init__(
        self,
        flavour: Flavour,
        model: Model,
        profile: tuple[tuple[int, int, int], ...],
        progress: Progress | None = None,
    ) -> None:
        trt = flavour.trt
        self.profile = profile
        self.activation_bytes: int | None = None  #: GPU memory of one execution, in bytes, if the builder reports it
        self._flavour, self._trt, self._model, self._progress = flavour, trt, model, progress
        self._complaints = Complaints()
        self._layers = ""
        self._interrupt: BaseException | None = None
        self._logger = flavour.logger(self._hear)
        self._builder = trt.Builder(self._logger)
        if self._builder is None:
            raise BuildError(f"{flavour.name} cannot start its builder: {self._complaints}")
        # TensorRT 11 has no other networks, TensorRT 10 needs the flag
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self._network = self._builder.create_network(flags)
        parser = trt.OnnxParser(self._network, self._logger)
        with self._interruptible():
            parsed = parser.parse(model.data)
        if not parsed:
            raise BuildError(self._refusal([parser.get_error(i) for i in range(parser.num_errors)]))

    def compile(self, options: BuildOptions, timing_cache: Path | None) -> memoryview:
        """Build the engine and return the serialised plan.

        Raises:
            BuildError: TensorRT returns no engine.
            OptionError: the timing cache cannot be read or written.
        """
        trt = self._trt
        config = self._builder.create_builder_config()
        # share_of_layers reads the layers' names and types
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        config.clear_flag(trt.BuilderFlag.TF32)  # TF32 rounds inputs of FP32 layers to 10 bits; use FP16 for that
        if options.workspace is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace << 20)
        if options.level is not None:
            config.builder_optimization_level = options.level
        if options.version_compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if options.hardware_compatible:
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        self._set_targets(config, options.compute_capabilities)
        if self._flavour.is_rtx:
            # The caller provides the memory of a pass. The pass allocates none: a CUDA graph could not record that.
            config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
        config.add_optimization_profile(self._profile())
        config.progress_monitor = _monitor(trt, self._report)
        timings = self._timing_cache(config, timing_cache)
        with self._interruptible():
            plan = self._builder.build_serialized_network(self._network, config)
        if plan is None:
            raise BuildError(f"{self._flavour.name} could not build {self._model.path}: {self._complaints}")
        if timing_cache is not None:
            try:
                replace_file(timing_cache, memoryview(timings.serialize()))
            except OSError as error:
                raise OptionError(f"cannot write the timing cache {timing_cache}: {error.strerror}") from None
        return memoryview(plan)

    def half_share(self, plan: memoryview) -> Share:
        """Share of the engine's convolutions and matrix products that run in half precision.

        It comes from the inspector if the engine can be opened, else from the builder's log, else from the parsed
        network.
        """
        names, share = self._model.matrix_nodes, None
        runtime = self._trt.Runtime(self._logger) if cuda_driver()[0] else None
        engine = runtime.deserialize_cuda_engine(plan) if runtime is not None else None
        if engine is not None:
            inspector = engine.create_engine_inspector()
            text = inspector.get_engine_information(self._trt.LayerInformationFormat.ONELINE)
            share = share_of_layers(text, names, "inspector")
            self.activation_bytes = engine.device_memory_size_v2
        return share or share_of_layers(self._layers, names, "build log") or share_of_network(self._network, self._trt)

    def _set_targets(self, config: Any, capabilities: tuple[str, ...]) -> None:
        if not capabilities:
            return
        config.num_compute_capabilities = len(capabilities)
        for i, capability in enumerate(capabilities):
            target = getattr(self._trt.ComputeCapability, f"SM{capability.replace('.', '')}")
            if not config.set_compute_capability(target, i) or config.get_compute_capability(i) != target:
                raise BuildError(f"{self._flavour.name} does not build for compute capability {capability}")

    def _profile(self) -> Any:
        profile = self._builder.create_optimization_profile()
        for name, channels in INPUT_CHANNELS.items():
            profile.set_shape(name, *((batch, channels, *size) for batch, *size in self.profile))
        return profile

    def _timing_cache(self, config: Any, file: Path | None) -> Any:
        if file is None:
            return None
        try:
            stored = file.read_bytes() if file.exists() else b""
        except OSError as error:
            raise OptionError(f"cannot read the timing cache {file}: {error.strerror}") from None
        cache = config.create_timing_cache(stored)
        if cache is None or not config.set_timing_cache(cache, False):
            raise OptionError(
                f"{self._flavour.name} refuses the timing cache {file}: {self._complaints}. It belongs to another GPU "
                "or version, or is damaged: name another file, or remove it"
            )
        return cache

    def _hear(self, severity: str, message: str) -> None:
        self._complaints.hear(severity, message)
        if message.startswith(HEADING):
            self._layers = message
        elif found := _ACTIVATIONS.search(message):
            self.activation_bytes = int(found[1])

    def _refusal(self, errors: list[Any]) -> str:
        """The parser's errors with node, operator and inputs."""
        lines = []
        for error in errors:
            text = error.desc()
            if error.node_operator():
                inputs = ", ".join(filter(None, self._model.inputs.get(error.node_name(), ()))) or "none"
                text = f"{error.node_operator()} {error.node_name()!r} with the inputs {inputs}: {text}"
            lines.append(text)
        reasons = "; ".join(lines) or str(self._complaints)
        return f"{self._flavour.name} {self._flavour.version} cannot read {self._model.path}: {reasons}"

    def _report(self, phase: str, done: int, total: int) -> bool:
        """Report a phase from a C++ callback, and return whether to go on. C++ loses exceptions, so they are stored."""
        try:
            if self._interrupt is None and self._progress is not None:
                self._progress(phase, done, total)
        except BaseException as error:
            self._interrupt = error
        return self._interrupt is None

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Context manager around calls into TensorRT that lets Ctrl-C cancel them.

        Otherwise KeyboardInterrupt would be raised in the next callback, and lost in C++.
        """
        is_main = threading.current_thread() is threading.main_thread()  # the only thread that gets signals
        # a handler of the application stays, and so does a shell's setting to ignore Ctrl-C
        takes_over = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if takes_over:
            signal.signal(signal.SIGINT, self._keep_interrupt)
        try:
            yield
        finally:
            if takes_over:
                signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._interrupt is not None:
            raise self._interrupt

    def _keep_interrupt(self, number: int, frame: Any) -> None:
        self._interrupt = KeyboardInterrupt()


def _monitor(trt: Any, report: Callable[[str, int, int], bool]) -> Any:
    """TensorRT's progress monitor."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._steps[phase] = steps
            report(phase, 0, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            return report(phase, step + 1, self._steps.get(phase, 0))

        def phase_finish(self, phase: str) -> None:
            steps = self._steps.get(phase, 0)
            report(phase, steps, steps)

    return Monitor()

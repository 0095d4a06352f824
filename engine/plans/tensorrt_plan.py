"""The `OpenedPlan` class: a plan opened on a GPU, with the runtime cache file of TensorRT for RTX beside it.

In that file TensorRT for RTX keeps what it compiled for this GPU.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..contract import NetworkInfo, Tensor, check_signature
from ..errors import NetworkError, PlanError
from .flavour import ELSEWHERE, MODULES, Complaints, open_flavour, why_not_on_this_gpu
from .gpu import gpu
from .plan_file import printable, read_plan, rebuild_command, replace_file

TRUST = "MFP_TRUST_PLANS"  # environment variable: "1" lets version-compatible plans run their host code


class OpenedPlan:
    """A plan that TensorRT has loaded. Threads share it; each pass runs in its own execution context.

    Args:
        path: the plan file.
        device: number of the GPU, which must be the current one.

    Raises:
        PlanError: the plan is damaged, or made for another version or GPU.
        NetworkError: the network does not meet the contract.
        RuntimeMissingError: the TensorRT variant that built the plan is not installed.
    """

    def __init__(self, path: Path, device: int) -> None:
        metadata, plan = read_plan(path)
        self.path, self.metadata = path, metadata
        flavour = metadata.get("flavour")
        if not isinstance(flavour, str) or flavour not in MODULES:
            raise PlanError(
                f"{path} does not say which TensorRT it is for. Build it again with: {rebuild_command(metadata)}"
            )
        self.flavour = open_flavour(flavour)
        self.complaints = Complaints()
        # TensorRT's objects do not keep alive the logger and the runtime that they were made with
        self._logger = self.flavour.logger(self.complaints.hear)
        self._runtime = self.flavour.trt.Runtime(self._logger)
        # a version-compatible plan contains code that runs on the host: do not run it from an untrusted file
        self._runtime.engine_host_code_allowed = os.environ.get(TRUST) == "1"
        self.engine = self._runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            raise PlanError(self._refusal(device))
        self.info = self._checked_info()
        low, _, high = (tuple(shape) for shape in self.engine.get_tensor_profile_shape("image", 0))
        #: smallest and largest (batch, H, W) that the plan takes; stored, because every pass is checked against it
        self.profile = (low[0], *low[2:]), (high[0], *high[2:])
        self._config: Any = None
        self._runtime_cache: Any = None
        self._remembered: set[tuple[int, ...]] = set()
        if self.flavour.is_rtx:
            self._configure()

    def new_context(self) -> Any:
        """An execution context, for one stream of one thread.

        With TensorRT for RTX the context has no memory for its passes yet: give it some when its shapes are set.

        Raises:
            NetworkError: TensorRT returns no context, for example for lack of memory.
        """
        engine = self.engine
        context = engine.create_execution_context(*([self._config] if self._config is not None else []))
        if context is None:
            raise NetworkError(f"TensorRT cannot start {self.path}: {self.complaints}")
        return context

    def remember(self, shape: tuple[int, ...]) -> None:
        """Save what TensorRT for RTX compiled, for the next start. To be called after the first pass of a shape.

        A folder that cannot be written is no error: the kernels are then compiled again.
        """
        if self._runtime_cache is not None and shape not in self._remembered:
            self._remembered.add(shape)
            with suppress(OSError):
                replace_file(self._runtime_cache_file, memoryview(self._runtime_cache.serialize()))

    @property
    def _runtime_cache_file(self) -> Path:
        return self.path.with_name(self.path.name + ".runtime-cache")

    def _configure(self) -> None:
        """Configure TensorRT for RTX: memory, specialised kernels, and the runtime cache beside the plan."""
        trt = self.flavour.trt
        self._config = self.engine.create_runtime_config()
        self._config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        # The default compiles in the background and changes kernels between passes: the same clicks would not give the
        # same bits, and the runtime cache would be written while it is still empty.
        self._config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        self._runtime_cache = self._config.create_runtime_cache()
        with suppress(OSError):
            # TensorRT checks the file: one for another GPU, driver or version is refused and compiled again
            self._runtime_cache.deserialize(self._runtime_cache_file.read_bytes())
        self._config.set_runtime_cache(self._runtime_cache)

    def _checked_info(self) -> NetworkInfo:
        trt, engine = self.flavour.trt, self.engine
        tensors: dict[bool, dict[str, Tensor]] = {True: {}, False: {}}
        for i in range(engine.num_io_tensors):
            name = engine.get_tensor_name(i)
            shape = [side if side >= 0 else None for side in engine.get_tensor_shape(name)]
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            tensors[is_input][name] = Tensor(shape, engine.get_tensor_dtype(name) == trt.DataType.FLOAT)
        size = check_signature(self.path.name, tensors[True], tensors[False])
        properties = self.metadata.get("network")
        texts = properties.items() if isinstance(properties, dict) else ()
        return NetworkInfo.from_properties({k: v for k, v in texts if isinstance(v, str)}, size)

    def _refusal(self, device: int) -> str:
        """Message on why TensorRT did not take the plan: the difference from the build, else TensorRT's own error."""
        built, here = printable(str(self.metadata.get("flavour_version"))), self.flavour.version
        built_on, this = self.metadata.get("gpu"), gpu(device)
        if this is not None and self.flavour.is_rtx and (why := why_not_on_this_gpu(self.flavour)):
            return f"{self.path} cannot be opened: {why} {ELSEWHERE}"
        capability = built_on.get("compute_capability") if isinstance(built_on, dict) else None
        reasons = []
        if built != here:
            reasons.append(f"it was built with {self.flavour.name} {built}, here is {here}")
        if this is not None and not self.flavour.is_rtx and capability != this.compute_capability:
            other = printable(str(capability))
            reasons.append(f"it was built on compute capability {other}, this GPU has {this.compute_capability}")
        if this is not None and self.flavour.is_rtx:
            purpose = printable(str(self.metadata.get("built_for")))
            reasons.append(f"it was built for {purpose}, this GPU has {this.compute_capability}")
        options = self.metadata.get("options")
        if isinstance(options, dict) and options.get("version_compatible") and os.environ.get(TRUST) != "1":
            reasons.append(
                f"it is version-compatible and so carries code for the host, which runs only where {TRUST}=1 is set; "
                "set it for plans that you built yourself"
            )
        return (
            f"{self.flavour.name} does not take {self.path}: {'; '.join([*reasons, str(self.complaints)])}. "
            f"Build it here with: {rebuild_command(self.metadata)} --flavour {self.flavour.name}"
        )

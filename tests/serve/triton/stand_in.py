"""In place of Triton's ONNX Runtime backend, which has no package: the same file, run by ONNX Runtime in Python."""

from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton

NAMES = ("image", "prev_mask", "modulated_mask", "clicks")


class TritonPythonModel:
    def initialize(self, args):
        file = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        found = [[triton.get_input_tensor_by_name(request, name).as_numpy() for name in NAMES] for request in requests]
        arrays = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        logits = self.session.run(["logits"], dict(zip(NAMES, arrays, strict=True)))[0]
        ends = np.cumsum([len(parts[0]) for parts in found])[:-1]
        return [triton.InferenceResponse([triton.Tensor("logits", part)]) for part in np.split(logits, ends)]

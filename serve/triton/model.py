"""Model for Triton's Python backend: takes a photograph and all clicks so far, and returns the mask.

The model is stateless, so that any instance can answer any request and a lost request can be sent again. Triton's
sequences would tie a session to one instance, and lose it when that instance ends. :mod:`mfp.serve.adapters.replay`
still avoids repeated work as a session does. The network is a separate model on Triton's runtime, where requests share
passes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...engine.contract import INPUT_CHANNELS, OUTPUT, NetworkInfo
from ...engine.errors import MfpError, NetworkError, OptionError
from ...engine.network import F32, Network
from ...engine.terminal.arguments import parse_size
from ..adapters.replay import ClickAt, Replay


class TritonNetwork(Network):
    """A network that another model of the same Triton runs.

    Args:
        model: name of the other model.
        info: network information from the model's file.
    """

    runtime, device = "triton", "cpu"

    def __init__(self, model: str, info: NetworkInfo) -> None:
        self.model, self.info = model, info

    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        import triton_python_backend_utils as triton  # type: ignore[import-not-found]

        arrays = zip(INPUT_CHANNELS, (image, prev_mask, modulated_mask, clicks), strict=True)
        request = triton.InferenceRequest(
            model_name=self.model,
            requested_output_names=[OUTPUT],
            inputs=[triton.Tensor(name, np.ascontiguousarray(array, np.float32)) for name, array in arrays],
            # otherwise the results may be in the GPU's memory, which as_numpy() cannot read
            preferred_memory=triton.PreferredMemory(triton.TRITONSERVER_MEMORY_CPU),
        )
        response = request.exec()
        if response.has_error():
            raise NetworkError(f"Triton's model {self.model}: {response.error().message()}")
        logits: F32 = triton.get_output_tensor_by_name(response, OUTPUT).as_numpy()
        return self._checked(logits, image)


class TritonPythonModel:
    """Entry point that the Python backend calls; one in each instance's process, in one thread."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the model's configuration.

        Args:
            args: mapping with ``model_config``, the ``config.pbtxt`` as JSON.
        """
        parameters = {
            key: value["string_value"] for key, value in json.loads(args["model_config"])["parameters"].items()
        }
        size = parameters["mfp.size"]
        info = NetworkInfo.from_properties(parameters, None if size == "dynamic" else _sides(size))
        asked = parameters["session.size"]
        self._replay = Replay(
            TritonNetwork(parameters["network"], info),
            size=None if asked == "dynamic" else parse_size(asked),
            flip=parameters["session.flip"] == "true",
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests. An error in one request becomes the reply to that request."""
        import triton_python_backend_utils as triton

        responses = []
        for request in requests:
            try:
                image = triton.get_input_tensor_by_name(request, "image").as_numpy()
                clicks = triton.get_input_tensor_by_name(request, "clicks").as_numpy()
                mask, score = self._answer(image, clicks)
                outputs = [triton.Tensor("mask", mask), triton.Tensor("score", score)]
                responses.append(triton.InferenceResponse(output_tensors=outputs))
            except NetworkError as error:
                responses.append(triton.InferenceResponse([], triton.TritonError(str(error))))
            except MfpError as error:
                wrong = triton.TritonError(str(error), triton.TritonError.INVALID_ARG)
                responses.append(triton.InferenceResponse([], wrong))
        return responses

    def _answer(self, image: Any, clicks: Any) -> tuple[Any, Any]:
        with self._replay.image(image.tobytes()) as held:
            answer = held.predict(_clicks(clicks))
        return answer.mask.array, np.array([answer.score], np.float32)


def _clicks(array: Any) -> list[ClickAt]:
    if array.ndim != 2 or array.shape[1] != 3 or not np.isin(array[:, 2], (0, 1)).all():
        raise OptionError(f"expected clicks as n×3 of x, y, and 1 (adds) or 0 (removes), got {array.shape}")
    return [(x, y, sign == 1) for x, y, sign in array.tolist()]


def _sides(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)

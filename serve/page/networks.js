// The list of networks.

import { $, make } from "./dom.js";
import { failure } from "./notices.js";
import { presentOf } from "./state.js";

const RUNTIMES = {
  onnxruntime: "ONNX Runtime",
  openvino: "OpenVINO",
  tensorrt: "TensorRT",
  "tensorrt-rtx": "TensorRT for RTX",
  torch: "PyTorch",
};

let known = [];

/** Ask the server. @param then what is done once the list is there; again: where it is not */
export async function listNetworks(api, then, again) {
  try {
    known = await api.networks();
  } catch (error) {
    failure("networks", error, again);
    return;
  }
  $("network").replaceChildren(
    ...known.map((network) => {
      const text = `${network.name} · ${RUNTIMES[network.runtime] ?? network.runtime} · ${network.device.toUpperCase()} · ${network.precision}`;
      return make("option", { value: network.name, selected: network.default }, text);
    }),
  );
  $("network").parentElement.hidden = false;
  then();
}

export const networksKnown = () => known.length > 0;
/** Its name, where the list is there. */
export const defaultNetwork = () => known.find((network) => network.default)?.name;

/** Show which one the present object's clicks go to, or will, once what waits is done. */
export function showNetwork({ state, waiting }) {
  const wanted = waiting.findLast((action) => action.type === "network");
  if (state && known.length) $("network").value = wanted?.network ?? presentOf(state).network;
  $("network").disabled = known.length < 2 && $("network").value !== ""; // empty: the session's is not on this server
}

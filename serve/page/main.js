// The page: its parts, put together. The photograph's session is in session.js, its drawing in stage.js.

import { Api } from "./api.js";
import { $, make } from "./dom.js";
import { acceptFiles } from "./files.js";
import { bindKeys } from "./keys.js";
import { Latency } from "./latency.js";
import { announce, askToken, notice } from "./notices.js";
import { listObjects, share } from "./objects.js";
import { Overlay } from "./overlay.js";
import { bindPointer } from "./pointer.js";
import { save, stem } from "./save.js";
import { Session } from "./session.js";
import { Stage } from "./stage.js";

const CONNECTION = {
  empty: ["idle", "No photograph"],
  decoding: ["busy", "Decoding"],
  opening: ["busy", "Uploading"],
  failed: ["lost", "Not opened"],
  connecting: ["busy", "Connecting"],
  open: ["ready", "Connected"],
  lost: ["lost", "Connection lost"],
};

const PATIENCE = 600; // milliseconds without a mask after which the page says that it waits

let opening = false;
let patience = 0;
const api = new Api(askToken);
const stage = new Stage($("stage"));
const latency = new Latency($("latency"));
const session = new Session(api, { show, orient, phase, connection, changed, replied });
const overlay = new Overlay(stage, session);

function show(photograph) {
  stage.show(photograph);
  overlay.clear();
  latency.clear();
  document.body.classList.toggle("empty", !photograph);
  if (photograph) stage.element.focus({ preventScroll: true });
}

/** The server turned the photograph otherwise than the browser did: show it as the server has it. */
async function orient(size) {
  if (stage.photograph.width === size.width && stage.photograph.height === size.height) return;
  stage.show(await stage.photograph.constructor.decode(session.file, size));
  changed();
}

function phase(name) {
  opening = ["decoding", "opening"].includes(name);
  document.body.classList.toggle("opening", opening);
  showBusy();
  if (name !== "open") connection(name);
}

/** A bar while the photograph is on its way, and while a mask takes its time. */
function showBusy() {
  clearTimeout(patience);
  const waiting = session.waitingClicks.length > 0;
  $("busy").hidden = !opening && !(waiting && !$("busy").hidden);
  if (waiting) patience = setTimeout(() => ($("busy").hidden = false), PATIENCE);
}

function connection(name) {
  const [state, text] = CONNECTION[name];
  $("connection").dataset.state = state;
  $("connection-text").textContent = text;
}

/** Bring everything up to date with the session. */
function changed() {
  const { state, waitingClicks } = session;
  overlay.update();
  showBusy();
  $("photo-name").hidden = !session.file;
  document.title = session.name ? `${session.name} · mfp` : "mfp";
  if (state) {
    $("photo-name").textContent = `${session.name}, ${state.width} × ${state.height}`;
    listObjects($("objects"), state, downloadMask);
    if (networks.length) $("network").value = state.network;
  }
  const clicked = !!state?.objects.at(-1).clicks.length || waitingClicks.length > 0;
  const any = !!state?.objects.some((object) => object.area);
  $("undo").disabled = !(state?.can_undo || waitingClicks.length);
  $("redo").disabled = !state?.can_redo;
  $("reset").disabled = $("finish").disabled = !clicked;
  $("download-masks").disabled = $("download-coco").disabled = !any;
  $("delete").disabled = !state;
}

function replied(action, reply) {
  if (action.type === "click" && action.startedAt && !document.hidden) {
    stage.whenPainted((paintedAt) => latency.add(action, paintedAt, reply.timing));
  }
  const part = share(reply.area / (session.state.width * session.state.height));
  const done = {
    click: action.positive ? "Added" : "Removed",
    undo: "Undone",
    redo: "Redone",
    reset: "Clicks dropped",
  }[action.type];
  announce(done ? `${done}: the mask covers ${part}.` : `Object ${reply.object} finished. Click on the next one.`);
}

// What a person can do ------------------------------------------------------------------------------------------------

const removing = () => document.querySelector("input[name=mode]:checked").value === "remove";

function click(place, remove, startedAt) {
  session.act({ type: "click", ...place, positive: !remove, startedAt });
}

const act = (type) => () => {
  const enabled = !$(type).disabled;
  if (enabled) session.act({ type });
};

const hands = {
  undo: act("undo"),
  redo: act("redo"),
  reset: act("reset"),
  finish: act("finish"),
  toggleView: () => setView(overlay.heatWanted ? "mask" : "heat"),
  help: () => $("help-dialog").showModal(),
  fit: () => {
    stage.view.fit();
    stage.moved();
  },
  zoom: (factor) => {
    stage.view.zoom(factor);
    stage.moved();
  },
  click: (x, y, remove, time) => click({ x, y }, remove, time),
  cursorMoved: ({ x, y }) => announce(`Column ${Math.round(x)}, row ${Math.round(y)}`),
};

const keys = bindKeys(stage, hands);
bindPointer(stage, {
  isPanning: keys.isPanning,
  click(x, y, remove, time) {
    const place = stage.view.toClick(x, y);
    if (!place || !session.channel) return;
    stage.setCursor(null);
    click(place, remove || removing(), time);
  },
});

// A mouse that pressed a button leaves the keys to the photograph: the space bar shall move it, not press again.
for (const tools of document.querySelectorAll(".tools, .zoom")) {
  tools.addEventListener("click", (event) => {
    if (event.detail) stage.element.focus({ preventScroll: true });
  });
}
for (const id of ["undo", "redo", "reset", "finish", "help"]) $(id).onclick = hands[id];
$("zoom-in").onclick = () => hands.zoom(1.25);
$("zoom-out").onclick = () => hands.zoom(0.8);
$("zoom-fit").onclick = hands.fit;
stage.onView = (view) => {
  $("zoom-level").value = `${Math.round(100 * view.scale)} %`;
};

for (const input of document.querySelectorAll("input[name=mode]")) {
  input.onchange = () => stage.element.classList.toggle("removing", removing());
}
for (const input of document.querySelectorAll("input[name=view]")) input.onchange = () => setView(input.value);

function setView(name) {
  document.querySelector(`input[name=view][value=${name}]`).checked = true;
  overlay.wantHeat(name === "heat");
  showOpacity();
}

$("opacity").oninput = () => {
  overlay.setOpacity($("opacity").value / 100);
  showOpacity();
};

function showOpacity() {
  const percent = Math.round(100 * overlay.opacity);
  $("opacity").value = percent;
  $("opacity-value").value = `${percent} %`;
}

// Files, in and out ---------------------------------------------------------------------------------------------------

const chosenNetwork = () => $("network").value || undefined;
const open = (file, name) => session.openFile(file, name, { network: chosenNetwork() });
acceptFiles(open);
$("sample").onclick = async () => {
  try {
    await open(await api.sample(), "sample.jpg");
  } catch (error) {
    notice("open", "error", error.message);
  }
};

const downloading = (work) => async () => {
  try {
    await work();
  } catch (error) {
    notice("refused", "error", error.message);
  }
};

function downloadMask(number) {
  return downloading(async () =>
    save(await api.mask(session.id, number), `${stem(session.name)}_object${number + 1}.png`),
  )();
}

$("download-masks").onclick = downloading(async () => {
  for (const { object, area } of session.state.objects) if (area) await downloadMask(object);
});
$("download-coco").onclick = downloading(async () => {
  const coco = await api.coco(session.id);
  coco.images[0].file_name = session.name; // which the server is not told
  save(new Blob([JSON.stringify(coco)], { type: "application/json" }), `${stem(session.name)}_coco.json`);
});
$("delete").onclick = () => session.remove();

// Networks ------------------------------------------------------------------------------------------------------------

const RUNTIMES = {
  onnxruntime: "ONNX Runtime",
  openvino: "OpenVINO",
  tensorrt: "TensorRT",
  "tensorrt-rtx": "TensorRT for RTX",
  torch: "PyTorch",
};
let networks = [];

async function listNetworks() {
  try {
    networks = await api.networks();
  } catch (error) {
    notice("networks", "error", error.message, { label: "Try again", run: listNetworks });
    return;
  }
  $("network").replaceChildren(
    ...networks.map((network) => {
      const text = `${network.name} · ${RUNTIMES[network.runtime] ?? network.runtime} · ${network.device.toUpperCase()} · ${network.precision}`;
      return make("option", { value: network.name, selected: network.default }, text);
    }),
  );
  $("network").disabled = networks.length < 2;
  $("network").parentElement.hidden = false;
  changed();
}

$("network").onchange = () => {
  if (session.state) session.reopen($("network").value);
};

addEventListener("popstate", () => session.openAddress());
phase("empty");
listNetworks();
session.openAddress();

export { session, stage }; // for tests, bench/page_latency.py and the browser's console

// The page: its parts, put together. The photograph's session is in session.js, its drawing in stage.js.

import { Api } from "./api.js";
import { keysToStage, removing, setMode } from "./controls.js";
import { askDelete, askToken } from "./dialogs.js";
import { $ } from "./dom.js";
import { acceptFiles } from "./files.js";
import { bindKeys } from "./keys.js";
import { Latency } from "./latency.js";
import { listNetworks, networksKnown, showNetwork } from "./networks.js";
import { announce, failure, hideNotice, notice } from "./notices.js";
import { listObjects, share } from "./objects.js";
import { Overlay } from "./overlay.js";
import { bindPointer } from "./pointer.js";
import { listRecent } from "./recent.js";
import { save, stem } from "./save.js";
import { Session } from "./session.js";
import { Stage } from "./stage.js";
import { presentOf } from "./state.js";

const CONNECTION = {
  empty: ["idle", "No photograph"],
  decoding: ["busy", "Decoding"],
  opening: ["busy", "Uploading"],
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
const session = new Session(api, { show, phase, connection, changed, replied, again: start });
const overlay = new Overlay(stage, session);

function show(photograph) {
  stage.show(photograph);
  overlay.clear();
  latency.clear();
  setMode("add");
  hideNotice("drag");
  document.body.classList.toggle("empty", !photograph);
  if (photograph) stage.element.focus({ preventScroll: true });
}

function phase(name) {
  opening = ["decoding", "opening"].includes(name);
  document.body.classList.toggle("opening", opening);
  showBusy();
  if (name !== "open") connection(name);
  listRecent(api, name === "empty");
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
  const { state, waiting, name } = session;
  overlay.update();
  showBusy();
  $("photo-name").hidden = !session.file;
  document.title = name ? `${name} · mfp` : "mfp";
  $("photo-name").textContent = state ? `${name}, ${state.width} × ${state.height}` : name;
  listObjects($("objects"), state, { act, download: (number) => downloadMask(number) });
  showNetwork(session);
  const begun = waiting.findLastIndex((action) => ["finish", "select", "reset"].includes(action.type));
  const clicked =
    waiting.slice(begun + 1).some((action) => action.type === "click") ||
    (begun < 0 && !!state && presentOf(state).clicks.length > 0);
  const any = !!state?.objects.some((object) => object.area);
  $("objects-hint").hidden = !(state?.objects.length > 1);
  $("undo").disabled = !(state?.can_undo || waiting.length);
  $("redo").disabled = !(state?.can_redo || waiting.some((action) => action.type === "undo"));
  $("reset").disabled = $("finish").disabled = !clicked;
  $("download-masks").disabled = $("download-coco").disabled = !any;
  $("delete").disabled = !state;
}

/** @param before number of the object that was the present one */
function replied(action, reply, before) {
  if (action.type === "click" && action.startedAt && !document.hidden) {
    stage.whenPainted((paintedAt) => latency.add(action, paintedAt, reply.timing));
  }
  const begun = !reply.clicks.length && ["undo", "redo", "reset", "delete"].includes(action.type);
  if (begun) setMode("add"); // the first click of an object
  const part = share(reply.area / (session.state.width * session.state.height));
  const name = `Object ${(action.object ?? before) + 1}`;
  const covers = `the mask covers ${part}.`;
  announce(
    {
      click: `${action.positive ? "Added" : "Removed"}: ${covers}`,
      undo: `Undone: ${covers}`,
      redo: `Redone: ${covers}`,
      reset: `Clicks dropped: ${covers}`,
      finish: `${name} finished. Click on the next one.`,
      select: `Going on with ${name}: ${covers}`,
      delete: `${name} deleted. Undo brings it back.`,
      hide: `${name} hidden.`,
      show: `${name} shown.`,
      network: `Network ${action.network}: ${covers}`,
    }[action.type],
  );
}

// What a person can do ------------------------------------------------------------------------------------------------

function act(action) {
  if (["finish", "select"].includes(action.type)) setMode("add"); // the first click of an object that is begun
  session.act(action);
}

const click = (place, remove, startedAt) => act({ type: "click", ...place, positive: !remove, startedAt });

/** A key that is held waits for its answers: what is queued could not be stopped by letting it go. */
const press = (type) => (held) => {
  const enabled = !$(type).disabled && !(held === true && session.waiting.length);
  if (enabled) act({ type });
};

const hands = {
  undo: press("undo"),
  redo: press("redo"),
  reset: press("reset"),
  finish: press("finish"),
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
    hideNotice("drag");
    click(place, remove || removing(), time);
  },
  dragged: () =>
    notice("drag", "info", "A drag is no click. Hold Space, or use the middle button, to move the photograph."),
});

keysToStage(stage);
for (const id of ["undo", "redo", "reset", "finish", "help"]) $(id).onclick = hands[id];
$("zoom-in").onclick = () => hands.zoom(1.25);
$("zoom-out").onclick = () => hands.zoom(0.8);
$("zoom-fit").onclick = hands.fit;
stage.onView = (view) => {
  $("zoom-level").value = `${Math.round(100 * view.scale)} %`;
};

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
    failure("open", error);
  }
};

const downloading = (work) => async () => {
  try {
    await work();
  } catch (error) {
    failure("refused", error);
  }
};

function downloadMask(number, { id, name } = session) {
  return downloading(async () => save(await api.mask(id, number), `${stem(name)}_object${number + 1}.png`))();
}

$("download-masks").onclick = downloading(async () => {
  const { id, name, state } = session; // which another one may be shown instead of meanwhile
  for (const { object, area } of state.objects) if (area) await downloadMask(object, { id, name });
});
$("download-coco").onclick = downloading(async () => {
  const { id, name } = session;
  const coco = await api.coco(id);
  save(new Blob([JSON.stringify(coco)], { type: "application/json" }), `${stem(name)}_coco.json`);
});
$("delete").onclick = async () => {
  const objects = session.state.objects.filter((object) => object.clicks.length).length;
  if (await askDelete(session.name, objects)) session.remove();
};

// The beginning, and the end ------------------------------------------------------------------------------------------

function start() {
  if (!networksKnown()) listNetworks(api, changed, start);
  if (!session.id) session.openAddress();
}

$("network").onchange = () => {
  if (session.channel) session.useNetwork($("network").value);
};
$("home").onclick = (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return; // in a tab or window of its own
  event.preventDefault();
  if (location.hash) history.pushState(null, "", location.pathname + location.search);
  session.openAddress();
};
addEventListener("popstate", () => session.openAddress());
addEventListener("beforeunload", (event) => {
  if (!session.unsent) return;
  event.preventDefault();
  event.returnValue = true; // what older browsers go by
});
phase("empty");
start();

export { session, stage }; // for tests, bench/serving/page.py and the browser's console

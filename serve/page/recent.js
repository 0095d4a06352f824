// The sessions that were opened in this browser, and their list on the start page. Their addresses are all that is needed
// to see them: they stay in this browser's storage.

import { $, icon, make } from "./dom.js";
import { keep, load } from "./store.js";

const KEY = "mfp-sessions";
const KEPT = 100;

/** [{id, name, opened: milliseconds since 1970}], the newest first. */
export function recent() {
  try {
    const list = JSON.parse(load(KEY) ?? "[]");
    return list.filter(({ id, name, opened }) => typeof id === "string" && typeof name === "string" && opened > 0);
  } catch {
    return [];
  }
}

export function remember(id, name) {
  const others = recent().filter((entry) => entry.id !== id);
  keep(KEY, JSON.stringify([{ id, name, opened: Date.now() }, ...others].slice(0, KEPT)));
}

export function forget(id) {
  keep(KEY, JSON.stringify(recent().filter((entry) => entry.id !== id)));
}

let looking = null; // AbortController of the list's questions to the server

/** Show the list, or hide it. What the server does not have is marked, not dropped: it may be another server's. */
export function listRecent(api, shown) {
  looking?.abort();
  looking = new AbortController();
  const entries = shown ? recent() : [];
  $("recent").hidden = !entries.length;
  const rows = entries.map((entry) => row(entry, api));
  $("recent-list").replaceChildren(...rows);
  check(api, entries, rows, looking.signal);
}

function row({ id, name, opened }, api) {
  const when = new Date(opened).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const link = make("a.recent-link", { href: `#session=${id}` }, make("b", {}, name), make("small", {}, when));
  const remove = () => {
    const next = item.nextElementSibling ?? item.previousElementSibling;
    forget(id);
    item.remove();
    if (next) next.querySelector("button").focus();
    else listRecent(api, true);
  };
  const label = { "aria-label": `Take ${name} off this list`, title: "Take off this list; the server keeps it" };
  const item = make(
    "li.recent-entry",
    {},
    link,
    make("button.button.icon", { type: "button", onclick: remove, ...label }, icon("close")),
  );
  return item;
}

/** One after the other: a list is not worth a crowd of requests. */
async function check(api, entries, rows, signal) {
  for (const [i, { id }] of entries.entries()) {
    if (signal.aborted) return;
    try {
      if (await api.exists(id, signal)) continue;
    } catch {
      return; // no answer: what is listed stays as it is
    }
    const link = rows[i].querySelector("a");
    link.removeAttribute("href");
    link.querySelector("small").textContent = "no longer on this server";
    rows[i].classList.add("gone");
  }
}

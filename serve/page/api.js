// The server's HTTP interface (/openapi.json describes it) as functions that return plain data or throw one of two errors.

import { keep, load } from "./store.js";

const TOKEN = "mfp-token"; // in this browser's storage

/** The server answered, with an error. `kind` is its name there ("ClickError"), the message is for people. */
export class ServerError extends Error {
  constructor(status, kind, message, retryAfter = 1) {
    super(message);
    this.status = status;
    this.kind = kind;
    this.retryAfter = retryAfter; // seconds, of 429 and 503
  }
}

/** No answer came: no network, or no server. */
export class Unreachable extends Error {}

export class Api {
  /** @param askToken async (wrong) => token, or null where the person has none; called after a 401 */
  constructor(askToken) {
    this.askToken = askToken;
    this.base = new URL("api/v1/", document.baseURI);
    this.token = load(TOKEN);
    this.asking = null;
  }

  networks() {
    return this.json("GET", "networks");
  }
  /** @param options name, network, size, flip …: all that POST /sessions takes; what is undefined or null is left out */
  create(photograph, options, signal) {
    const given = Object.entries(options).filter(([, value]) => value !== undefined && value !== null);
    const query = new URLSearchParams(
      given.map(([key, value]) => [key, Array.isArray(value) ? value.join("x") : value]),
    );
    return this.json("POST", `sessions?${query}`, { body: photograph, signal });
  }
  /** Whether the server has the session: the answer's head says so, its body is not read. */
  async exists(id, signal) {
    const reading = new AbortController();
    signal?.addEventListener("abort", () => reading.abort());
    try {
      await this.answer("GET", this.path(id, "image"), { signal: reading.signal });
      return true;
    } catch (error) {
      if (error.status === 404 || error.status === 410) return false;
      throw error;
    } finally {
      reading.abort();
    }
  }
  state(id) {
    return this.json("GET", this.path(id));
  }
  useNetwork(id, network) {
    const body = new Blob([JSON.stringify({ network })], { type: "application/json" });
    return this.json("POST", this.path(id, "network"), { body });
  }
  remove(id) {
    return this.answer("DELETE", this.path(id));
  }
  image(id) {
    return this.blob(this.path(id, "image"));
  }
  mask(id, object) {
    return this.blob(this.path(id, `mask?object=${object}&format=png`));
  }
  coco(id) {
    return this.json("GET", this.path(id, "coco"));
  }
  probability(id, signal) {
    return this.blob(this.path(id, "probability?format=png"), signal);
  }
  sample() {
    return this.blob(new URL("static/sample.jpg", document.baseURI));
  }

  /** A WebSocket of the session; the token goes as a subprotocol, as browsers send no headers of ours with one. */
  socket(id) {
    const url = new URL(this.path(id, "ws"), this.base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return new WebSocket(url, this.token ? ["mfp", `bearer.${this.token}`] : []);
  }

  path(id, rest = "") {
    return `sessions/${encodeURIComponent(id)}${rest && `/${rest}`}`;
  }

  async json(method, path, options) {
    return (await this.answer(method, path, options)).json();
  }

  async blob(path, signal) {
    return (await this.answer("GET", path, { signal })).blob();
  }

  async answer(method, path, { body, signal } = {}) {
    for (;;) {
      const used = this.token;
      const headers = used ? { Authorization: `Bearer ${used}` } : {};
      let response;
      try {
        response = await fetch(new URL(path, this.base), { method, body, headers, signal });
      } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new Unreachable("The server does not answer.");
      }
      if (response.ok) return response;
      const error = await refusal(response);
      if (response.status !== 401) throw error;
      if (!(await this.newToken(used))) throw new ServerError(401, error.kind, "This server asks for a token.");
    }
  }

  /** Ask for a token, once however many requests were refused. False where the person gave none. */
  async newToken(used) {
    const kept = load(TOKEN); // another tab may have been given one meanwhile
    if (this.token === used && kept && kept !== used) this.token = kept;
    if (this.token === used) {
      this.asking ??= this.askToken(!!used).finally(() => {
        this.asking = null;
      });
      const token = await this.asking;
      if (!token) return false;
      this.token = token;
      keep(TOKEN, token);
    }
    return true;
  }
}

async function refusal(response) {
  const told = await response.json().catch(() => ({}));
  const message = told.message ?? `The server answered ${response.status} ${response.statusText}.`;
  return new ServerError(
    response.status,
    told.error ?? "Error",
    message,
    Number(response.headers.get("Retry-After")) || 1,
  );
}

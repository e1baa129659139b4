// The board's HTTP API: asks, posts, listens. Every request ends: with an answer, or with a problem in words.

export class Api {
  /// `root`: the URL below which `ping` and `api/update/` lie.
  constructor(root) {
    this.root = root;
  }
  get(path) {
    return ask(new URL(`api/update/${path}`, this.root), {}, 12e3);
  }
  post(path, body) {
    const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) };
    return ask(new URL(`api/update/${path}`, this.root), init, path === "check" ? 120e3 : 20e3);
  }
  ping() {
    return ask(new URL("ping", this.root), {}, 2800);
  }
  /// The stream of events. When it breaks, `ended` is told once, and the caller decides when to try again.
  listen(told, ended) {
    const stream = new EventSource(new URL("api/update/events", this.root));
    for (const name of ["state", "begun", "phase", "progress", "result"])
      stream.addEventListener(name, (e) => {
        try {
          told(name, JSON.parse(e.data));
        } catch {
          // half an event is none: the state comes whole with the next one
        }
      });
    stream.onerror = () => {
      stream.close();
      ended();
    };
    return stream;
  }
}

async function ask(url, init, limit) {
  let answer, body;
  try {
    answer = await fetch(url, { ...init, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(limit) });
    if (answer.status === 204) return null;
    body = await answer.text();
  } catch (e) {
    throw e.name === "TimeoutError"
      ? { status: 0, detail: `the board took longer than ${limit < 1e4 ? 3 : limit / 1000} s to answer`, hint: "what was asked may still happen: this page shows it when it does" }
      : { status: 0, detail: "the board cannot be reached" };
  }
  let data = null;
  try {
    data = JSON.parse(body);
  } catch {
    // not ours: told below
  }
  const retry = Number(answer.headers.get("Retry-After")) || 0;
  if (answer.ok && data) return data;
  if (data?.detail || data?.title) throw { retry, ...data, status: answer.status, detail: data.detail ?? data.title };
  // a web server in front, or a router's login page, spoke instead of the board
  throw { status: answer.ok ? 0 : answer.status, retry, detail: `something else answered instead of the updater (HTTP ${answer.status})`, hint: "the web server in front of it may not find it: `systemctl status pikit-update-api` on the board" };
}

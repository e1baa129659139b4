// The board's HTTP API. Every request ends: with an answer, or with a problem in words.

export class Api {
  /// `root`: the URL below which `api/update/` lies.
  constructor(root) {
    this.root = root;
  }
  get(path) {
    return ask(this.at(path), {}, path === "verify" ? 60 : 12);
  }
  post(path, body = {}) {
    return ask(this.at(path), { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }, path === "check" ? 120 : 20);
  }
  ping() {
    return ask(new URL("api/update/ping", this.root), {}, 2.5);
  }
  at(path) {
    return new URL(`api/update/${path}`, this.root);
  }
  /// Sends a file; `told` hears how much has gone.
  send(file, told) {
    const x = new XMLHttpRequest();
    let heard = Date.now();
    const slow = setInterval(() => Date.now() - heard > 150e3 && x.abort(), 5e3);
    const done = new Promise((ok, no) => {
      const broke = () => no({ status: 0, detail: x.stopped ? "" : "the file did not arrive: the connection broke off", hint: "Choose it again." });
      x.open("POST", this.at("upload"));
      x.setRequestHeader("Content-Type", "application/octet-stream");
      x.upload.onprogress = (e) => told(e.loaded, (heard = Date.now()));
      x.onload = () => {
        try {
          ok(read(x.status, x.responseText));
        } catch (problem) {
          no(problem);
        }
      };
      x.onerror = x.onabort = broke;
      x.send(file);
    }).finally(() => clearInterval(slow));
    return { done, stop: () => ((x.stopped = true), x.abort()) };
  }
  /// The stream of events; the caller decides when to try again.
  listen(told, ended) {
    const stream = new EventSource(this.at("events"));
    for (const name of ["state", "begun", "phase", "progress", "result"]) stream.addEventListener(name, (e) => told(name, JSON.parse(e.data)));
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
    answer = await fetch(url, { ...init, cache: "no-store", signal: AbortSignal.timeout(limit * 1000) });
    body = await answer.text();
  } catch (e) {
    const late = e.name === "TimeoutError";
    throw { status: 0, detail: late ? `the board took longer than ${limit} s to answer` : "the board cannot be reached" };
  }
  return read(answer.status, body);
}

function read(status, body) {
  const fine = status >= 200 && status < 300;
  let data;
  try {
    data = body ? JSON.parse(body) : {};
    if (fine) return data;
  } catch {
    data = {};
  }
  // a web server in front of the board, or a router's login page
  throw { detail: data.title ?? `something else than the updater answered (HTTP ${status})`, ...data, status: fine ? 0 : status };
}

// A board that only pretends: the UI's files and the HTTP API around it, every answer and every event in the hands of a test.
// By itself: node mock-server.mjs [PORT [STATE]]   then http://127.0.0.1:PORT/?state=downloading shows mock/status-downloading.json.

import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = (path) => fileURLToPath(new URL(path, import.meta.url));
export const WEB = HERE("../../web/");
export const MOCK = HERE("../../mock/");
export const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'; require-trusted-types-for 'script'";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".json": "application/json" };
export const names = readdirSync(MOCK).filter((f) => /^status-.*\.json$/.test(f)).map((f) => f.slice(7, -5)).sort();
export const upload = () => JSON.parse(readFileSync(`${MOCK}upload.json`, "utf8"));
export const state = (name) => JSON.parse(readFileSync(`${MOCK}status-${name}.json`, "utf8"));

const LOG = [
  "2026-11-21T09:56:24Z transaction b3k9xq7vtf7rfbmiv64kg0pqz6", "2026-11-21T09:56:24Z planning: looking at what is installed",
  "2026-11-21T09:56:25Z downloading: fetching 3.2 MB of https://git.example.org/pikit/pi-kit", "2026-11-21T09:56:38Z verifying: everything that was fetched has the right digest",
  "2026-11-21T09:56:38Z staging: building the new tree and the backup", "2026-11-21T09:56:41Z switching: switching to the new tree", "2026-11-21T09:56:41Z restarting: restarting 1 service",
  "2026-11-21T09:56:42Z trial: waiting for 2 health checks to pass and stay so for 10.0 s", "2026-11-21T09:56:42Z not healthy yet: http://127.0.0.1:8080/ping: HTTP 503",
  "2026-11-21T09:57:10Z rolling-back: returning to 1.1.0: 1.2.0 failed its health check: http://127.0.0.1:8080/ping: HTTP 503", "2026-11-21T09:57:12Z rolled-back: 1.2.0 failed its health check: http://127.0.0.1:8080/ping: HTTP 503",
];
const row = (transaction, action, outcome, from, to, at, more) => ({ transaction, action, outcome, from, to, at, seconds: 31.4, offline_seconds: 2.8, code: 0, reason: null, bytes_fetched: 3240112, bytes_written: 5112840, ...more });
const HISTORY = [
  row("d1", "apply", "rolled-back", "1.1.0", "1.2.0", "2026-11-12T04:25:12Z", { code: 6, seconds: 48.5, offline_seconds: 14.2, reason: "1.2.0 failed its health check: http://127.0.0.1:8080/ping: HTTP 503" }),
  row("d2", "repair", "confirmed", "1.1.0", "1.1.0", "2026-11-07T18:02:00Z", { seconds: 3.2, offline_seconds: 0 }),
  row("d3", "apply", "refused", "1.1.0", "1.2.0", "2026-11-06T04:20:30Z", { code: 5, seconds: 0, offline_seconds: 0, reason: "not enough space on /var/www: needed 48.2 MB, free 12.0 MB" }),
  row("d4", "apply", "confirmed", "1.0.0", "1.1.0", "2026-11-03T04:24:41Z"),
];
const PLAN = {
  action: "apply", from: "1.1.0", to: "1.2.0", counts: { added: 1, changed: 4, removed: 0, kept: 438, drifted: 0, config_kept: 0, bytes_written: 5112840 }, download_bytes: 3240112, write_bytes: 5112840,
  files: [["pikit-api.json", "replace"], ["pikit-web/config.json", "keep-edited"], ["pikit-web/index.html", "replace"], ["pikit-web/tiles.js", "replace"], ["pikit-web/trend.js", "add"], ["pikit-web/style.css", "keep"]].map(([path, change]) => ({ path, change, drifted: false, size: 1234 })),
  restart: ["pikit-api.service"], reload: ["nginx.service"], expected_offline_seconds: 2.8,
};
const VERIFY = { version: "1.1.0", listed: 442, edited: ["pikit-web/index.html", "pikit-web/tiles.js", "pikit-web/style.css"], missing: ["pikit-web/icon.svg"], config_edited: ["pikit-web/config.json"], drift: 4 };

export class Board {
  /// `token`: what a browser must log in with; none: everybody is in.
  constructor({ token = null, status = "available", pages = {} } = {}) {
    Object.assign(this, { token, pages, session: "s1", streams: new Set(), posts: [], wrong: 0, id: 0, answers: {}, gone: false });
    this.status = typeof status === "string" ? state(status) : status;
    this.ping = { status: "ok", version: this.status.current, boot_id: "boot-1", started: "2026-11-21T09:58:02Z" };
    this.data = { plan: PLAN, history: { history: HISTORY }, log: { transaction: "x", lines: LOG }, verify: VERIFY };
    this.server = createServer((req, res) => this.handle(req, res).catch((e) => res.destroy(e)));
  }
  async start(port = 0) {
    await new Promise((done) => this.server.listen(port, "127.0.0.1", done));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/`;
    return this;
  }
  async stop() {
    this.hangUp();
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }
  /// Another state, told to everybody who listens.
  set(status) {
    this.status = typeof status === "string" ? state(status) : status;
    this.ping.version = this.status.current;
    this.tell("state", this.status);
  }
  tell(event, data) {
    this.id += 1;
    for (const res of this.streams) res.write(`id: ${this.id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }
  /// Like a process that died: open streams break, requests are not answered, until `back()`.
  away() {
    this.gone = true;
    this.hangUp();
  }
  back(ping) {
    this.gone = false;
    Object.assign(this.ping, ping);
  }
  hangUp() {
    for (const res of this.streams) res.destroy();
    this.streams.clear();
  }
  /// The next answer to this method and path is `[status, body, headers]`, or never comes (`null`).
  answer(what, answer) {
    this.answers[what] = answer;
  }
  async handle(req, res) {
    const url = new URL(req.url, this.url);
    const path = url.pathname;
    if (this.gone && (path === "/ping" || path.startsWith("/api/"))) return res.destroy();
    res.setHeader("Content-Security-Policy", CSP);
    res.setHeader("X-Content-Type-Options", "nosniff");
    res.setHeader("Cache-Control", "no-store");
    const send = (status, body, headers = {}) => {
      res.writeHead(status, { "Content-Type": status < 400 ? "application/json" : "application/problem+json", ...headers });
      res.end(body == null ? undefined : typeof body === "string" ? body : JSON.stringify(body));
    };
    const problem = (status, code, detail, hint, headers) => send(status, { type: "about:blank", title: "No", status, code, detail, ...(hint && { hint }) }, headers);
    const planned = this.answers[`${req.method} ${path}`];
    if (planned !== undefined) {
      delete this.answers[`${req.method} ${path}`];
      if (planned) send(...planned);
      return;
    }
    if (["/ping", "/api/update/ping"].includes(path)) return send(200, this.ping);
    if (path.startsWith("/api/update/")) return this.api(req, res, url, path.slice(12), send, problem);
    if (this.pages[path]) {
      res.removeHeader("Content-Security-Policy");
      return send(200, this.pages[path], { "Content-Type": TYPES[extname(path)] ?? TYPES[".html"] });
    }
    if (path === "/") {
      if (url.searchParams.has("state")) this.set(url.searchParams.get("state"));
      return send(200, readFileSync(`${WEB}index.html`, "utf8"), { "Content-Type": TYPES[".html"] });
    }
    const file = /^\/pikit-update\/([a-z.-]+\.(?:js|css))$/.exec(path)?.[1];
    if (file) return send(200, readFileSync(WEB + file, "utf8"), { "Content-Type": TYPES[extname(file)] });
    return problem(404, 2, `there is nothing at ${path}`);
  }
  async api(req, res, url, what, send, problem) {
    if (what === "upload" && req.method === "POST") {
      if (req.headers["content-type"] !== "application/octet-stream") return problem(415, 2, "send application/octet-stream");
      let bytes = 0;
      for await (const chunk of req) bytes += chunk.length;
      this.posts.push([what, bytes]);
      await this.holding;
      return this.uploaded ? send(...this.uploaded) : send(200, upload());
    }
    let body = "";
    for await (const chunk of req) body += chunk;
    if (req.method === "POST" && req.headers["content-type"] !== "application/json") return problem(415, 2, "send application/json");
    body = body && JSON.parse(body);
    if (req.method === "POST") this.posts.push([what, body]);
    if (what === "login") {
      if (this.wrong > 2) return problem(429, 9, "too many wrong tokens", "wait half a minute", { "Retry-After": "30" });
      if (body.token !== this.token) return (this.wrong += 1), problem(401, 9, "that is not the token of this board", "`sudo pikit-updater token` shows it");
      return send(204, null, { "Set-Cookie": `pikit_update_session=${this.session}; HttpOnly; SameSite=Strict; Path=/` });
    }
    if (this.token && req.headers.cookie !== `pikit_update_session=${this.session}`) return problem(401, 9, "log in first");
    if (req.method === "GET") {
      if (what === "status") return send(200, this.status);
      if (what === "events") return this.stream(res);
      return this.data[what] ? send(200, this.data[what]) : problem(404, 2, `there is no ${what}`);
    }
    const s = this.status;
    const put = (more) => (this.set({ ...s, ...more }), send(200, this.status));
    switch (what) {
      case "logout": return send(204, null, { "Set-Cookie": "pikit_update_session=; Max-Age=0; Path=/" });
      case "check": return put({ last_check: s.now });
      case "auto": return put({ auto: { ...s.auto, ...body } });
      case "skip": return put({ skipped: [...s.skipped, body.version] });
      case "unskip": return put({ skipped: s.skipped.filter((v) => v !== body.version) });
      case "apply": case "rollback": case "repair": {
        if (s.busy || s.progress) return problem(409, 8, "another run holds the lock", "`pikit-updater status` shows what it does");
        const transaction = "e3k9xq7vtf7rfbmiv64kg0pqz6";
        this.set({ ...s, pending: { transaction, action: body.force ? "apply-anyway" : what } });
        return send(202, { transaction });
      }
      default: return problem(404, 2, `there is no ${what}`);
    }
  }
  stream(res) {
    res.writeHead(200, { "Content-Type": "text/event-stream", "X-Accel-Buffering": "no" });
    res.write("retry: 3000\n\n");
    this.streams.add(res);
    res.on("close", () => this.streams.delete(res));
    res.write(`id: ${this.id}\nevent: state\ndata: ${JSON.stringify(this.status)}\n\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const board = await new Board({ status: process.argv[3] ?? "available" }).start(Number(process.argv[2] ?? 8687));
  console.log(`${board.url}?state=NAME with NAME one of: ${names.join(" ")}`);
}

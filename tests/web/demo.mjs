// The real thing for a browser to look at: `pikit-updater demo` in a folder of its own, with valves that hold an update where a test
// wants to look at it. Nothing of the updater is replaced: the download is a slow line, the restart a slow service, the trial a sick check.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { until } from "./browser.mjs";

export const PROGRAM = process.env.PIKIT_UPDATER ?? fileURLToPath(new URL("../../target/debug/pikit-updater", import.meta.url));

/// Ends a process that may have ended already.
function kill(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch (e) {
    if (e.code !== "ESRCH") throw e;
  }
}

/// The line to the release server. Held, a bundle drips; cut, nobody is there.
class Line {
  async open(to) {
    this.to = to;
    this.server = createServer((req, res) => this.pass(req, res));
    await this.plug(0);
    return this;
  }
  /// While it was cut, somebody else may have taken the port for a moment.
  plug(port = this.port) {
    return until(`the line listens on port ${port}`, async () => {
      this.server.listen(port, "127.0.0.1");
      await once(this.server, "listening");
      return (this.port = this.server.address().port);
    });
  }
  cut() {
    const closed = new Promise((done) => this.server.close(done));
    this.server.closeAllConnections();
    return closed;
  }
  pass(req, res) {
    const asked = request({ port: this.to, host: "127.0.0.1", method: req.method, path: req.url, headers: { ...req.headers, connection: "close" } }, async (answer) => {
      const parts = [];
      for await (const part of answer) parts.push(part);
      let body = Buffer.concat(parts);
      const { connection, ...headers } = answer.headers;
      if (req.url.startsWith("/api/")) {
        // the server writes its own address into its answers
        body = Buffer.from(body.toString().replaceAll(`127.0.0.1:${this.to}`, `127.0.0.1:${this.port}`));
        headers["content-length"] = body.length;
      }
      res.writeHead(answer.statusCode, headers);
      let sent = 0;
      while (req.url.endsWith(".tar.gz") && this.held && sent < body.length * 0.7 && !res.closed) {
        res.write(body.subarray(sent, (sent += 16)));
        await new Promise((more) => setTimeout(more, 50));
      }
      while (req.url.endsWith(".tar.gz") && this.held && !res.closed) await new Promise((more) => setTimeout(more, 20));
      res.end(body.subarray(sent));
    });
    asked.on("error", () => res.destroy());
    req.pipe(asked);
  }
}

export class Demo {
  /// Installs 1.0.0 and knows of 1.1.0. Goes with the test.
  static async start(t) {
    const demo = new Demo();
    await demo.begin();
    t.after(() => demo.end());
    return demo;
  }
  async begin() {
    this.dir = mkdtempSync(`${tmpdir()}/pikit-journey-`);
    this.board = `${this.dir}/board`;
    this.config = `${this.board}/etc/pikit/updater.toml`;
    this.child = spawn(PROGRAM, ["demo", "--stay", this.dir], { stdio: ["pipe", "pipe", "pipe"] });
    this.said = "";
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (text) => (this.said += text));
    this.ended = new Promise((done) => this.child.on("exit", done));
    const found = await until(`the demo plays; it says: ${this.said}`, () => /Updates chip: +(\S+)\s.*token.*: +(\S+)/.exec(this.said));
    [, this.url, this.token] = found;
    const config = readFileSync(this.config, "utf8");
    this.own = `http://${/listen = "(.+)"/.exec(config)[1]}/`;
    this.line = await new Line().open(Number(/gitea = "http:\/\/127.0.0.1:(\d+)"/.exec(config)[1]));
    // not longer than whoever asked for it lives: systemd would not either begin two restarts at once
    const slow = `{ while test -e ${this.dir}/slow; do sleep 0.05; kill -0 $PPID || exit 1; done; }`;
    // a trial lasts as long as a test looks at it
    this.edit([
      [/gitea = .*/, `gitea = "http://127.0.0.1:${this.line.port}"`],
      [/control = \[/, `control = ["/bin/sh", "-c", 'test "$6" != restart || ${slow}; exec "$@"', "control", `],
      [/\[trial\][^[]*/, `[[health]]\nrun = ["/bin/sh", "-c", "! test -e ${this.dir}/sick"]\n[trial]\ntimeout = "300s"\ninterval = "100ms"\nsettle = "300ms"\n[download]\nmin_speed = "0"\n`],
    ]);
    await this.run("check");
  }
  async end() {
    this.child.kill();
    await this.ended;
    await this.line.cut();
    // a run of its own may still write its last line, or wait for a server that is gone
    await until("nobody works on the board", () => !this.processes().length, 3000).catch(() => this.processes().forEach(kill));
    await until("nobody is left", () => !this.processes().length);
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }
  edit(changes) {
    let text = readFileSync(this.config, "utf8");
    for (const [from, to] of changes) {
      if (!text.match(from)) throw new Error(`${from} is not in ${text}`);
      text = text.replace(from, () => to);
    }
    writeFileSync(this.config, text);
  }
  /// Types a word into the demo.
  type(word) {
    this.child.stdin.write(`${word}\n`);
  }
  /// Holds an update in a phase, or lets it go on. A check that failed before the update condemns nothing: the trial is held once it restarts.
  hold(phase) {
    if (phase === "downloading") this.line.held = true;
    else writeFileSync(`${this.dir}/${phase === "trial" ? "sick" : "slow"}`, "");
  }
  go(phase) {
    if (phase === "downloading") this.line.held = false;
    else rmSync(`${this.dir}/${phase === "trial" ? "sick" : "slow"}`, { force: true });
  }
  /// Runs the updater beside the page, as over SSH; tells how it ended.
  run(...words) {
    return new Promise((done) => {
      const child = execFile(PROGRAM, ["--root", this.board, ...words], (error, out, err) => done({ code: error ? (error.code ?? 137) : 0, out, err }));
      this.last = child;
    });
  }
  async status() {
    return JSON.parse((await this.run("status", "--json")).out);
  }
  phase() {
    const path = `${this.board}/run/pikit-update/progress.json`;
    return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).phase : null;
  }
  reaches(phase) {
    return until(`the updater reaches ${phase}`, () => this.phase() === phase);
  }
  /// Processes of this board whose command line has these words.
  processes(...words) {
    const found = readdirSync("/proc").filter((name) => {
      try {
        const line = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
        return /^\d+$/.test(name) && readlinkSync(`/proc/${name}/exe`).startsWith(PROGRAM) && line.includes(this.board) && words.every((w) => line.includes(w));
      } catch {
        return false;
      }
    });
    return found.map(Number);
  }
  kill(...words) {
    const found = this.processes(...words);
    if (!found.length) throw new Error(`no process ${words.join(" ")}`);
    found.forEach(kill);
  }
  /// What a browser has that has logged in: options for its context.
  async session() {
    const body = JSON.stringify({ token: this.token });
    const answer = await fetch(`${this.own}api/update/login`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const [name, value] = answer.headers.get("set-cookie").split(";")[0].split("=");
    const cookie = { name, value, domain: "127.0.0.1", path: "/", expires: -1, httpOnly: true, secure: false, sameSite: "Strict" };
    return { storageState: { cookies: [cookie], origins: [] } };
  }
}

// <pikit-update-chip> and <pikit-update-dialog>. What lies on the board is the truth: closing or reloading the page changes nothing.

import { Api } from "./api.js";
import { fresh, reduce, remember, screen, wants } from "./state.js";
import { sheet } from "./style.js";
import { chip, dialog, draw } from "./view.js";

const stores = new Map();

/// What the elements of a page share.
class Store {
  constructor(root) {
    this.api = new Api(root);
    this.key = `pikit-update ${root}`;
    this.views = new Set();
    this.m = fresh();
    this.asked = this.pinged = this.opened = 0;
    this.pause = 1500;
    try {
      this.saved = JSON.parse(sessionStorage.getItem(this.key));
    } catch {
      // nothing remembered
    }
    this.on("start", { saved: this.saved });
    this.ping();
    this.refresh();
    setInterval(() => document.hidden || this.tick(), 1000);
    document.addEventListener("visibilitychange", () => (document.hidden ? this.hush() : this.refresh()));
  }
  on(type, more) {
    this.m = reduce(this.m, { type, at: Date.now(), ...more });
    if (type !== "start") this.keep();
    if (this.m.back && !this.leaving) {
      // to be read
      this.leaving = setTimeout(() => location.reload(), 1500);
      this.hush();
    }
    this.draw();
  }
  keep() {
    try {
      sessionStorage.setItem(this.key, JSON.stringify(remember(this.m)));
    } catch {
      // forbidden or full: only a memory is lost
    }
  }
  draw() {
    const s = screen(this.m, Date.now());
    for (const v of this.views) v.draw(s);
    if (!this.m.ui.open || this.m.link !== "up") return;
    if (s.plan && !s.own) this.load("plan", "plan");
    if (s.excerpt) this.load("excerpt", `log?transaction=${s.logOf}`);
    if (s.history) this.load("history", "history");
  }
  tick() {
    const now = Date.now();
    const { ping, refresh } = wants(this.m, now);
    if (ping && now - this.pinged >= ping) this.ping();
    if (refresh && now - Math.max(this.asked, this.m.link === "up" && this.m.heard) >= (this.stream ? refresh : Math.min(refresh, this.pause, 10e3))) this.refresh();
    this.draw();
  }
  async ping() {
    this.pinged = Date.now();
    try {
      this.on("ping", { ping: await this.api.ping() });
      if (this.m.link === "down") this.refresh();
    } catch {
      if (this.m.watch && this.m.link === "up") this.refresh();
    }
  }
  async refresh() {
    if (this.asking) return;
    this.asking = true;
    const at = (this.asked = Date.now());
    try {
      const status = await this.api.get("status");
      // what the stream told meanwhile is newer
      if (this.m.link !== "up" || this.m.heard <= at) this.on("status", { status });
      if (!this.stream && Date.now() - this.opened >= this.pause) this.listen();
    } catch (problem) {
      this.lost(problem);
    }
    this.asking = false;
  }
  lost(problem) {
    this.hush();
    this.on(problem.status === 401 ? "login" : "down", { problem });
  }
  listen() {
    if (document.hidden || this.m.back) return;
    this.opened = Date.now();
    this.stream = this.api.listen(
      (name, data) => {
        this.pause = 1500;
        if (/begun|result/.test(name)) this.refresh();
        else this.on("event", { name, data });
      },
      () => {
        this.stream = null;
        this.pause = Math.min(this.pause * 2, 60e3);
        this.refresh();
      },
    );
  }
  hush() {
    this.stream?.close();
    this.stream = null;
    this.opened = 0;
  }
  async load(name, path, again) {
    if (this.m.data[name] && !again) return;
    this.on("data", { name, value: { wait: true } });
    try {
      this.on("data", { name, value: { value: await this.api.get(path) } });
    } catch (problem) {
      this.on("data", { name, value: { problem } });
      if (problem.status === 401) this.lost(problem);
    }
  }
  async post(id, path, body) {
    this.on("ask", { id, body });
    try {
      this.on("answer", { id, data: await this.api.post(path, body) });
      this.refresh();
    } catch (problem) {
      this.on("problem", { problem });
      if (id !== "login") problem.status === 401 ? this.lost(problem) : this.refresh();
    }
  }
  /// Sends a bundle to the board, which says what it is.
  async send(file) {
    const { name, size } = file;
    this.on("file", { file: { name, size, sent: 0, found: null } });
    for (const v of this.views) v.top?.();
    try {
      const sending = (this.sending = this.api.send(file, (sent) => this.sending && this.on("file", { file: { sent: Math.min(sent, size) } })));
      const found = await sending.done;
      this.on("file", { file: { found } });
    } catch (problem) {
      this.on("file", { file: null, problem: problem.detail && problem });
      if (problem.status === 401) this.lost(problem);
    }
    this.sending = null;
  }
  /// Does what a button says.
  act(id, body) {
    const ui = (ui) => this.on("ui", { ui });
    const { status: s, ui: on } = this.m;
    const a = s?.available;
    const wish = { version: a?.version, require_manifest: a?.manifest_sha256 };
    switch (id) {
      case "install": return this.post(id, "apply", wish);
      case "anyway": return this.post(id, "apply", { ...wish, force: true });
      case "file": return this.send(body);
      case "unsend": {
        this.sending?.stop();
        this.sending = null;
        return this.on("file", { file: null });
      }
      case "installfile": return this.post(id, "apply", { upload: true, require_manifest: this.m.file.found.plan.manifest_sha256 });
      case "skip": case "unskip": return this.post(id, id, { version: a.version });
      case "rollback": return this.post(id, id, { backup: s.rollback_to.backup });
      case "retry": return this.refresh();
      case "confirm": case "keep": return ui({ confirm: id === "confirm" });
      case "verify": return this.load(id, id, true);
      case "files": case "history": return ui({ [id]: !on[id] });
      case "log": {
        const of = body ?? screen(this.m, Date.now()).logOf;
        if (on.log && (!body || on.log === of)) return ui({ log: null });
        ui({ log: of, copied: null });
        return this.load("log", `log?transaction=${of}`, true);
      }
      default: return this.post(id, id, body);
    }
  }
}

class Base extends HTMLElement {
  connectedCallback() {
    const root = new URL(this.getAttribute("base") ?? new URL("../", import.meta.url), document.baseURI).href;
    if (!stores.has(root)) stores.set(root, new Store(root));
    this.store = stores.get(root);
    if (!this.shadowRoot) {
      this.attachShadow({ mode: "open" }).adoptedStyleSheets = [sheet];
      this.build?.();
    }
    this.store.views.add(this);
    this.draw(screen(this.store.m, Date.now()));
    // open over a run, open after the reload
    if (this.store.saved?.open && this.store.saved.watch) queueMicrotask(() => this.open());
  }
  disconnectedCallback() {
    this.store.views.delete(this);
  }
}

class Chip extends Base {
  draw(s) {
    draw(this.shadowRoot, chip(s, () => this.open()));
  }
  open() {
    let dialog = document.querySelector("pikit-update-dialog");
    if (!dialog) {
      dialog = document.createElement("pikit-update-dialog");
      if (this.hasAttribute("base")) dialog.setAttribute("base", this.getAttribute("base"));
      document.body.append(dialog);
    }
    dialog.open(this.shadowRoot.querySelector("button"));
  }
}

class Dialog extends Base {
  build() {
    const box = (this.box = document.createElement("dialog"));
    box.setAttribute("aria-labelledby", "title");
    box.setAttribute("part", "dialog");
    box.lang = "en";
    box.onclose = () => {
      this.store.on("seen");
      this.opener?.focus();
    };
    // a press on the backdrop
    box.onpointerdown = (e) => void (e.target === box && box.close());
    // a browser would leave the page for a file that nobody takes
    box.ondragover = box.ondragleave = box.ondrop = (e) => {
      if (!e.dataTransfer?.types.includes("Files")) return;
      e.preventDefault();
      const s = screen(this.store.m, Date.now());
      const taken = !!s.idle && !s.busy;
      e.dataTransfer.dropEffect = taken ? "copy" : "none";
      box.classList.toggle("drop", taken && e.type === "dragover");
      const file = e.type === "drop" && taken && e.dataTransfer.files[0];
      if (file) this.store.act("file", file);
    };
    this.shadowRoot.append(box);
  }
  open(opener) {
    this.opener = opener ?? this.opener;
    if (this.box.open) return;
    this.box.showModal();
    this.store.on("ui", { ui: { open: true } });
    (this.box.querySelector("form input") ?? this.box.querySelector("h3")).focus();
  }
  close() {
    this.box.close();
  }
  top() {
    if (this.box.open) this.box.querySelector("h3").focus();
  }
  pick() {
    this.box.querySelector("[type=file]").click();
  }
  draw(s) {
    if (this.box.open) draw(this.box, dialog(s, (id, body) => (/^(close|copy|pick)$/.test(id) ? this[id]() : this.store.act(id, body))));
  }
  async copy() {
    const log = this.shadowRoot.querySelector("[aria-label=Log]");
    getSelection().selectAllChildren(log);
    let ok;
    try {
      await navigator.clipboard.writeText(log.textContent);
      ok = true;
    } catch {
      // plain http has only the old clipboard
      ok = document.execCommand("copy");
    }
    this.store.on("ui", { ui: { copied: ok ? "Copied" : "Selected: press Ctrl+C" } });
  }
}

customElements.define("pikit-update-chip", Chip);
customElements.define("pikit-update-dialog", Dialog);

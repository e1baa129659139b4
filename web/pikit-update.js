// <pikit-update-chip> and <pikit-update-dialog>. One line in a dashboard is enough:
//   <script type="module" src="/pikit-update/pikit-update.js"></script> … <pikit-update-chip></pikit-update-chip>
// What lies on the board is the truth: closing, reloading or opening the page a second time changes nothing.

import { Api } from "./api.js";
import { fresh, reduce, remember, screen, wants } from "./state.js";
import { sheet } from "./style.js";
import * as view from "./view.js";

const HOME = new URL("../", import.meta.url);
const stores = new Map();

/// What the elements of one page and one board share.
class Store {
  constructor(root) {
    this.api = new Api(root);
    this.key = `pikit-update ${root}`;
    this.views = new Set();
    this.m = fresh();
    this.asked = this.pinged = this.opened = 0;
    this.pause = 3e3;
    try {
      this.saved = JSON.parse(sessionStorage.getItem(this.key));
    } catch {
      // nothing to remember, or not allowed to
    }
    this.on({ type: "start", at: Date.now(), saved: this.saved });
    this.refresh();
    this.ping();
    setInterval(() => document.hidden || this.tick(), 1000);
    addEventListener("online", () => this.refresh());
    document.addEventListener("visibilitychange", () => (document.hidden ? this.hush() : this.refresh()));
  }
  on(e) {
    this.m = reduce(this.m, e);
    if (e.type !== "start" && e.type !== "tick") this.keep();
    if (this.m.back && !this.leaving) {
      // long enough to be read, and to let the services settle
      this.leaving = setTimeout(() => location.reload(), 1500);
      this.hush();
    }
    this.draw();
  }
  keep() {
    const kept = remember(this.m);
    try {
      if (kept) sessionStorage.setItem(this.key, JSON.stringify(kept));
      else if (this.m.link === "login") sessionStorage.removeItem(this.key);
    } catch {
      // full or forbidden: only the memory over a reload is lost
    }
  }
  draw() {
    const s = screen(this.m, Date.now());
    for (const v of this.views) v.draw(s);
    if (!this.m.ui.open || this.m.link !== "up") return;
    if (s.plan) this.load("plan", "plan");
    if (s.excerpt) this.load("excerpt", `log?transaction=${encodeURIComponent(s.logOf)}`);
    if (s.history) this.load("history", "history");
  }
  tick() {
    const now = Date.now();
    const w = wants(this.m, now);
    if (w.ping && now - this.pinged >= w.ping) this.ping();
    const every = this.stream ? w.refresh : Math.min(w.refresh, 10e3);
    if (every && now - Math.max(this.asked, this.m.link === "up" ? this.m.heard : 0) >= every) this.refresh();
    if (!this.stream && this.m.link === "up" && now - this.opened >= this.pause) this.listen();
    this.draw();
  }
  async ping() {
    this.pinged = Date.now();
    try {
      this.on({ type: "ping", ping: await this.api.ping() });
      if (this.m.link === "down") this.refresh();
    } catch {
      if (this.m.link === "up" && this.m.watch) this.refresh();
    }
  }
  async refresh() {
    if (this.asking) return;
    this.asking = true;
    const at = (this.asked = Date.now());
    try {
      const status = await this.api.get("status");
      // what the stream told meanwhile is newer
      if (this.m.link !== "up" || this.m.heard <= at) this.on({ type: "status", status, at: Date.now() });
      if (!this.stream && Date.now() - this.opened >= this.pause) this.listen();
    } catch (problem) {
      this.lost(problem);
    }
    this.asking = false;
  }
  lost(problem) {
    this.hush();
    this.on({ type: "link", link: problem.status === 401 ? "login" : "down", problem, at: Date.now() });
  }
  listen() {
    if (document.hidden || this.m.back) return;
    this.opened = Date.now();
    this.stream = this.api.listen(
      (name, data) => {
        this.pause = 3e3;
        this.on({ type: "event", name, data, at: Date.now() });
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
    const put = (value) => this.on({ type: "data", name, value });
    this.m.data = { ...this.m.data, [name]: { wait: true } };
    try {
      put({ value: await this.api.get(path) });
    } catch (problem) {
      if (problem.status === 401) this.lost(problem);
      else put({ problem });
    }
  }
  async post(id, path, body) {
    this.on({ type: "ask", id, body, at: Date.now() });
    try {
      const data = await this.api.post(path, body);
      this.on({ type: "answer", id, data, at: Date.now() });
      if (id === "login" || id === "logout") {
        this.asking = false;
        await this.refresh();
      }
    } catch (problem) {
      this.on({ type: "problem", id, problem, at: Date.now() });
      if (problem.status === 401 && id !== "login") this.lost(problem);
      else if (id === "check" || problem.code === 8) this.refresh();
    }
  }
  ui(ui) {
    this.on({ type: "ui", ui });
  }
  /// Does what a button says.
  act(id, body) {
    const { status: s, ui } = this.m;
    const a = s?.available;
    const wish = a && { version: a.version, require_manifest: a.manifest_sha256 };
    const of = body?.of ?? screen(this.m, Date.now()).logOf;
    switch (id) {
      case "install": return this.post(id, "apply", wish);
      case "anyway": return this.post(id, "apply", { ...wish, force: true });
      case "skip": case "unskip": return this.post(id, id, { version: a.version });
      case "rollback": return this.post(id, id, s.rollback_to ? { backup: s.rollback_to.backup } : {});
      case "check": case "repair": case "auto": case "login": case "logout": return this.post(id, id, body);
      case "retry": return this.refresh();
      case "reload": return location.reload();
      case "confirm": case "keep": return this.ui({ confirm: id === "confirm" });
      case "verify": this.load("verify", "verify", true); return this.draw();
      case "files": return this.ui({ files: !ui.files });
      case "history": return this.ui({ history: !ui.history });
      case "log":
        if (ui.log && (!body || ui.log === of)) return this.ui({ log: null });
        this.load("log", `log?transaction=${encodeURIComponent(of)}`, true);
        return this.ui({ log: of });
    }
  }
}

class Element extends HTMLElement {
  connectedCallback() {
    const root = new URL(this.getAttribute("base") ?? HOME, document.baseURI).href;
    if (!stores.has(root)) stores.set(root, new Store(root));
    this.store = stores.get(root);
    if (!this.shadowRoot) {
      this.attachShadow({ mode: "open", delegatesFocus: true }).adoptedStyleSheets = [sheet];
      this.build?.();
    }
    this.store.views.add(this);
    this.draw(screen(this.store.m, Date.now()));
    const { saved } = this.store;
    if (saved?.open && saved.watch && this.show) this.show();
  }
  disconnectedCallback() {
    this.store.views.delete(this);
  }
}

class Chip extends Element {
  draw(s) {
    view.draw(this.shadowRoot, view.chip(s, () => this.open()));
  }
  connectedCallback() {
    super.connectedCallback();
    if (this.store.saved?.open && this.store.saved.watch) this.open();
  }
  /// Opens the page's dialog; makes one if it has none.
  open() {
    let dialog = document.querySelector("pikit-update-dialog");
    if (!dialog) {
      dialog = document.createElement("pikit-update-dialog");
      if (this.hasAttribute("base")) dialog.setAttribute("base", this.getAttribute("base"));
      document.body.append(dialog);
    }
    dialog.show(this);
  }
}

class Dialog extends Element {
  build() {
    const box = document.createElement("dialog");
    box.setAttribute("aria-labelledby", "title");
    box.setAttribute("part", "dialog");
    box.lang = "en";
    box.addEventListener("close", () => {
      this.store.on({ type: "ui", ui: { open: false, confirm: false, said: null } });
      this.opener?.focus();
    });
    // a press on the backdrop, not one that began inside
    box.addEventListener("pointerdown", (e) => e.target === box && box.close());
    this.shadowRoot.append(box);
    this.box = box;
  }
  show(opener) {
    this.opener = opener ?? this.opener;
    if (!this.box || this.box.open) return;
    this.box.showModal();
    this.store.ui({ open: true });
  }
  close() {
    this.box.close();
  }
  draw(s) {
    if (this.box.open) view.draw(this.box, view.dialog(s, (id, body) => this.act(id, body)));
  }
  act(id, body) {
    if (id === "close") this.close();
    else if (id === "copy") this.copy();
    else this.store.act(id, body);
  }
  async copy() {
    const pre = this.shadowRoot.querySelector("#log");
    getSelection().selectAllChildren(pre);
    let ok = false;
    try {
      // plain http, as on most home networks, has no clipboard but the old one
      if (navigator.clipboard) await navigator.clipboard.writeText(pre.textContent);
      ok = !!navigator.clipboard || document.execCommand("copy");
    } catch {
      // it stays selected
    }
    this.store.ui({ copied: ok ? "Copied" : "Selected: press Ctrl+C" });
  }
}

customElements.define("pikit-update-chip", Chip);
customElements.define("pikit-update-dialog", Dialog);

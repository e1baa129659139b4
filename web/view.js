// Draws what state.js decided. Elements are kept and changed in place, by key, so that focus, selection and scrolling stay where they are.
// Text only ever becomes text.

import { parse, render } from "./markdown.js";

const SVG = "http://www.w3.org/2000/svg";
const KIDS = Symbol("kids");
const PROPS = Symbol("props");

const h = (tag, props, ...kids) => ({ tag, props: props ?? {}, kids: kids.flat(9).filter((k) => k || k === 0) });

/// Brings the children of `parent` to `kids`.
export function patch(parent, kids) {
  const before = parent[KIDS] ?? new Map();
  const after = new Map();
  const counts = {};
  for (const kid of kids) {
    const tag = kid.tag ?? "#";
    const key = tag + (kid.props?.key ?? (counts[tag] = (counts[tag] ?? 0) + 1));
    after.set(key, [kid, before.get(key) ?? make(tag, parent)]);
  }
  for (const [key, node] of before) if (!after.has(key)) node.remove();
  let at = parent.firstChild;
  for (const [kid, node] of after.values()) {
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
    if (kid.tag) set(node, kid);
    else if (node.data !== String(kid)) node.data = kid;
  }
  parent[KIDS] = new Map([...after].map(([key, [, node]]) => [key, node]));
}

function make(tag, parent) {
  if (tag === "#") return document.createTextNode("");
  return tag === "svg" || parent.namespaceURI === SVG ? document.createElementNS(SVG, tag) : document.createElement(tag);
}

function set(node, { props, kids }) {
  const was = node[PROPS] ?? {};
  for (const name of new Set([...Object.keys(was), ...Object.keys(props)])) {
    const value = props[name];
    if (name === "checked") node.checked = value;
    else if (was[name] === value || name === "key") continue;
    else if (name === "md") node.replaceChildren(...render(parse(value), document));
    else if (name.startsWith("on")) node[name] = value ?? null;
    else if (name === "value") node.matches(":focus") || (node.value = value);
    else if (value == null || value === false) node.removeAttribute(name);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node[PROPS] = props;
  if (!("md" in props)) patch(node, kids);
}

/// Redraws, and if that takes the focused element away, focuses what stands nearest to where it was.
export function draw(root, kids) {
  const around = [];
  for (let el = root.getRootNode().activeElement; el; el = el.parentElement) around.push(el);
  patch(root, kids);
  if (!around.length || around[0].isConnected) return;
  const home = around.find((el) => el.isConnected);
  (home?.querySelector("h3,button,input") ?? home)?.focus();
}

const rich = (text) => text.split("`").map((part, i) => (i % 2 ? h("code", { dir: "ltr" }, part) : part));
const para = (text, cls) => h("p", { class: cls }, rich(text));

const PATHS = { good: "M5 12.5l4.5 4.5L19 7.5", news: "M12 19V5M6 11l6-6 6 6", warn: "M12 6v7.5M12 17.5v.5", bad: "M7 7l10 10M17 7L7 17", "": "M6 12h.1M12 12h.1M18 12h.1" };
const icon = (tone) => h("svg", { class: `icon ${tone}`, viewBox: "0 0 24 24", "aria-hidden": "true" }, h("path", { d: PATHS[tone] }));

export function chip(s, open) {
  return [
    h("button", { class: `chip ${s.tone}`, part: "chip", type: "button", "aria-haspopup": "dialog", lang: "en", onclick: open }, h("span", { class: s.wait ? "dot wait" : "dot" }), s.chip),
    h("span", { class: "hidden", role: "status", lang: "en" }, s.quiet ? "" : s.live),
  ];
}

/// The inside of the dialog. `act(id, body)` does things.
export function dialog(s, act) {
  const button = (id, words, more) =>
    h("button", { key: id, type: "button", "aria-disabled": s.busy ? "true" : null, onclick: () => s.busy || act(id), ...more }, words);
  const toggle = (id, words, on) => button(id, words, { "aria-expanded": String(!!on), onclick: () => act(id) });
  const files = (list) => list?.length > 0 && h("ul", { class: "files" }, list.map((f) => h("li", { key: f.path }, h("code", { dir: "ltr" }, f.path), ` ${f.what}`)));

  const hero = h("section", { key: "hero", class: s.overlay ? "hero over" : "hero" },
    s.wait || s.overlay && s.seconds != null ? h("span", { class: "spin", "aria-hidden": "true" }) : icon(s.tone),
    h("div", {},
      h("h3", { tabindex: "-1" }, s.title),
      s.seconds != null && h("p", { class: "count" }, `${s.seconds} s`),
      s.lines.map((l) => para(l)),
      s.type.map((t) => h("pre", { class: "type", dir: "ltr", tabindex: "0" }, t)),
      s.bar && h("div", { class: "bar" },
        h("progress", { max: 100, value: s.bar.percent, "aria-label": s.title }),
        h("p", { class: "quiet" }, `${s.bar.percent} %${s.bar.words ? ` · ${s.bar.words}` : ""}`),
        h("p", { class: "quiet" }, s.bar.message)),
      s.excerpt?.length > 0 && log(s.excerpt, "The end of the log"),
      s.plan?.map((l) => para(l, "plan")),
      s.form && h("form", { onsubmit: (e) => { e.preventDefault(); const token = e.target.elements.token.value.trim(); if (token && !s.busy) act("login", { token }); } },
        h("label", { for: "token" }, "Token"),
        h("input", { id: "token", name: "token", type: "password", autocomplete: "current-password", autocapitalize: "off", spellcheck: "false", required: true, dir: "ltr", "aria-describedby": s.problem && "problem" }),
        h("button", { class: "main", "aria-disabled": s.busy ? "true" : null }, "Log in")),
      s.problem && h("div", { class: "problem", id: "problem", role: "alert" }, para(s.problem.title), s.problem.hint && para(s.problem.hint)),
      s.done && h("p", { class: "done" }, s.done),
      s.buttons.length > 0 && h("p", { class: "row" }, s.buttons.map((b) => button(b.id, b.words, { class: b.main ? "main" : b.force ? "risky" : null })))));

  return [
    h("header", {},
      h("h2", { id: "title" }, "Updates", s.product && h("small", {}, ` ${s.product}`)),
      h("button", { class: "close", type: "button", "aria-label": "Close", onclick: () => act("close") }, h("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, h("path", { d: PATHS.bad })))),
    h("p", { key: "live", class: "hidden", role: "status" }, s.live),
    h("div", { class: "body" }, hero, s.facts && rest()),
  ];

  function rest() {
    const n = s.notes;
    return [
      s.replaced && h("section", { key: "replaced" }, para(s.replaced), h("p", { class: "row" }, button("reload", "Load the page anew"))),
      n && h("section", { key: "notes" },
        h("h3", {}, `What is new in ${n.version}`),
        h("div", { class: "notes", md: n.text }),
        n.earlier.map((e) => h("div", { key: e.key }, h("h4", {}, e.title), h("div", { class: "notes", md: e.text }))),
        h("p", { class: "row" },
          n.link && h("a", { href: n.link, target: "_blank", rel: "noopener noreferrer" }, "Whole changelog"),
          toggle("files", "Which files?", s.files)),
        files(s.files)),
      h("section", { key: "facts" },
        h("dl", {}, s.facts.map(([k, v]) => h("div", { key: k }, h("dt", {}, k), h("dd", {}, v)))),
        s.signed || para("Signatures are not required on this board (`trust.required = false`): whoever controls the network or the server can offer anything.", "quiet")),
      h("section", { key: "auto" },
        h("fieldset", {},
          h("legend", {}, h("h3", {}, "Automatic updates")),
          h("div", { class: "modes" }, [["off", "Off"], ["check", "Check only"], ["install", "Install"]].map(([mode, words]) =>
            h("label", { key: mode }, h("input", { type: "radio", name: "mode", value: mode, checked: s.auto.mode === mode, disabled: !s.idle && !s.busy, onchange: () => act("auto", { mode, at: s.auto.at }) }), h("span", {}, words))),
            s.auto.mode !== "off" && h("label", { key: "at", class: "at" }, "at ", h("input", { type: "time", value: s.auto.at, required: true, disabled: !s.idle && !s.busy, onblur: at, onkeydown: (e) => e.key === "Enter" && at(e) })))),
        para(s.auto.words, "quiet")),
      h("section", { key: "drift" },
        h("h3", {}, "Installed files"),
        para(s.drift.words),
        files(s.drift.files),
        s.idle && h("p", { class: "row" }, button("verify", s.drift.loading ? "Comparing…" : "Compare now"), s.drift.repair && button("repair", "Repair", { class: "main" })),
        s.drift.repair && s.idle && para("Repair puts back what differs. Edited copies are kept in `/var/backups/pikit/edited/`.", "quiet")),
      s.back && s.idle && h("section", { key: "back" },
        h("h3", {}, "Way back"),
        s.back.ask && para(s.back.ask),
        h("p", { class: "row" }, s.back.ask ? [button("keep", "Cancel"), button("rollback", s.back.words, { class: "risky" })] : button("confirm", s.back.words))),
      h("section", { key: "past" },
        h("h3", {}, "What happened"),
        h("p", { class: "row" }, toggle("history", "History", s.history), s.logOf && toggle("log", "View logs", s.log)),
        s.log && h("div", { key: "log" }, s.log.words && para(s.log.words), s.log.rows.length > 0 && [log(s.log.rows, "Log"), h("p", { class: "row" }, button("copy", s.log.copied ?? "Copy"))]),
        s.history && h("div", { key: "history" }, s.history.words && para(s.history.words), h("ol", { class: "history" }, s.history.rows.map((r) =>
          h("li", { key: r.key }, h("p", {}, h("strong", {}, r.what), " ", h("span", { class: `tag ${r.tone}` }, r.outcome)), h("p", { class: "quiet" }, [r.when, r.cost].filter(Boolean).join(" · ")), r.reason && para(r.reason),
            h("button", { type: "button", class: "link", "aria-label": `Log of ${r.what}, ${r.when}`, onclick: () => act("log", { of: r.key }) }, "Log")))))),
      h("footer", { key: "foot" }, h("span", {}, s.foot), h("button", { type: "button", class: "link", onclick: () => act("logout") }, "Log out")),
    ];
  }

  function at(e) {
    if (e.target.value && e.target.value !== s.auto.at) act("auto", { mode: s.auto.mode, at: e.target.value });
  }
}

const log = (lines, label) => h("pre", { class: "log", dir: "ltr", tabindex: "0", role: "region", "aria-label": label, id: label === "Log" && "log" }, lines.join("\n"));

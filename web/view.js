// Draws what state.js decided. Elements are kept and changed in place, so that focus, selection and scrolling stay.

import { parse, render } from "./markdown.js";

const SVG = "http://www.w3.org/2000/svg";
const KIDS = Symbol();
const PROPS = Symbol();

const h = (tag, props, ...kids) => ({ tag, props: props ?? {}, kids: kids.flat(9).filter((k) => k && k !== true) });

function patch(parent, kids) {
  const before = parent[KIDS] ?? new Map();
  const after = new Map();
  kids.forEach((kid, i) => {
    const tag = kid.tag ?? "#";
    const key = `${tag} ${kid.props?.key ?? i}`;
    after.set(key, before.get(key) ?? (tag === "#" ? document.createTextNode("") : document.createElementNS(/svg|path/.test(tag) ? SVG : "http://www.w3.org/1999/xhtml", tag)));
  });
  for (const [key, node] of before) if (!after.has(key)) node.remove();
  let at = parent.firstChild;
  [...after.values()].forEach((node, i) => {
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
    if (kids[i].tag) set(node, kids[i]);
    else if (node.data !== kids[i]) node.data = kids[i];
  });
  parent[KIDS] = after;
}

function set(node, { props, kids }) {
  const was = node[PROPS] ?? {};
  for (const name in { ...was, ...props }) {
    const value = props[name];
    if (name === "checked") node.checked = value;
    else if (was[name] === value || name === "key") continue;
    else if (name === "md") node.replaceChildren(...render(parse(value), document));
    else if (name.startsWith("on")) node[name] = value;
    else if (name === "value") node.matches(":focus") || (node.value = value);
    else if (!value) node.removeAttribute(name);
    else node.setAttribute(name, value);
  }
  node[PROPS] = props;
  if (!props.md) patch(node, kids);
}

/// If drawing takes the focused element away, what stands nearest to it is focused.
export function draw(root, kids) {
  const around = [];
  for (let el = root.getRootNode().activeElement; el; el = el.parentElement) around.push(el);
  patch(root, kids);
  if (!around[0] || around[0].isConnected) return;
  const near = around.find((el) => el.isConnected);
  (near?.querySelector("h3,button") ?? near)?.focus();
}

const para = (text, look) => text && h("p", { class: look }, text.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part)));
const lines = (text, label) => h("pre", { class: "log", tabindex: "0", role: "region", "aria-label": label }, text.join("\n"));
const paths = (files) => files?.length > 0 && h("ul", {}, files.map(([path, what]) => h("li", {}, h("code", {}, path), ` ${what}`)));
const link = (href, words) => h("a", { href, target: "_blank", rel: "noopener noreferrer" }, words);

const PATHS = { good: "M5 12.5l4.5 4.5L19 7.5", news: "M12 19V5M6 11l6-6 6 6", warn: "M12 6v7.5M12 17.5v.5", bad: "M7 7l10 10M17 7L7 17" };
const icon = (tone, look) => h("svg", { class: look, viewBox: "0 0 24 24", "aria-hidden": "true" }, h("path", { d: PATHS[tone || "good"] }));

export const chip = (s, open) => [
  h("button", { class: `chip ${s.tone}`, part: "chip", type: "button", "aria-haspopup": "dialog", lang: "en", onclick: open }, h("span", { class: s.wait ? "dot wait" : "dot" }), s.chip),
  h("span", { class: "hidden", role: "status", lang: "en" }, s.quiet ? "" : s.live),
];

export function dialog(s, act) {
  const quiet = (id, words, more) => h("button", { key: id, type: "button", onclick: () => act(id), ...more }, words);
  const button = (id, words, look) => quiet(id, words, { class: look, "aria-disabled": s.busy && "true", onclick: () => s.busy || act(id) });
  const row = (...kids) => h("p", { class: "row" }, kids);
  const card = (key, title, ...kids) => h("section", { key }, title && h("h3", {}, title), kids);

  const hero = h("section", { key: "hero", class: s.overlay ? "hero over" : "hero" },
    s.wait || s.bar || s.seconds != null ? h("span", { class: "spin" }) : icon(s.tone, `icon ${s.tone}`),
    h("div", {},
      h("h3", { tabindex: "-1" }, s.title),
      s.seconds != null && h("p", { class: "count" }, `${s.seconds} s`),
      s.bar && [h("progress", { max: "100", value: s.bar.percent, "aria-label": s.title }), para(s.bar.words, "quiet"), para(s.bar.message, "quiet")],
      s.lines.map((l) => para(l)),
      s.type.map((t) => h("pre", { class: "type" }, t)),
      s.excerpt?.[0] && lines(s.excerpt, "End of the log"),
      s.plan?.map((l) => para(l)),
      s.form && login(),
      s.problem && h("div", { key: "problem", class: "problem", id: "problem", role: "alert" }, s.problem.map((l) => para(l))),
      s.done && para(s.done, "done"),
      s.buttons[0] && h("p", { key: "row", class: "row" }, s.buttons.map((b) => button(b.id, b.words, b.look)))));

  return [
    h("div", { class: "top" }, h("h2", { id: "title" }, "Updates", s.product && h("small", {}, ` ${s.product}`)), quiet("close", icon("bad"), { class: "close", "aria-label": "Close" })),
    h("p", { class: "hidden", role: "status" }, s.live),
    h("div", { class: "body" }, hero, s.facts && rest()),
  ];

  function login() {
    const send = (e) => {
      e.preventDefault();
      const token = e.target.elements.token.value.trim();
      if (token && !s.busy) act("login", { token });
    };
    return h("form", { onsubmit: send },
      h("label", { for: "token" }, "Token"),
      h("input", { id: "token", type: "password", autocomplete: "current-password", required: "required", "aria-describedby": s.problem && "problem" }),
      h("button", { class: "main", "aria-disabled": s.busy && "true" }, "Log in"));
  }

  function rest() {
    const still = !s.idle && !s.busy && "disabled";
    const at = (e) => e.target.value && e.target.value !== s.at && act("auto", { mode: s.mode, at: e.target.value });
    return [
      s.notes && card("notes", "What is new",
        s.notes.map((n) => [h("h4", {}, n.title), h("div", { class: "notes", dir: "auto", md: n.text })]),
        row(s.changelog && link(s.changelog, "Whole changelog"), quiet("files", "Which files?", { "aria-expanded": String(!!s.files) })),
        paths(s.files)),
      card("facts", "",
        h("dl", {}, s.facts.map(([k, v]) => h("div", {}, h("dt", {}, k), h("dd", {}, v)))),
        s.unsigned && para("This board takes releases without a signature (`trust.required = false`).", "quiet")),
      card("auto", "",
        h("fieldset", {},
          h("legend", {}, h("h3", {}, "Automatic updates")),
          row([["off", "Off"], ["check", "Check"], ["install", "Install"]].map(([mode, words]) =>
            h("label", {}, h("input", { type: "radio", name: "mode", value: mode, checked: s.mode === mode, disabled: still, onchange: () => act("auto", { mode, at: s.at }) }), words)),
            s.mode !== "off" && h("label", { key: "at" }, "at ", h("input", { type: "time", value: s.at, disabled: still, onblur: at, onkeydown: (e) => void (e.key === "Enter" && at(e)) })))),
        para(s.auto, "quiet")),
      card("drift", "Installed files", para(s.drift.words), paths(s.drift.files),
        s.idle && row(button("verify", s.drift.wait ? "Comparing…" : "Compare now"), s.drift.repair && button("repair", "Repair", "main")),
        s.drift.repair && para("Your edited copies are kept in `/var/backups/pikit/edited/`.", "quiet")),
      s.back && s.idle && card("back", "Way back", para(s.sure),
        row(s.sure ? [button("keep", "Cancel"), button("rollback", s.back, "risky")] : button("confirm", s.back))),
      s.idle && card("file", "From a file", para("A release on a stick or in a download folder? Send its bundle (`.tar.gz`) to the board, or drop it here; it is checked like any other.", "quiet"),
        h("input", { type: "file", hidden: "hidden", "aria-label": "Bundle", accept: ".gz,application/gzip", onchange: (e) => (e.target.files[0] && act("file", e.target.files[0]), (e.target.value = "")) }),
        row(button("pick", "Install from a file…", ""))),
      card("past", "What happened",
        row(quiet("history", "History", { "aria-expanded": String(!!s.history) }), s.logOf && quiet("log", "View logs", { "aria-expanded": String(!!s.log) })),
        s.log && h("div", { key: "log" }, para(s.log.words), s.log.rows[0] && [lines(s.log.rows, "Log"), row(quiet("copy", s.copied))]),
        s.history && h("div", { key: "history" }, para(s.history.words), h("ol", { class: "past" }, s.history.rows.map((r) => h("li", { key: r.key },
          h("p", {}, h("strong", {}, r.what), " ", h("span", { class: `tag ${r.tone}` }, r.outcome)), para(r.cost, "quiet"), para(r.reason),
          quiet("log", "Log", { class: "link", "aria-label": `Log of ${r.what}, ${r.cost}`, onclick: () => act("log", r.key) })))))),
      h("div", { key: "foot", class: "foot" }, s.foot, quiet("logout", "Log out", { class: "link" })),
    ];
  }
}

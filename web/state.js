// What the board said becomes what is shown. Pure. `reduce` takes what happened, `screen` says what to draw, `wants` what to do.
// Text between backticks is something to type.

const DISRUPTIVE = ["switching", "restarting", "trial", "rolling-back"];
const CHANGES = ["apply", "apply-anyway", "rollback", "repair"];
// Every wait ends in words. Milliseconds.
export const LIMITS = { first: 8e3, gone: 90e3, pending: 30e3, still: 180e3, lost: 15e3, ping: 3e3, quiet: 10e3, idle: 300e3 };

export const fresh = () => ({ status: null, skew: 0, link: "new", points: [], ui: {}, data: {} });

// ---- what happened

export function reduce(m, e) {
  const { at } = e;
  switch (e.type) {
    case "start": return { ...m, began: at, ...(e.saved && { status: e.saved.status, watch: e.saved.watch, skew: Date.parse(e.saved.status.now) - e.saved.at }) };
    case "status": return heard(m, e.status, at);
    case "event": return m.status || e.name === "state" ? heard(m, told(m, e), at) : m;
    case "login": return { ...fresh(), link: "login", home: m.home, ui: { open: m.ui.open }, problem: m.link === "login" ? m.problem : null };
    case "down": return { ...m, link: "down", down: m.down || at, trouble: e.problem };
    case "ping": return settle({ ...m, ping: e.ping, home: m.home?.boot_id ? m.home : { ...m.home, ...e.ping } });
    case "ask": return { ...m, acting: e, watch: closed(m.watch, at), problem: null, done: null, ui: { ...m.ui, confirm: false } };
    case "answer": return answered({ ...m, acting: null }, e, m.acting?.body);
    case "problem": return { ...m, acting: null, problem: e.problem };
    case "file": return { ...m, file: e.file && { ...m.file, ...e.file }, problem: e.problem ?? null, done: null };
    case "seen": return { ...m, problem: null, done: null, watch: closed(m.watch, at), ui: {} };
    case "ui": return { ...m, ui: { ...m.ui, ...e.ui } };
    case "data": return { ...m, data: { ...m.data, [e.name]: e.value } };
  }
  return m;
}

const working = (s) => (s.progress?.action !== "check" && s.progress) || (CHANGES.includes(s.pending?.action) && s.pending);
const disrupts = (s) => DISRUPTIVE.includes(s.progress?.phase);

function heard(m, status, at) {
  const was = m.status ?? {};
  const next = { ...m, status, heard: at, link: "up", down: 0, skew: status.now === was.now ? m.skew : Date.parse(status.now) - at || 0, data: { ...m.data } };
  if (next.home?.current === undefined) next.home = { ...m.home, current: status.current, mid: disrupts(status) };
  if (was.last_result?.transaction !== status.last_result?.transaction) Object.assign(next.data, { history: null, verify: null, excerpt: null });
  if (was.available?.manifest_sha256 !== status.available?.manifest_sha256 || was.current !== status.current) next.data.plan = null;
  const [p, o] = [status.progress, was.progress];
  const same = p && o && p.phase === o.phase && p.transaction === o.transaction;
  if (!same || p.bytes_done !== o.bytes_done) {
    next.moved = at;
    next.points = p ? [...(same ? m.points : []), { at, done: p.bytes_done }].filter((x) => at - x.at < 8e3) : [];
  }
  next.watch = watched(status, m.watch, at);
  return settle(next);
}

const closed = (w, at) => (w?.done || (w?.idle && at - w.idle > LIMITS.lost) ? null : w);

// A run is watched to its end, also over a reload, so that it can be told. One from elsewhere may find nothing to do.
function watched(s, w, at) {
  const run = working(s);
  const last = s.last_result?.transaction ?? null;
  if (run && (!w || w.done) && (s.pending || !/checking|planning/.test(run.phase))) w = { at, before: last, action: s.pending?.action };
  if (!w || w.done) return w;
  if (s.busy && !run) return { ...w, idle: 0 };
  if (run) return { ...w, transaction: run.transaction, idle: 0, away: w.away ?? (disrupts(s) ? at : null) };
  const how = last === w.transaction || last !== w.before ? "result" : s.last_request?.transaction === w.transaction ? "request" : null;
  return how ? { ...w, done: how } : { ...w, idle: w.idle || at };
}

// The page is loaded anew when the run replaced what it shows, or when the board itself was started anew.
function settle(m) {
  const { status: s, watch: w, home, ping } = m;
  const rebooted = ping?.boot_id !== home?.boot_id;
  const replaced = w?.done && (s.current !== home?.current || home.mid || (home.version && ping.version !== home.version));
  return w && home && m.link === "up" && ((ping && rebooted) || replaced) ? { ...m, back: true } : m;
}

// How a run began and ended is asked for, not taken from here.
function told({ status: s }, { name, data }) {
  if (name === "state") return data;
  if (!data.transaction) return s;
  const p = s.progress?.transaction === data.transaction ? s.progress : { percent: 0, message: "" };
  return { ...s, pending: null, progress: { ...p, ...(data.phase !== p.phase && { bytes_done: 0, bytes_total: 0 }), ...data } };
}

const DONE = { skip: "Skipped.", unskip: "It is offered again.", auto: "Saved." };

function answered(m, { id, data, at }, body) {
  if (data?.schema) return { ...heard(m, data, at), done: DONE[id] ?? (data.update_available ? null : "Checked just now.") };
  if (!data?.transaction) return m;
  const { transaction } = data;
  const s = m.status;
  const action = /^install|^anyway/.test(id) ? "apply" : id;
  const to = action === "rollback" ? s.rollback_to?.version : action === "repair" ? s.current : body.upload ? m.file?.found.version : body.version;
  const watch = { transaction, action, to, at, mine: true, before: s.last_result?.transaction ?? null };
  return { ...m, watch, file: null, moved: at, status: working(s) ? s : { ...s, pending: { transaction, action } } };
}

// ---- what to do

export function wants(m, now) {
  const busy = m.watch ? !m.watch.done : m.status?.busy;
  return {
    ping: busy && (m.link === "down" || disrupts(m.status ?? {})) ? LIMITS.ping : 0,
    refresh: m.link === "login" ? 0 : m.link !== "up" ? (now - m.down < LIMITS.gone ? LIMITS.ping : LIMITS.quiet) : busy ? LIMITS.quiet : LIMITS.idle,
  };
}

export const remember = (m) => m.status && { status: m.status, at: m.heard, watch: m.watch, open: m.ui.open };

// ---- words

const cut = (n) => (n < 10 ? n.toFixed(1) : Math.round(n));
export function bytes(n) {
  if (n < 1e3) return count(n, "byte");
  const step = n < 1e6 ? 1 : n < 1e9 ? 2 : 3;
  return `${cut(n / 1e3 ** step)} ${["", "kB", "MB", "GB"][step]}`;
}
export const span = (s) => (s < 1 ? "less than a second" : s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${cut(s / 3600)} h`);
export const count = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`;
const name = (v) => v ?? "what was there before";
const list = (units) => units.map((u) => u.replace(/\.service$/, "")).join(", ");

/// The updater's messages begin small and end without a full stop.
export function sentence(text) {
  const t = String(text ?? "").trim().replace(/^(.*?)(https?:\/\/\S+): (HTTP \d+)/, "$1$3 from $2");
  return (/^[a-z]+([ ,;]|$)/.test(t) ? t[0].toUpperCase() + t.slice(1) : t) + (!t || /[.!?…:]$/.test(t) ? "" : ".");
}

export function age(iso, t) {
  const s = (Date.parse(iso) - t) / 1000;
  if (Math.abs(s) < 45) return "just now";
  const [size, unit] = [[86400, "day"], [3600, "hour"], [60, "minute"]].find(([size]) => Math.abs(s) >= size) ?? [60, "minute"];
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(s / size), unit);
}
/// As the browser writes it; the year only when it is another one.
export function date(iso, t, time) {
  const d = new Date(iso);
  const year = d.getFullYear() === new Date(t).getFullYear() ? {} : { year: "numeric" };
  return Number.isNaN(+d) ? "" : d.toLocaleString(undefined, { day: "numeric", month: "short", ...year, ...(time && { hour: "2-digit", minute: "2-digit" }) });
}

const PHASE = {
  checking: "Asking the release server", planning: "Comparing with what is installed", downloading: "Downloading", verifying: "Checking what was downloaded",
  staging: "Preparing the new version", switching: "Switching over", restarting: "Restarting services",
  trial: "Watching its health", confirming: "Finishing", "rolling-back": "Going back",
};

function bar({ points }, { percent, message, bytes_done: done, bytes_total: total }) {
  const parts = [`${percent} %`];
  if (done || total) parts.push(total ? `${bytes(done)} of ${bytes(total)}` : bytes(done));
  const [a, b] = [points[0], points.at(-1)];
  const speed = ((b?.done - a?.done) / (b?.at - a?.at)) * 1000;
  if (speed >= 1 && b.at - a.at > 700 && done !== total) parts.push(`${bytes(Math.round(speed))}/s`);
  if (parts[2] && total > done) parts.push(`${span((total - done) / speed)} left`);
  return { percent, words: parts.join(" · "), message: sentence(message) };
}

export function plan(a, detail) {
  const { changed, added, removed, kept, config_kept: yours = 0, drifted = 0 } = detail?.counts ?? a.plan ?? {};
  const [restart, reload] = detail ? [detail.restart, detail.reload] : [a.services ?? [], []];
  const off = detail?.expected_offline_seconds ?? a.expected_offline_seconds;
  const one = (n, s, p) => (n === 1 ? s : p);
  const files = [changed && `${count(changed, "file")} ${one(changed, "changes", "change")}`, added && `${added} new`, removed && `${removed} removed`, kept && `${kept} ${one(kept, "stays", "stay")}`];
  const cost = [files.filter(Boolean).join(", "), restart[0] && `restarts ${list(restart)}`, reload[0] && `reloads ${list(reload)}`, off != null ? `${off < 1 ? "" : "about "}${span(off)} offline` : restart[0] && "offline while it restarts"];
  const lines = [cost.filter(Boolean).join("; "), yours && `${count(yours, "config file")} that you edited ${one(yours, "stays", "stay")}`];
  if (drifted > yours) lines.push(`${count(drifted - yours, "edited file")} will be replaced; your copy goes into the backup`);
  return lines.filter(Boolean).map(sentence);
}

const OUTCOME = { confirmed: "done", "rolled-back": "rolled back", "up-to-date": "nothing to do" };

export function row(r, t) {
  const good = r.outcome === "confirmed" || r.outcome === "up-to-date";
  const what = { apply: "Update", rollback: "Return", repair: "Repair" }[r.action] ?? r.action;
  return {
    key: r.transaction, what: `${what} ${r.from && r.from !== r.to ? `${r.from} → ` : "to "}${name(r.to)}`, outcome: OUTCOME[r.outcome] ?? r.outcome, tone: good ? "good" : "bad", reason: good ? "" : sentence(r.reason),
    cost: [date(r.at, t, true), r.seconds >= 1 && `took ${span(r.seconds)}`, r.offline_seconds > 0 && `${span(r.offline_seconds)} offline`].filter(Boolean).join(" · "),
  };
}

// The newest failure, whether the run began or not.
function failure({ last_result: r, last_request: q, available: a }) {
  const e = (q && !q.ok && CHANGES.includes(q.action) && q.error) || {};
  if (e.code && e.code !== 6 && q.transaction !== r?.transaction && !(Date.parse(r?.at) > Date.parse(q.at))) return { to: a?.version, ...q, ...e, reason: e.message };
  return r && OUTCOME[r.outcome] && r.outcome !== "rolled-back" ? null : r && { ...r, hint: q?.transaction === r.transaction && e.hint };
}

const SSH = "Over SSH, type:";
const STUCK = "This takes longer than usual. Over SSH, `pikit-updater status` says what is going on.";
const STATUS = "sudo pikit-updater status";

/// The one thing that matters now.
function scene(m, now, t) {
  const { status: s, watch: w } = m;
  const say = (tone, chip, title, lines, more) => ({ tone, chip, title, lines: lines.filter(Boolean).map(sentence), buttons: [], type: [], ...more });
  const wait = { wait: true };
  const since = (at) => span(Math.max(1, (now - at) / 1000));

  if (m.link === "login") return say("warn", "Login needed", "Log in to see updates", ["Each browser needs the token once. Over SSH, `sudo pikit-updater token` shows it."], { form: true });
  if (m.back) return say("good", "Restarted", "It is back", ["Loading the page anew."], wait);
  if (s && (working(s) || (w && !w.done && !s.interrupted))) return running();

  if (m.link !== "up" && !(s && m.link === "new" && now - m.began < LIMITS.first)) {
    if (m.link === "new" && now - m.began < LIMITS.first) return say("", "…", "Asking the board", [], wait);
    const late = now - (m.down || m.began) > LIMITS.gone;
    return say("warn", "Offline", m.trouble?.code === 9 ? "Nobody can log in" : "The board does not answer", [
      m.trouble?.detail, m.trouble?.hint, late ? `No answer for ${since(m.down || m.began)}. Is it on, and on this network? ${SSH}` : "This page tries again.",
    ], { type: late ? ["systemctl status pikit-update-api"] : [], buttons: ["retry"] });
  }
  if (s.interrupted)
    return say("bad", "Interrupted", "An update was interrupted", [`The power was cut or the updater was stopped. Nothing is lost. ${SSH}`], { type: ["sudo pikit-updater recover"] });
  if (m.file?.found) {
    const { version, bytes: size, plan: p } = m.file.found;
    const who = p.signed[0] ? `Signed by ${p.signed.map((x) => x.key).join(", ")}` : "Nobody signed it";
    return say("news", `${version} from a file`, p.from ? `${p.from} → ${version}, from a file` : `Install ${version} from a file`, [`${m.file.name}, ${bytes(size)}. ${who}`, ...p.doubts], { buttons: ["installfile", "unsend"], file: m.file.found });
  }
  if (m.file) {
    const { name: of, size, sent } = m.file;
    const all = sent >= size;
    return say("", "Sending a file…", all ? "Looking at the file" : `Sending ${of}`, [all ? "The board checks who signed it and what it would change." : ""], { bar: { percent: Math.floor((100 * sent) / size) || 0, words: `${bytes(sent)} of ${bytes(size)}`, message: "" }, buttons: ["unsend"] });
  }
  if (m.acting?.id === "check" || s.pending?.action === "check" || s.progress || /^check/.test(s.busy?.command))
    return say("", "Checking…", "Checking for updates", [m.acting ? `Asking for ${since(m.acting.at)}, two minutes at most.` : "Asking the release server."], { wait: true, buttons: [m.acting && "check"] });
  const over = !s.pending && !/^request/.test(s.busy?.command) && s.busy;
  if (s.busy || s.pending)
    return say("", "Busy", over ? "Somebody is updating over SSH" : "The board is at work", [
      over && `\`pikit-updater ${s.busy.command ?? ""}\` runs since ${date(s.busy.since, t, true)}, perhaps by the timer.`,
    ], wait);

  const { available: a, last_result: r, last_request: q } = s;
  const install = a && s.update_available && !a.blocked?.length;
  const sick = s.quarantined?.find((x) => x.version === a?.version);
  const go = { buttons: [install && "install", "check", sick && "anyway"], offer: install || sick };
  const stays = `Nothing was changed${s.current ? `: ${s.current} is installed as before` : ""}.`;
  const checked = (at) => Date.parse(s.last_check) > Date.parse(at);

  const f = failure(s);
  if (f?.code === 7) return say("bad", "Needs you", "This needs a person", [f.reason, f.hint || "Both versions are still on the card.", SSH], { type: [STATUS, "sudo pikit-updater recover"] });
  if (w?.done === "result" && r.outcome === "confirmed") {
    if (s.current !== r.to) return say("bad", "Update failed", `${s.current ?? "No release"} is installed, not ${name(r.to)}`, [SSH], { type: [STATUS, "sudo pikit-updater verify"] });
    const title = r.action === "repair" ? "Repaired" : `${r.action === "rollback" ? "Returned" : "Updated"} to ${name(r.to)}`;
    return say("good", install ? "Update available" : r.action === "rollback" ? title : "Up to date", title, [`It is running and healthy.${r.offline_seconds > 0 ? ` Services were away for ${span(r.offline_seconds)}.` : ""}`], go);
  }
  const mine = !install || a.version === f?.to;
  if (f?.outcome === "rolled-back" && mine)
    return say("bad", "Rolled back", `Rolled back${s.current === f.from ? ` to ${name(f.from)}` : ""}`, [
      `${sentence(f.reason)} ${s.quarantined?.some((x) => x.version === f.to) ? "It will not be tried again." : ""}`, "The dashboard is as it was before.",
    ], { ...go, excerpt: true });
  if (f && (w?.done || (mine && f.outcome !== "cancelled" && !checked(f.at)))) {
    const full = /space/.test(f.reason);
    const title = full ? "There is not enough space on the card" : f.outcome === "cancelled" ? "Stopped" : { rollback: "Could not go back", repair: "Could not repair" }[f.action] ?? `${f.to ?? "The update"} was not installed`;
    return say("bad", "Update failed", title, [f.reason, f.hint, f.outcome || f.code > 2 ? stays : "", !f.hint && (full ? "Free some space there, then try again." : "Trying again goes on from what was downloaded.")], { ...go, excerpt: f.outcome && !full });
  }

  const e = q?.action === "check" && !q.ok ? q.error : {};
  const untrusted = s.last_check_error && (e.code === 4 || /sign|trust|expired|offered/.test(s.last_check_error));
  if (s.last_check_error && (!install || untrusted)) {
    const lines = [s.last_check_error, e.hint];
    if (untrusted)
      return say("bad", "Update refused", /not signed|signature of/.test(s.last_check_error) ? "The release is not signed by a key this board trusts" : "The offered release is refused", [...lines, e.hint ? "" : "`pikit-updater doctor` tells more.", stays], { buttons: ["check"] });
    return say("warn", "Offline", "The release server cannot be reached", [...lines, `The dashboard works as before.${e.hint ? "" : " Is the board online? `pikit-updater doctor` tells more."}`], go);
  }
  if (sick && !install) return say("warn", `${a.version} held back`, `${a.version} failed here before`, [sick.reason, `It is not tried again by itself.`], go);
  if (a?.blocked?.length) {
    const why = a.blocked.join("; ");
    return say("warn", "Update blocked", `${a.version} cannot be installed here`, [why, /space/.test(why) ? "Free some space there, then check again." : "`pikit-updater doctor` tells more.", stays], { ...go, offer: true });
  }
  if (install) {
    const facts = [a.released && `Released ${date(a.released, t)}`, a.download_bytes != null && (a.download_bytes ? `${a.download_at_most ? "at most " : ""}${bytes(a.download_bytes)} to download` : "nothing to download")].filter(Boolean).join(" · ");
    const stale = s.last_check_error && `The last check failed: ${s.last_check_error}`;
    if (a.takes_back) return say("warn", "Recalled", `${a.takes_back} was taken back`, [`${a.version} is the newest good release.`, facts], { buttons: ["install", "check"], offer: true });
    if (s.skipped?.includes(a.version)) return say("", `${a.version} skipped`, `${a.version} is skipped`, [facts, "Automatic mode passes over it. You can still install it."], { buttons: ["install", "check", "unskip"], offer: true });
    return say("news", "Update available", s.current ? `${s.current} → ${a.version}` : `Install ${a.version}`, [facts, s.current ? "" : "What lies there now is backed up first.", ...(a.doubts ?? []), stale], { buttons: ["install", "check", "skip"], offer: true });
  }
  if (!s.current) return say("warn", "No release", "No release is installed yet", [s.last_check ? "The release server offers nothing for this board." : ""], go);
  if (s.drift > 0) return say("warn", `${count(s.drift, "file")} changed`, `${count(s.drift, "installed file")} changed`, ["Repair, below, puts them back."], go);
  if (!s.last_check) return say("", "Not checked yet", `${s.current} is installed`, ["Press Check to look for a newer version."], go);
  if (r?.action === "rollback" && s.skipped?.includes(r.from) && !checked(r.at))
    return say("", `${r.from} skipped`, `${s.current} is installed`, [`You went back from ${r.from}. Press Check to be offered it again.`], go);
  return say("good", "Up to date", "Up to date", [`${s.current} is the newest version.`], go);

  function running() {
    const p = s.progress;
    const lost = m.link === "down";
    const free = "You can close this page: the work goes on without it.";
    if (lost && now - m.down > LIMITS.gone)
      return say("bad", "Offline", "The board has not come back", [`No answer for ${since(m.down)}. The update ends or undoes itself without this page. ${SSH}`], { type: [STATUS, "sudo pikit-updater rollback"], overlay: true });
    if (!working(s) && !lost) {
      if (now - (w.idle || now) < LIMITS.lost) return say("", "Finishing…", "Finishing", ["Waiting for the board to say how it ended."], wait);
      return say("warn", "Ended", "It is not known how the run ended", [`${s.current ?? "No release"} is installed. ${SSH}`], { type: ["pikit-updater history", "pikit-updater log"], buttons: ["check"] });
    }
    const chip = p ? `Updating ${p.percent} %` : "Updating…";
    if (lost || disrupts(s)) {
      const seconds = Math.max(0, Math.round((now - (w?.away ?? (m.down || now))) / 1000));
      const words = lost ? "This page comes back by itself." : p.phase === "trial" ? "It has to pass its health checks, or the old version comes back. That takes up to two minutes." : "The dashboard may be away for a moment.";
      return say("", lost ? "Restarting…" : chip, lost ? "Waiting for the board" : PHASE[p.phase], [words, free, seconds * 1e3 > LIMITS.still && STUCK], { overlay: true, seconds, bar: p && bar(m, p) });
    }
    if (!p) {
      const late = now - w.at > LIMITS.pending;
      return say(late ? "warn" : "", chip, late ? "The board has not begun" : "Starting", [late ? `It was asked ${since(w.at)} ago. ${SSH}` : "The board has the request."], { type: late ? [STATUS, "systemctl status pikit-update-apply.path"] : [], wait: !late });
    }
    return say("", chip, `${PHASE[p.phase] ?? p.phase}${p.phase === "downloading" && w?.to ? ` ${w.to}` : ""}`, [
      now - m.moved > LIMITS.still && STUCK, w?.mine ? "" : "Begun elsewhere: over SSH, by the timer or in another browser.", free,
    ], { bar: bar(m, p) });
  }
}

const BUTTON = { check: "Check", install: "Download & Install", anyway: "Try again anyway", skip: "Skip this version", unskip: "Do not skip", installfile: "Install", unsend: "Cancel", retry: "Try again now" };

/// `now` is the browser's clock; ages go by the board's.
export function screen(m, now) {
  const t = now + m.skew;
  const s = m.status;
  const it = scene(m, now, t);
  const quarter = it.bar ? Math.floor(it.bar.percent / 25) * 25 : 0;
  const out = {
    ...it, chip: /^Updat/.test(it.chip) ? it.chip : `Updates: ${it.chip}`, product: s?.product, busy: !!m.acting, done: m.done,
    live: `${it.title}${quarter ? `, ${quarter} %` : ""}`, quiet: !m.watch, // a chip that only rests is not announced
    buttons: it.buttons.filter(Boolean).map((id) => ({ id, words: BUTTON[id], look: { install: "main", installfile: "main", retry: "main", anyway: "risky" }[id] })),
    problem: m.problem && !it.lines.includes(sentence(m.problem.detail)) && [sentence(m.problem.detail), sentence(m.problem.hint)],
  };
  if (!s || it.overlay || m.back) return out;
  const { ui, data } = m;
  const from = it.file?.plan;
  const a = it.offer ? s.available : from ? { ...from, version: it.file.version } : null;
  const { mode = "check", at = "04:20", next, timer } = (m.acting?.id === "auto" && { ...s.auto, ...m.acting.body }) || s.auto || {};
  const to = s.rollback_to && `${name(s.rollback_to.version)} of ${date(s.rollback_to.at, t)}`;
  return {
    ...out, idle: !it.bar && !it.wait && m.link === "up" && !s.interrupted,
    notes: a && [a, ...(a.earlier ?? [])].map((n) => ({ title: `${n.version}${n.released ? ` · ${date(n.released, t)}` : ""}`, text: n.notes || "No release notes came with it." })),
    changelog: /^https?:/.test(a?.changelog) && a.changelog,
    plan: a && plan(from ? {} : a, from ?? data.plan?.value), own: !!from,
    files: a && ui.files && ((from ?? data.plan?.value)?.files ?? []).filter((f) => f.change !== "keep").map((f) => [f.path, { add: "new", replace: "changes", remove: "goes" }[f.change] ?? "yours, kept"]),
    facts: [
      ["Installed", s.current ?? "no release yet"], ["Last checked", s.last_check ? age(s.last_check, t) : "never"],
      ["Next check", mode === "off" || !timer ? "when you ask" : next ? date(next, t, true) : "not known"],
      a?.signed?.[0] && ["Signature", a.signed.map((x) => x.comment).join(", ")],
    ].filter(Boolean),
    back: to && `Return to ${to}`,
    sure: ui.confirm && `Go back to ${to}? It needs no network. ${s.current ?? "The version now"} is then skipped.`,
    mode, at,
    auto: ({ off: "Nothing happens by itself.", install: "Once a day, a new version is installed; a sick one takes itself back." }[mode] ?? "Once a day, the board looks for a new version.") + (mode !== "off" && timer === false ? ` But no timer is there: \`sudo pikit-updater auto ${mode}\` sets it up.` : ""),
    drift: drift(s, data.verify, t),
    history: ui.history && part(data.history, (d) => d.history.map((r) => row(r, t)), "Nothing has happened yet."),
    log: ui.log && part(data.log, (d) => d.lines, "The log is empty."), copied: ui.copied ?? "Copy",
    excerpt: it.excerpt && (data.excerpt?.value?.lines ?? []).slice(-6), logOf: s.progress?.transaction ?? s.last_result?.transaction,
    unsigned: s.signed === false, foot: `pikit-updater ${s.updater?.version ?? ""}`,
  };
}

function part(d, rows, none) {
  if (d?.problem) return { words: `${sentence(d.problem.detail)} ${sentence(d.problem.hint)}`, rows: [] };
  const made = d?.value ? rows(d.value) : [];
  return { words: d?.value ? (made.length ? "" : none) : "Loading…", rows: made };
}

function drift(s, d, t) {
  const { listed, edited = [], missing = [], config_edited: yours = [] } = d?.value ?? {};
  const files = [...edited.map((f) => [f, "edited"]), ...missing.map((f) => [f, "missing"])];
  const words = d?.problem ? part(d).words
    : d?.value ? `${listed - files.length} of ${count(listed, "file")} match${[[edited, "edited"], [missing, "missing"]].map(([l, w]) => (l.length ? `, ${l.length} ${w}` : "")).join("")}.${yours.length ? ` Config that you edited is left alone: ${yours.join(", ")}.` : ""}`
    : s.last_verify ? `${s.drift ? `${count(s.drift, "file")} differed` : "All files matched"}, ${age(s.last_verify, t)}.` : "Not compared yet.";
  return { words, files, repair: d?.value ? files.length > 0 : s.drift > 0, wait: d?.wait };
}

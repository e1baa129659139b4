// What the board said becomes what is shown. Pure: no page, no network, no clock of its own; every word of the UI is decided here
// (what the network itself has to say is in api.js). `reduce` takes what happened, `screen` says what to draw, `wants` what to do.
// Text between backticks is something to type.

const DISRUPTIVE = ["switching", "restarting", "trial", "rolling-back"];
const CHANGES = ["apply", "apply-anyway", "rollback", "repair"];
// Every wait ends in words. Milliseconds.
export const LIMITS = { first: 8e3, gone: 90e3, pending: 30e3, still: 180e3, lost: 15e3, ping: 3e3, quiet: 10e3, idle: 300e3 };

export const fresh = () => ({
  status: null, heard: 0, skew: 0, old: false, began: 0, link: "new", down: 0, trouble: null, home: null, ping: null, acting: null, problem: null,
  watch: null, points: [], moved: 0, back: false, done: null, ui: {}, data: {},
});

// ---- what happened

export function reduce(m, e) {
  switch (e.type) {
    case "start": return { ...m, began: e.at, ...(e.saved?.status && { status: e.saved.status, old: true, skew: Date.parse(e.saved.status.now) - e.saved.at }), watch: e.saved?.watch ?? null };
    case "status": return heard(m, e.status, e.at);
    case "event": return event(m, e);
    case "link": return lost(m, e);
    case "ping": return pinged(m, e);
    case "ask": return { ...m, acting: { id: e.id, at: e.at, body: e.body }, problem: null, done: null, ui: { ...m.ui, confirm: false } };
    case "answer": return answered(m, e);
    case "problem": return { ...m, acting: null, problem: { ...e.problem, of: e.id, at: e.at } };
    case "ui": return { ...m, ui: { ...m.ui, ...e.ui }, ...(e.ui.said === null && { problem: null, done: null }) };
    case "data": return { ...m, data: { ...m.data, [e.name]: e.value } };
    default: return m;
  }
}

const over = (s) => !s.progress && !s.pending;
const working = (s) => s.progress || (CHANGES.includes(s.pending?.action) && s.pending);

function heard(m, status, at) {
  const was = m.status;
  const now = Date.parse(status.now);
  let next = { ...m, status, heard: at, old: false, link: "up", down: 0, trouble: null, skew: now ? now - at : 0 };
  if (m.home?.current === undefined) next.home = { ...m.home, current: status.current, mid: DISRUPTIVE.includes(status.progress?.phase) };
  next = moved(next, was?.progress, at);
  next.watch = watched(next, at);
  if (was?.last_result?.transaction !== status.last_result?.transaction) next.data = { ...next.data, history: null, verify: null, excerpt: null };
  if (was?.available?.manifest_sha256 !== status.available?.manifest_sha256 || was?.current !== status.current) next.data = { ...next.data, plan: null };
  return settle(next);
}

// A run that is seen is watched to its end, also over a reload, so that its end can be told.
function watched(m, at) {
  const { status: s } = m;
  const run = working(s);
  let w = m.watch;
  if (run && (!w || w.done || (s.progress && w.transaction !== run.transaction)))
    w = { ...(w && !w.done ? w : { at, before: s.last_result?.transaction ?? null, action: s.pending?.action }), transaction: run.transaction };
  if (!w || w.done) return w;
  if (DISRUPTIVE.includes(s.progress?.phase)) return { ...w, away: w.away ?? at, idle: 0 };
  if (!over(s)) return { ...w, idle: 0 };
  const result = s.last_result?.transaction === w.transaction || (s.last_result?.transaction ?? null) !== w.before;
  const answer = s.last_request?.transaction === w.transaction;
  return result || answer ? { ...w, done: true, how: result ? "result" : "request" } : { ...w, idle: w.idle || at };
}

// The page is reloaded when what it shows was replaced, once the run is over; or when the board itself was started anew.
function settle(m) {
  const { status: s, watch: w, home, ping } = m;
  if (!w || !home || m.link !== "up") return m;
  const rebooted = ping && home.boot_id && ping.boot_id !== home.boot_id;
  const replaced = over(s) && w.done && (s.current !== home.current || home.mid || (home.version && ping?.version && ping.version !== home.version));
  return rebooted || replaced ? { ...m, back: true } : m;
}

function moved(m, was, at) {
  const p = m.status.progress;
  if (!p) return { ...m, points: [], moved: at };
  const same = was && was.phase === p.phase && was.transaction === p.transaction && p.bytes_done >= was.bytes_done;
  if (same && was.bytes_done === p.bytes_done) return m;
  const points = [...(same ? m.points : []), { at, done: p.bytes_done }].filter((x) => at - x.at < 8e3);
  return { ...m, points, moved: at };
}

function event(m, { name, data, at }) {
  if (name === "state") return heard(m, data, at);
  const s = m.status;
  if (!s || !data) return m;
  const base = { phase: "checking", percent: 0, bytes_done: 0, bytes_total: 0, message: "", started: s.now };
  const p = s.progress?.transaction === data.transaction ? s.progress : { ...base, transaction: data.transaction };
  const next =
    name === "begun" ? { ...s, pending: null, progress: p }
    : name === "phase" ? { ...s, pending: null, progress: { ...p, phase: data.phase, percent: data.percent ?? p.percent, message: data.message, ...(data.phase !== p.phase && { bytes_done: 0, bytes_total: 0 }) } }
    : name === "progress" ? { ...s, pending: null, progress: { ...p, ...data } }
    : name !== "result" ? s
    : data.at ? { ...s, progress: null, pending: null, last_result: data, ...(data.outcome === "confirmed" && { current: data.to }) }
    : { ...s, progress: null, pending: null, last_request: { transaction: data.transaction, action: data.action, at: s.now, ok: false, error: { code: data.code, message: data.reason, hint: data.hint } } };
  // the board's clock went on as ours did
  return heard(m, { ...next, now: new Date(at + m.skew).toISOString() }, at);
}

function lost(m, { link, problem, at }) {
  if (link === "login") return { ...fresh(), began: m.began, home: m.home, link, heard: at, problem: m.acting?.id === "login" ? m.problem : null, ui: { open: m.ui.open } };
  return { ...m, link: "down", down: m.down || at, trouble: problem };
}

function pinged(m, { ping }) {
  const home = m.home?.boot_id ? m.home : { ...m.home, boot_id: ping.boot_id, version: ping.version };
  return settle({ ...m, ping, home });
}

const DONE = { login: "", check: "", skip: "Skipped. It is not offered again, and automatic mode passes over it.", unskip: "It is offered again.", auto: "Saved." };

function answered(m, { id, data, at }) {
  const { body } = m.acting ?? {};
  let next = { ...m, acting: null, done: DONE[id] || null };
  if (data?.transaction) {
    const action = id === "anyway" ? "apply" : id === "install" ? "apply" : id;
    const to = action === "rollback" ? m.status?.rollback_to?.version ?? null : action === "repair" ? m.status?.current : body?.version;
    next.watch = { transaction: data.transaction, action, to, at, mine: true, before: m.status?.last_result?.transaction ?? null };
    if (next.status && over(next.status)) next.status = { ...next.status, pending: { transaction: data.transaction, action } };
    next.moved = at;
  } else if (data?.updater || data?.schema) {
    next = { ...heard(next, data, at), acting: null };
    if (id === "check" && data.update_available === false && !data.last_check_error) next.done = "Checked just now.";
  }
  return next;
}

// ---- what to do

export function wants(m, now) {
  const run = m.status && working(m.status);
  const watch = m.watch && !m.watch.done;
  const shaky = (run || watch) && (m.link === "down" || DISRUPTIVE.includes(m.status?.progress?.phase));
  return {
    reload: m.back,
    ping: !m.home?.boot_id || shaky || (m.watch?.done && m.ping === null) ? LIMITS.ping : 0,
    refresh: m.link === "login" ? 0 : m.link !== "up" ? (run || now - m.down < LIMITS.gone ? 3e3 : 10e3) : run || watch || m.status?.busy ? LIMITS.quiet : LIMITS.idle,
  };
}

// What a reload must not forget.
export const remember = (m) => (m.status && m.link !== "login" ? { status: m.status, at: m.heard, watch: m.watch, open: !!m.ui.open } : null);

// ---- words

const cut = (n) => (n < 10 ? n.toFixed(1) : String(Math.round(n)));
export function bytes(n) {
  if (n < 1e3) return n === 1 ? "1 byte" : `${n} bytes`;
  const step = n < 1e6 ? 0 : n < 1e9 ? 1 : 2;
  return `${cut(n / 1e3 ** (step + 1))} ${["kB", "MB", "GB"][step]}`;
}
export function span(s) {
  if (s < 1) return "less than a second";
  if (s < 90) return `${Math.round(s)} s`;
  return s < 5400 ? `${Math.round(s / 60)} min` : `${cut(s / 3600)} h`;
}
export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
const name = (v) => v ?? "what was there before";
const unit = (u) => u.replace(/\.service$/, "");
const list = (items) => (items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`);

/// The updater's messages begin small and end without a full stop; here they stand as sentences.
export function sentence(text) {
  const t = String(text ?? "").trim().replace(/^(.*?)(https?:\/\/\S+): (HTTP \d+)/, "$1$3 from $2");
  if (!t) return "";
  const first = /^[a-z]+[ ,;]/.test(t) ? t[0].toUpperCase() + t.slice(1) : t;
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

const AGES = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [2592000, "day", 86400]];
export function age(iso, t) {
  const s = (Date.parse(iso) - t) / 1000;
  if (!Number.isFinite(s)) return "never";
  if (Math.abs(s) < 45) return s > 5 ? "in a moment" : "just now";
  const row = AGES.find(([below]) => Math.abs(s) < below);
  return row ? new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(s / row[2]), row[1]) : date(iso, t);
}
/// A day in the browser's own way of writing it; the year only when it is another one.
export function date(iso, t, locale) {
  const d = new Date(iso);
  if (Number.isNaN(+d)) return "";
  const year = d.getFullYear() === new Date(t).getFullYear() ? {} : { year: "numeric" };
  return new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", ...year }).format(d);
}
export const clock = (iso, t, locale) => `${date(iso, t, locale)}, ${new Intl.DateTimeFormat(locale, { timeStyle: "short" }).format(new Date(iso))}`;

const PHASE = {
  checking: () => "Asking the release server", planning: () => "Comparing with what is installed", downloading: (v) => `Downloading${v}`,
  verifying: () => "Checking what was downloaded", staging: () => "Preparing the new version beside the old one", switching: () => "Switching over",
  restarting: () => "Restarting services", trial: (v) => `Watching whether${v || " it"} is healthy`, confirming: () => "Finishing",
  "rolling-back": () => "Going back to the version before",
};
const STARTING = { apply: "Starting the update", "apply-anyway": "Starting the update", rollback: "Starting to go back", repair: "Starting the repair" };

/// Sizes, speed and time left of what is moving.
function figures(m, p) {
  if (!p.bytes_done && !p.bytes_total) return "";
  const parts = [p.bytes_total ? `${bytes(p.bytes_done)} of ${bytes(p.bytes_total)}` : bytes(p.bytes_done)];
  const [a, b] = [m.points[0], m.points.at(-1)];
  const speed = b && b.at - a.at > 700 ? ((b.done - a.done) / (b.at - a.at)) * 1000 : 0;
  if (speed >= 1 && p.bytes_done !== p.bytes_total) {
    parts.push(`${bytes(Math.round(speed))}/s`);
    if (p.bytes_total > p.bytes_done) parts.push(`${span((p.bytes_total - p.bytes_done) / speed)} left`);
  }
  return parts.join(" · ");
}

/// What an install would do, in a few phrases.
export function plan(a, detail) {
  const c = detail?.counts ?? a.plan ?? {};
  const files = [
    c.changed && `${count(c.changed, "file")} ${c.changed === 1 ? "changes" : "change"}`, c.added && `${c.added} new`, c.removed && `${c.removed} removed`,
    c.kept && `${c.kept} ${c.kept === 1 ? "stays" : "stay"}`,
  ].filter(Boolean).join(", ");
  const restart = detail ? detail.restart : a.services ?? [];
  const units = [restart?.length && `restarts ${list(restart.map(unit))}`, detail?.reload?.length && `reloads ${list(detail.reload.map(unit))}`].filter(Boolean);
  const off = detail?.expected_offline_seconds ?? a.expected_offline_seconds;
  const lines = [[files, ...units, off != null ? `about ${span(off)} offline` : units.length ? "offline while it restarts" : ""].filter(Boolean).join("; ")];
  if (c.config_kept) lines.push(`${count(c.config_kept, "config file")} that you edited ${c.config_kept === 1 ? "stays as it is" : "stay as they are"}`);
  if (c.drifted > (c.config_kept ?? 0)) lines.push(`${count(c.drifted - (c.config_kept ?? 0), "edited or missing file")} will be replaced; what you edited goes into the backup`);
  return lines.filter(Boolean).map((l) => `${sentence(l[0].toUpperCase() + l.slice(1))}`);
}

const ACTION = { apply: "Update", rollback: "Return", repair: "Repair" };
const OUTCOME = { confirmed: "done", "rolled-back": "rolled back", refused: "refused", failed: "failed", cancelled: "cancelled", "up-to-date": "nothing to do" };

/// One line of the history.
export function row(r, t, locale) {
  const what = r.action === "repair" ? `Repair of ${name(r.to)}` : `${ACTION[r.action] ?? r.action} ${r.from ? `${r.from} → ` : "to "}${name(r.to)}`;
  const cost = [r.seconds >= 1 && `took ${span(r.seconds)}`, r.offline_seconds > 0 && `${span(r.offline_seconds)} offline`].filter(Boolean).join(", ");
  const good = r.outcome === "confirmed" || r.outcome === "up-to-date";
  return { key: r.transaction, what, outcome: OUTCOME[r.outcome] ?? r.outcome, tone: good ? "good" : r.outcome === "cancelled" ? "" : "bad", when: clock(r.at, t, locale), cost, reason: good ? "" : sentence(r.reason) };
}

// Where a run that failed leaves the board: said only where it is certain.
const unchanged = (s) => `Nothing was changed${s.current ? `: ${s.current} is installed as before` : ""}.`;
const SSH = "Over SSH, type";

/// The one thing that matters now: chip, headline, what it means, what can be done.
function scene(m, now, t) {
  const s = m.status;
  const a = s?.available;
  const say = (kind, tone, chip, title, lines, more) => ({ kind, tone, chip, title, lines: lines.flat().filter(Boolean), buttons: [], type: [], ...more });
  const away = m.down && now - m.down > LIMITS.gone;

  if (m.link === "login")
    return say("login", "warn", "Login needed", "Log in to see updates", ["The board asks for its token once in each browser. Over SSH, `sudo pikit-updater token` shows it."], { form: true });
  if (m.back) return say("back", "good", "Restarted", "It is back", ["Loading the page anew."], { wait: true });

  const run = s && working(s);
  if (run || (s && m.watch && !m.watch.done)) return running(m, now, t, say, run, away);

  if (m.link === "down" || (m.link === "new" && !s)) {
    if (m.link === "new" && now - m.began < LIMITS.first) return say("new", "", "…", "Asking the board", [], { wait: true });
    const late = m.link === "new" || away;
    return say("board-away", "warn", "Offline", "The board does not answer", [
      m.trouble?.detail ? sentence(m.trouble.detail) : "", m.trouble?.hint ? sentence(m.trouble.hint) : "",
      late ? `No answer for ${span((now - (m.down || m.began)) / 1000)}. Is it switched on, and on this network? This page goes on trying. ${SSH}:` : "This page tries again by itself.",
    ], { type: late ? ["systemctl status pikit-update-api.socket pikit-update-api.service"] : [], buttons: ["retry"] });
  }

  if (s.interrupted)
    return say("interrupted", "bad", "Interrupted", "An update was interrupted", [
      "Most likely the power was cut, or the updater was stopped. Nothing is lost: it can be settled at any time, and the dashboard is then wholly the old version or wholly the new one.", `${SSH}:`,
    ], { type: ["sudo pikit-updater recover"] });

  if (m.acting?.id === "check" || s.pending?.action === "check" || /\bcheck\b/.test(s.busy?.command ?? ""))
    return say("checking", "", "Checking…", "Checking for updates", [`Asking the release server${m.acting ? ` for ${span(Math.max(1, (now - m.acting.at) / 1000))}` : ""}. This ends by itself, at the latest after two minutes.`], { wait: true });
  if (s.busy || s.pending)
    return say("busy", "", "Busy", s.busy ? "Somebody is updating over SSH" : "The board is working on a request", [
      s.busy ? `${s.busy.command ? `\`pikit-updater ${s.busy.command}\`` : "Another run"} has been at work since ${clock(s.busy.since, t)}${s.busy.since ? ` (${age(s.busy.since, t)})` : ""}. It may also be the timer. Wait for its end: this page notices it.` : "",
      `If it takes longer than you expect, \`pikit-updater status\` says what it does.`,
    ], { wait: true });

  const r = s.last_result;
  const q = s.last_request;
  const w = m.watch;
  const just = w?.done && w.how === "result" && r;
  const install = a && s.update_available && !a.blocked?.length;
  const again = a && s.quarantined?.some((x) => x.version === a.version);

  if (r?.code === 7 || (w?.done && q?.error?.code === 7) || (q && !q.ok && q.error?.code === 7 && Date.parse(q.at) >= Date.parse(r?.at ?? 0)))
    return say("person-needed", "bad", "Needs you", "This needs a person", [
      sentence(q?.error?.code === 7 ? q.error.message : r.reason), q?.error?.code === 7 ? sentence(q.error.hint) : "Nothing was deleted: both versions are still on the card.", `${SSH}:`,
    ], { type: ["sudo pikit-updater status", "sudo pikit-updater recover"], log: r?.transaction });

  if (just && r.outcome === "confirmed") {
    // the claim is made from what is installed, not from what was wished for
    if (s.current !== r.to)
      return say("mismatch", "bad", "Update failed", `The run ended well, but ${s.current ?? "no release"} is installed`, [`It was meant to be ${name(r.to)}. ${SSH}:`], { type: ["sudo pikit-updater status", "sudo pikit-updater verify"], log: r.transaction, buttons: ["check"] });
    const title = { rollback: `Returned to ${name(r.to)}`, repair: "Repaired" }[r.action] ?? `Updated to ${name(r.to)}`;
    return say("confirmed", "good", install ? "Update available" : "Up to date", title, [
      `It is running and passed its health checks.${r.offline_seconds > 0 ? ` Services were away for ${span(r.offline_seconds)}.` : ""}`,
      install ? `${a.version} can be installed.` : "",
    ], { buttons: [install && "install", "check"], log: r.transaction, offer: install });
  }
  if (w?.done && w.how === "request" && q?.ok)
    return say("nothing", "good", install ? "Update available" : "Up to date", "Nothing had to be done", [`${s.current ?? "No release"} is installed.`], { buttons: [install && "install", "check"], offer: install });

  const failed = q && !q.ok && CHANGES.includes(q.action) && (w?.done || !(Date.parse(s.last_check) > Date.parse(q.at))) && !(Date.parse(r?.at) > Date.parse(q.at)) && q;
  if (failed) {
    const e = failed.error ?? {};
    const full = /space/.test(e.message ?? "");
    return say(full ? "disk-full" : "failed", "bad", "Update failed", full ? "There is not enough space on the card" : failed.action === "rollback" ? "Could not go back" : failed.action === "repair" ? "Could not repair" : `${a?.version ?? "The update"} was not installed`, [
      sentence(e.message), sentence(e.hint), [3, 4, 5, 8, 9, 10].includes(e.code) ? unchanged(s) : "",
    ], { buttons: [install && "install", again && "anyway", "check"], offer: install || again });
  }

  const current = r && (!install || a.version === r.to);
  if (r?.outcome === "rolled-back" && current) {
    const dead = s.quarantined?.some((x) => x.version === r.to);
    return say("rolled-back", "bad", "Rolled back", s.current === r.from ? `Rolled back to ${name(r.from)}` : "Rolled back", [
      `${sentence(r.reason)} ${dead ? "It will not be tried again." : ""}`, `The dashboard is as it was before. A newer version will be offered when there is one.`,
    ], { buttons: ["check", again && "anyway"], log: r.transaction, excerpt: true, offer: again });
  }
  if (["failed", "refused", "cancelled"].includes(r?.outcome) && current && (just || (r.outcome !== "cancelled" && !(Date.parse(s.last_check) > Date.parse(r.at))))) {
    const full = /space/.test(r.reason ?? "");
    return say(full ? "disk-full" : "failed", r.outcome === "cancelled" ? "warn" : "bad", "Update failed", full ? "There is not enough space on the card" : r.outcome === "cancelled" ? "Stopped before anything changed" : r.action === "rollback" ? "Could not go back" : r.action === "repair" ? "Could not repair" : `${name(r.to)} was not installed`, [
      sentence(r.reason), unchanged(s), full ? "Free some space there, then install again: what was downloaded is kept." : "Installing again goes on from what was downloaded.",
    ], { buttons: [install && "install", "check"], log: r.transaction, excerpt: !full, offer: install });
  }

  if (s.last_check_error && !install) {
    const code = q?.action === "check" && !q.ok ? q.error?.code : 0;
    if (code === 4 || /sign|trust/.test(s.last_check_error))
      return say("unsigned", "bad", "Update refused", "The release is not signed by a key this board trusts", [
        sentence(s.last_check_error), (code && sentence(q.error.hint)) || "Ask whoever publishes it. The keys this board trusts are in `/etc/pikit/keys`; to take a new one, put it there.", unchanged(s),
      ], { buttons: ["check"] });
    return say("offline", "warn", "Offline", "The release server cannot be reached", [
      sentence(s.last_check_error), `The dashboard works as before${s.last_check ? `; the last check that worked was ${age(s.last_check, t)}` : ""}.`,
      (code && sentence(q.error.hint)) || "Is the board online? `pikit-updater doctor` looks at everything an update needs.",
    ], { buttons: ["check"] });
  }

  if (a && again && !install)
    return say("quarantined", "warn", `${a.version} held back`, `${a.version} failed here before`, [
      sentence(s.quarantined.find((x) => x.version === a.version)?.reason), `It is not tried again by itself. ${s.current ?? "No release"} stays until there is a newer version.`,
    ], { buttons: ["check", "anyway"], offer: true });
  if (a?.blocked?.length) {
    const why = a.blocked.join("; ");
    const full = /space/.test(why);
    return say(full ? "disk-full" : "blocked", "warn", "Update blocked", full ? `There is not enough space for ${a.version}` : `${a.version} cannot be installed here`, [
      sentence(why), full ? "Free some space there, then check again." : /read-only/.test(why) ? "A card that fails goes read-only by itself: `dmesg | tail` tells more." : "`pikit-updater apply --dry-run` tells more.", unchanged(s),
    ], { buttons: ["check"], offer: true });
  }
  if (install) {
    const facts = [a.released && `Released ${date(a.released, t)}`, a.download_bytes === 0 ? "nothing to download" : a.download_bytes && `${bytes(a.download_bytes)} to download`].filter(Boolean).join(" · ");
    const stale = s.last_check_error ? `The last check failed: ${sentence(s.last_check_error)}` : "";
    if (s.skipped?.includes(a.version))
      return say("skipped", "", `${a.version} skipped`, `${a.version} is skipped`, [facts, "Automatic mode passes over it. You can still install it."], { buttons: ["unskip", "install", "check"], offer: true });
    return say(s.current ? "available" : "first-install", "news", "Update available", s.current ? `${s.current} → ${a.version}` : `Install ${a.version}`, [facts, s.current ? "" : "No release is installed yet. What lies there now is backed up first.", stale], { buttons: ["install", "check", "skip"], offer: true });
  }
  if (!s.current) return say("none", "warn", "No release", "No release is installed yet", [s.last_check ? "The release server offers nothing for this board." : "Check to see what there is."], { buttons: ["check"] });
  if (s.drift > 0)
    return say("drift", "warn", `${count(s.drift, "file")} ${s.drift === 1 ? "differs" : "differ"}`, `${s.current}, with ${count(s.drift, "edited or missing file")}`, ["Somebody or the card changed what was installed. *Repair* below puts it back."], { buttons: ["check"] });
  if (!s.last_check) return say("unchecked", "", "Not checked yet", `${s.current} is installed`, ["Nobody has looked for a newer version yet."], { buttons: ["check"] });
  if (s.latest && s.latest !== s.current && !a && s.skipped?.includes(s.latest)) return say("skipped", "", `${s.latest} skipped`, `${s.current} is installed`, [`${s.latest} is skipped.`], { buttons: ["check"] });
  return say("up-to-date", "good", "Up to date", "Up to date", [`${s.current} is the newest version.`], { buttons: ["check"] });
}

function running(m, now, t, say, run, away) {
  const { status: s, watch: w } = m;
  const p = s.progress;
  const target = w?.to ? ` ${w.to}` : "";
  if (!run && m.link !== "down") {
    if (now - (w.idle || now) < LIMITS.lost) return say("ending", "", "Finishing…", "Finishing", ["Waiting for the board to say how it ended."], { wait: true });
    return say("lost", "warn", "Ended", "The run ended, and how is not known", [`The board works on nothing now, and ${s.current ?? "no release"} is installed. Over SSH, type:`], { type: ["pikit-updater history", "pikit-updater log"], buttons: ["check"] });
  }
  if (m.link === "down" && away)
    return say("gone", "bad", "Offline", "The board has not come back", [
      `No answer for ${span((now - m.down) / 1000)}. If it is only slow, this page notices when it is back; the update ends or undoes itself without this page. ${SSH}:`,
    ], { type: ["sudo pikit-updater status", "sudo pikit-updater rollback"], overlay: true });
  const chip = p ? `Updating ${p.percent} %` : "Updating…";
  const free = "You can close this page: the work goes on without it.";
  if (m.link === "down" || DISRUPTIVE.includes(p?.phase)) {
    const since = Math.max(0, Math.round((now - (m.link === "down" ? Math.min(m.down, w?.away ?? m.down) : w?.away ?? now)) / 1000));
    const title = m.link === "down" ? "Waiting for the board to come back" : PHASE[p.phase](target);
    const lines = [m.link === "down" ? "Services restart; this page reloads by itself." : p.phase === "rolling-back" ? sentence(p.message) : p.phase === "trial" ? "It has to pass its health checks, otherwise the old version comes back by itself. This can take two minutes." : "The dashboard may be away for a moment.", free];
    if (since > LIMITS.still / 1000) lines.push("This takes longer than usual. Over SSH, `pikit-updater status` says what is going on.");
    return say("restarting", "", m.link === "down" ? "Restarting…" : chip, title, lines, { overlay: true, seconds: since, bar: p && bar(m, p) });
  }
  if (!p) {
    const late = now - w.at > LIMITS.pending;
    return say("pending", late ? "warn" : "", "Updating…", late ? "The board has not begun" : STARTING[s.pending?.action] ?? "Starting", late
      ? [`It was asked ${span((now - w.at) / 1000)} ago. ${SSH}:`] : ["The request is with the board."], { type: late ? ["systemctl status pikit-update-apply.path pikit-update-apply.service", "sudo pikit-updater status"] : [], wait: !late });
  }
  const still = now - m.moved > LIMITS.still;
  return say(p.phase, "", chip, (PHASE[p.phase] ?? (() => p.phase))(target), [
    still ? `Nothing has moved for ${span((now - m.moved) / 1000)}. Before the switch a run can be stopped and begun again without harm. Over SSH, \`pikit-updater status\` says what is going on.` : "",
    w && !w.mine ? "Begun elsewhere: over SSH, by the timer or in another browser." : "", free,
  ], { bar: bar(m, p), log: p.transaction });
}

const bar = (m, p) => ({ percent: Math.min(100, Math.max(0, p.percent)), words: figures(m, p), message: sentence(p.message) });

const BUTTON = { check: "Check", install: "Download & Install", anyway: "Try again anyway", skip: "Skip this version", unskip: "Do not skip", retry: "Try again now" };

/// All of it. `now` is the browser's clock, ages go by the board's.
export function screen(m, now, locale) {
  const t = now + m.skew;
  const s = m.status;
  const it = scene(m, now, t);
  const bare = !s || it.overlay || ["login", "back", "new"].includes(it.kind);
  const chip = /^Updat/.test(it.chip) ? it.chip : `Updates: ${it.chip}`;
  const quarter = it.bar ? Math.floor(it.bar.percent / 25) * 25 : 0;
  const out = {
    ...it, chip, product: s?.product ?? "", old: m.old, busy: !!m.acting,
    live: `${it.title}${quarter ? `, ${quarter} %` : ""}`, quiet: !(it.bar || it.overlay || m.watch), // a chip that only rests is not announced
    buttons: it.buttons.filter(Boolean).map((id) => ({ id, words: m.acting?.id === id ? "One moment…" : BUTTON[id], main: id === "install" || (id === "retry"), force: id === "anyway" })),
    problem: m.problem && { title: sentence(m.problem.detail), hint: sentence(m.problem.hint), of: m.problem.of }, done: m.done,
  };
  if (bare) return out;
  const a = it.offer ? s.available : null;
  const idle = !it.bar && !it.wait && !m.acting && m.link === "up" && !s.interrupted && !["pending", "lost"].includes(it.kind);
  const back = s.rollback_to;
  const backTo = back && `${back.version ?? "what was there before"}${back.at ? ` of ${date(back.at, t, locale)}` : ""}`;
  const v = m.data.verify;
  return {
    ...out, idle,
    notes: a && { version: a.version, text: a.notes || "No release notes came with this version.", link: /^https?:/.test(a.changelog ?? "") ? a.changelog : null,
      earlier: (a.earlier ?? []).map((e) => ({ title: `${e.version}${e.released ? ` · ${date(e.released, t, locale)}` : ""}`, text: e.notes || "No release notes came with this version.", key: e.version })) },
    plan: a && plan(a, m.data.plan?.value),
    files: a && m.ui.files && (m.data.plan?.value?.files ?? []).filter((f) => f.change !== "keep").map((f) => ({ path: f.path, what: { add: "new", replace: "changes", remove: "goes", "keep-edited": "yours, kept" }[f.change] ?? f.change })),
    facts: [
      ["Installed", s.current ?? "no release yet"],
      ["Last checked", s.last_check ? age(s.last_check, t) : "never"],
      ["Next check", s.auto?.mode === "off" ? "only when you ask" : !s.auto?.timer ? "not by itself: no timer is set up" : s.auto.next ? clock(s.auto.next, t, locale) : "not known"],
    ],
    back: back && { words: `Return to ${backTo}`, ask: m.ui.confirm && `Go back to ${backTo}? ${s.current ?? "The version now"} is then skipped until you say otherwise. No network is needed.` },
    auto: { mode: s.auto?.mode ?? "check", at: s.auto?.at ?? "04:20", words: autoWords(s) },
    drift: drift(s, v, t),
    history: m.ui.history && listing(m.data.history, (d) => (d.history ?? []).map((r) => row(r, t, locale)), "Nothing has happened yet."),
    log: m.ui.log && { ...listing(m.data.log, (d) => d.lines ?? [], "The log is empty."), of: m.ui.log },
    excerpt: it.excerpt ? (m.data.excerpt?.value?.lines ?? []).slice(-8) : null,
    logOf: it.log ?? s.last_result?.transaction,
    signed: s.signed !== false,
    foot: `pikit-updater ${s.updater?.version ?? s.api?.version ?? ""}`,
    replaced: m.home?.current !== undefined && s.current !== m.home.current && !m.watch ? `${s.current} was installed while this page was open.` : null,
  };
}

function listing(d, rows, none) {
  if (!d) return { words: "Loading…", rows: [] };
  if (d.problem) return { words: `${sentence(d.problem.detail)} ${sentence(d.problem.hint)}`, rows: [] };
  const made = rows(d.value);
  return { words: made.length ? "" : none, rows: made };
}

function autoWords(s) {
  const { mode, at, timer } = s.auto ?? {};
  const words = mode === "off" ? "Nothing happens by itself." : mode === "install" ? `Every day around ${at} a new version is installed if there is one, and takes itself back if it turns out sick.` : `Every day around ${at} the board looks for a new version and says so here. It installs nothing by itself.`;
  return mode !== "off" && timer === false ? `${words} But no timer is there to do it: \`sudo pikit-updater auto ${mode}\` sets it up.` : words;
}

function drift(s, v, t) {
  if (v?.problem) return { words: `${sentence(v.problem.detail)} ${sentence(v.problem.hint)}`, files: [], repair: false };
  const seen = v?.value;
  if (!seen) {
    const words = s.drift == null ? "Not compared yet." : s.drift ? `${count(s.drift, "file")} ${s.drift === 1 ? "differs" : "differ"} from what was installed.` : "All files were as installed.";
    return { words: `${words}${s.last_verify ? ` Last compared ${age(s.last_verify, t)}.` : ""}`, files: [], repair: s.drift > 0, loading: v === 0 };
  }
  const off = [[seen.edited, "edited"], [seen.missing, "missing"]].filter(([l]) => l?.length);
  const gone = off.reduce((n, [l]) => n + l.length, 0);
  const kept = seen.config_edited?.length;
  const words = `${seen.listed - gone} of ${count(seen.listed, "file")} match${off.map(([l, w]) => `, ${l.length} ${w}`).join("")}.${kept ? ` ${count(kept, "config file")} that you edited ${kept === 1 ? "is" : "are"} left alone.` : ""}`;
  return { words, files: off.flatMap(([l, w]) => l.map((path) => ({ path, what: w }))), repair: gone > 0 };
}

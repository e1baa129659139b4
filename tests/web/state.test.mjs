// What the UI says, without a browser: from a state and what happens to it, to words.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { parse } from "../../web/markdown.js";
import { LIMITS, bytes, date, fresh, plan, reduce, remember, row, screen, sentence, span, wants } from "../../web/state.js";
import { MOCK, WEB, names, state } from "./mock-server.mjs";

// dates as a browser in Britain writes them, whoever runs this
const plain = Date.prototype.toLocaleString;
Date.prototype.toLocaleString = function (locale, options) {
  return plain.call(this, locale ?? "en-GB", { timeZone: "UTC", ...options });
};

const T = Date.parse("2026-11-21T10:00:00Z");
const start = (saved) => reduce(fresh(), { type: "start", at: T, saved });
const hear = (m, status, at = T) => reduce(m, { type: "status", status: typeof status === "string" ? state(status) : status, at });
const event = (m, name, data, at = T) => reduce(m, { type: "event", name, data, at });
const down = (m, at) => reduce(m, { type: "down", at, problem: { status: 0, detail: "the board cannot be reached" } });
const ping = (m, boot_id, version) => reduce(m, { type: "ping", at: T, ping: { boot_id, version } });
const at = (name) => screen(hear(start(), name), T);
const said = (s) => [s.title, ...s.lines].join(" ");
const ids = (s) => s.buttons.map((b) => b.id);

// state: chip, headline, what must be said, buttons
const TABLE = {
  "up-to-date": ["Updates: Up to date", "Up to date", /1\.1\.0 is the newest/, ["check"]],
  available: ["Update available", "1.1.0 → 1.2.0", /20 Nov.*3\.2 MB to download/, ["install", "check", "skip"]],
  "available-at-most": ["Update available", "1.1.0 → 1.2.0", /20 Nov.*at most 574 kB to download/, ["install", "check", "skip"]],
  "available-cumulative": ["Update available", "1.0.0 → 1.2.0", /7\.1 MB/, ["install", "check", "skip"]],
  checking: ["Updates: Checking…", "Checking for updates", /release server/, []],
  pending: ["Updating…", "Starting", /has the request/, []],
  planning: ["Updating 2 %", "Comparing with what is installed", /close this page/, []],
  downloading: ["Updating 42 %", "Downloading", /close this page/, []],
  verifying: ["Updating 70 %", "Checking what was downloaded", /close this page/, []],
  staging: ["Updating 75 %", "Preparing the new version", /close this page/, []],
  switching: ["Updating 80 %", "Switching over", /away for a moment/, []],
  restarting: ["Updating 82 %", "Restarting services", /away for a moment/, []],
  trial: ["Updating 85 %", "Watching its health", /or the old version comes back/, []],
  confirming: ["Updating 97 %", "Finishing", /close this page/, []],
  "rolling-back": ["Updating 90 %", "Going back", /away for a moment/, []],
  confirmed: ["Updates: Up to date", "Up to date", /1\.2\.0 is the newest/, ["check"]],
  "rolled-back": ["Updates: Rolled back", "Rolled back to 1.1.0", /1\.2\.0 failed its health check: HTTP 503 from http:\/\/127\.0\.0\.1:8080\/ping\. It will not be tried again\./, ["check", "anyway"]],
  quarantined: ["Updates: 1.2.0 held back", "1.2.0 failed here before", /not tried again by itself/, ["check", "anyway"]],
  failed: ["Update failed", "1.2.0 was not installed", /connection reset.*Nothing was changed: 1\.1\.0/, ["install", "check"]],
  cancelled: ["Update available", "1.1.0 → 1.2.0", /3\.2 MB/, ["install", "check", "skip"]],
  offline: ["Updates: Offline", "The release server cannot be reached", /cannot resolve git\.example\.org.*Check the cable.*works as before/, ["check"]],
  "offline-available": ["Update available", "1.1.0 → 1.2.0", /The last check failed: .*cannot resolve/, ["install", "check", "skip"]],
  "blocked-disk-full": ["Update blocked", "1.2.0 cannot be installed here", /needed 48\.2 MB, free 12\.0 MB.*Free some space there.*Nothing was changed/, ["check"]],
  "failed-disk-full": ["Update failed", "There is not enough space on the card", /needed 48\.2 MB.*Free some space.*Nothing was changed/, ["install", "check"]],
  "failed-request": ["Update failed", "1.2.0 was not installed", /changed since it was consented to.*Look at the new plan/, ["install", "check"]],
  "unsigned-refused": ["Update refused", "The release is not signed by a key this board trusts", /Ask the maintainer to sign it.*Nothing was changed/, ["check"]],
  "refused-old": ["Update refused", "The offered release is refused", /an old release is passed off as new.*doctor.*Nothing was changed/, ["check"]],
  recalled: ["Updates: Recalled", "1.2.0 was taken back", /1\.1\.0 is the newest good release/, ["install", "check"]],
  "available-clock-not-set": ["Update available", "1.1.0 → 1.2.0", /clock of this board is not set/, ["install", "check", "skip"]],
  "unsigned-allowed": ["Update available", "1.1.0 → 1.2.0", /3\.2 MB/, ["install", "check", "skip"]],
  skipped: ["Updates: 1.2.0 skipped", "1.2.0 is skipped", /passes over it/, ["install", "check", "unskip"]],
  busy: ["Updates: Busy", "Somebody is updating over SSH", /`pikit-updater apply 1\.2\.0`.*09:58/, []],
  interrupted: ["Updates: Interrupted", "An update was interrupted", /Nothing is lost/, []],
  "person-needed": ["Updates: Needs you", "This needs a person", /read-only file system.*nothing was deleted/, []],
  drift: ["Updates: 4 files changed", "4 installed files changed", /Repair/, ["check"]],
  "first-install": ["Update available", "Install 1.2.0", /backed up first/, ["install", "check", "skip"]],
  "never-checked": ["Updates: Not checked yet", "1.1.0 is installed", /Press Check/, ["check"]],
  "nothing-offered": ["Updates: No release", "No release is installed yet", /offers nothing/, ["check"]],
  "rolled-back-by-hand": ["Updates: 1.1.0 skipped", "1.1.0 is skipped", /can still install/, ["install", "check", "unskip"]],
  "auto-install": ["Updates: Up to date", "Up to date", /newest/, ["check"]],
  "auto-off": ["Updates: Up to date", "Up to date", /newest/, ["check"]],
};

test("every state has its words and its next step", () => {
  assert.deepEqual(Object.keys(TABLE).sort(), names);
  for (const [name, [chip, title, words, buttons]] of Object.entries(TABLE)) {
    const s = at(name);
    assert.deepEqual([name, s.chip, s.title, ids(s)], [name, chip, title, buttons]);
    assert.match(said(s), words, name);
  }
});

test("every state file has every key of a state", () => {
  const keys = Object.keys(state("available"));
  for (const name of names) assert.deepEqual(Object.keys(state(name)), keys, name);
  assert.deepEqual(JSON.parse(readFileSync(`${MOCK}mock-update-status.json`)), state("available"));
});

test("whatever needs a hand says what to type", () => {
  assert.deepEqual(at("interrupted").type, ["sudo pikit-updater recover"]);
  assert.deepEqual(at("person-needed").type, ["sudo pikit-updater status", "sudo pikit-updater recover"]);
  assert.match(at("never-checked").auto, /no timer is there: `sudo pikit-updater auto check`/);
});

test("the plan is told before consent", () => {
  const { available } = state("available");
  assert.deepEqual(plan(available), ["4 files change, 1 new, 438 stay; restarts pikit-api; about 3 s offline."]);
  const detail = { counts: { changed: 1, kept: 1 }, restart: [], reload: ["nginx.service"], expected_offline_seconds: null };
  assert.deepEqual(plan(available, detail), ["1 file changes, 1 stays; reloads nginx; about 3 s offline."]);
  assert.deepEqual(plan(state("available-cumulative").available).slice(1), ["1 config file that you edited stays.", "1 edited file will be replaced; your copy goes into the backup."]);
  assert.match(plan(state("first-install").available)[0], /443 new; restarts pikit-api; offline while it restarts\./);
});

test("notes are cumulative, and a changelog that is no web address is no link", () => {
  assert.deepEqual(at("available-cumulative").notes.map((n) => n.title), ["1.2.0 · 20 Nov", "1.1.1 · 5 Nov", "1.1.0 · 15 Oct"]);
  const s = state("available");
  s.available.changelog = "javascript:alert(1)";
  assert.equal(screen(hear(start(), s), T).changelog, false);
});

test("the way back names its target and asks once more", () => {
  const m = hear(start(), "up-to-date");
  assert.equal(screen(m, T).back, "Return to 1.0.0 of 3 Nov");
  assert.equal(screen(m, T).sure, undefined);
  const asked = reduce(m, { type: "ui", at: T, ui: { confirm: true } });
  assert.match(screen(asked, T).sure, /Go back to 1\.0\.0 of 3 Nov\? It needs no network\. 1\.1\.0 is then skipped\./);
});

const tx = "b3k9xq7vtf7rfbmiv64kg0pqz6";
const RUN = { transaction: tx, phase: "downloading", percent: 5, bytes_done: 0, bytes_total: 3240112, message: "fetching 3.2 MB", started: "2026-11-21T09:59:41Z" };
function begun() {
  let m = hear(start(), "available");
  m = reduce(m, { type: "ask", id: "install", body: { version: "1.2.0" }, at: T });
  return reduce(m, { type: "answer", id: "install", data: { transaction: tx }, at: T });
}
const ended = (outcome, more = {}, state_ = {}) => ({
  ...state("available"), last_result: { transaction: tx, action: "apply", outcome, from: "1.1.0", to: "1.2.0", at: "2026-11-21T10:01:00Z", seconds: 31, offline_seconds: 2.1, code: 0, reason: null, ...more }, ...state_,
});

test("a run is followed: bytes, speed, time left", () => {
  let m = begun();
  assert.equal(screen(m, T).title, "Starting");
  m = event(m, "phase", { ...RUN });
  assert.equal(screen(m, T).title, "Downloading 1.2.0");
  m = event(m, "progress", { ...RUN, percent: 20, bytes_done: 1_000_000 }, T + 1000);
  m = event(m, "progress", { ...RUN, percent: 42, bytes_done: 2_000_000 }, T + 2000);
  const s = screen(m, T + 2000);
  assert.equal(s.chip, "Updating 42 %");
  assert.equal(s.bar.words, "42 % · 2.0 MB of 3.2 MB · 1.0 MB/s · 1 s left");
});

test("only phases and quarters are announced", () => {
  let m = event(begun(), "phase", RUN);
  const heard = new Set();
  for (let percent = 5; percent < 70; percent++) heard.add(screen((m = event(m, "progress", { ...RUN, percent })), T).live);
  assert.deepEqual([...heard], ["Downloading 1.2.0", "Downloading 1.2.0, 25 %", "Downloading 1.2.0, 50 %"]);
  assert.equal(screen(hear(start(), "up-to-date"), T).quiet, true);
});

test("success is claimed only when the target is what is installed", () => {
  const well = ended("confirmed", {}, { current: "1.2.0", update_available: false, available: null });
  assert.equal(screen({ ...hear(begun(), well), back: false }, T).title, "Updated to 1.2.0");
  const odd = screen(hear(begun(), { ...well, current: "1.1.0" }), T);
  assert.equal(odd.title, "1.1.0 is installed, not 1.2.0");
  assert.equal(odd.tone, "bad");
});

test("the page is loaded anew once, when what it shows was replaced", () => {
  const well = ended("confirmed", {}, { current: "1.2.0", update_available: false, available: null });
  const m = hear(begun(), well);
  assert.equal(m.back, true);
  assert.equal(screen(m, T).title, "It is back");
  // what the next page remembers tells the end, and does not reload again
  const next = hear(start(JSON.parse(JSON.stringify(remember(m)))), well);
  assert.equal(next.back, undefined);
  assert.equal(screen(next, T).title, "Updated to 1.2.0");
  assert.equal(screen(reduce(next, { type: "seen" }), T).title, "Up to date");
});

test("a rollback by itself needs no new page", () => {
  const m = hear(begun(), ended("rolled-back", { code: 6, reason: "1.2.0 failed its health check: http://x/ping: HTTP 503" }));
  assert.equal(m.back, undefined);
  assert.match(said(screen(m, T)), /Rolled back to 1\.1\.0 1\.2\.0 failed its health check: HTTP 503 from http:\/\/x\/ping\./);
});

test("a board that was started anew during a run means a new page; one that was not, does not", () => {
  let m = event(ping(begun(), "boot-1", "1.1.0"), "phase", { ...RUN, phase: "trial", percent: 85 });
  assert.equal(ping(m, "boot-1", "1.1.0").back, undefined);
  m = down(m, T);
  assert.equal(ping(m, "boot-2", "1.1.0").back, undefined);
  assert.equal(hear(ping(m, "boot-2", "1.1.0"), { ...state("available"), progress: RUN }).back, true);
  // without a run a page of somebody else is never taken away
  assert.equal(ping(ping(hear(start(), "up-to-date"), "boot-1", "1.1.0"), "boot-2", "1.2.0").back, undefined);
});

test("a page that was opened in the middle of a switch is loaded anew at the end", () => {
  const m = hear(start(), "trial");
  assert.equal(hear(m, ended("rolled-back", { code: 6, reason: "sick" })).back, true);
});

test("a board that does not come back is said after 90 seconds, with what to type", () => {
  let m = down(event(begun(), "phase", { ...RUN, phase: "restarting", percent: 82 }), T);
  assert.equal(screen(m, T + 12_000).seconds, 12);
  assert.equal(screen(m, T + 12_000).overlay, true);
  assert.equal(wants(m, T + 12_000).ping, LIMITS.ping);
  const s = screen(m, T + LIMITS.gone + 1000);
  assert.equal(s.title, "The board has not come back");
  assert.deepEqual(s.type, ["sudo pikit-updater status", "sudo pikit-updater rollback"]);
  assert.equal(wants(m, T + 1e7).ping, LIMITS.ping);
});

test("no wait is without an end", () => {
  assert.equal(screen(start(), T + 1000).title, "Asking the board");
  assert.equal(screen(start(), T + LIMITS.first + 1).title, "The board does not answer");
  assert.match(said(screen(down(hear(start(), "up-to-date"), T), T + LIMITS.gone + 1)), /No answer for 90 s|No answer for 2 min/);
  const late = screen(begun(), T + LIMITS.pending + 1);
  assert.equal(late.title, "The board has not begun");
  assert.match(late.type.join(), /systemctl status pikit-update-apply\.path/);
  const still = screen(event(begun(), "phase", RUN), T + LIMITS.still + 1);
  assert.match(said(still), /takes longer than usual/);
  const gone = hear(event(begun(), "phase", RUN), "available", T + 1000);
  assert.equal(screen(gone, T + 2000).title, "Finishing");
  const lost = screen(gone, T + 1000 + LIMITS.lost + 1);
  assert.equal(lost.title, "It is not known how the run ended");
  assert.deepEqual(lost.type, ["pikit-updater history", "pikit-updater log"]);
  const trial = screen(event(begun(), "phase", { ...RUN, phase: "trial" }), T + LIMITS.still + 1000);
  assert.match(said(trial), /takes longer than usual/);
});

test("a request that fails before it begins says why", () => {
  const s = { ...state("available"), last_request: { transaction: tx, action: "apply", at: "2026-11-21T10:00:01Z", ok: false, error: { code: 8, message: "another run holds the lock", hint: "`pikit-updater status` shows what it does" } } };
  const shown = screen(hear(begun(), s), T);
  assert.equal(shown.title, "1.2.0 was not installed");
  assert.match(said(shown), /Another run holds the lock\. `pikit-updater status` shows what it does\. Nothing was changed/);
});

test("a release that rolled back is told as that, although its request failed too", () => {
  const r = ended("rolled-back", { code: 6, reason: "1.2.0 failed its health check: http://x/ping: HTTP 503" });
  r.last_request = { transaction: "another", action: "apply", at: "2026-11-21T10:01:01Z", ok: false, error: { code: 6, message: "1.2.0 failed its health check", hint: "wait for a newer one" } };
  assert.equal(screen(hear(begun(), r), T).title, "Rolled back to 1.1.0");
});

test("a run that is cut by a power cut is told as interrupted, not waited for", () => {
  const m = hear(event(begun(), "phase", RUN), "interrupted", T + 1000);
  assert.equal(screen(m, T + 1000).title, "An update was interrupted");
  assert.equal(screen(hear(m, ended("rolled-back", { transaction: "r", code: 6, reason: "interrupted" }), T + 5000), T + 5000).title, "Rolled back to 1.1.0");
});

test("a check is no update, whatever the stream tells of it", () => {
  const m = event(hear(start(), "checking"), "phase", { ...RUN, action: "check", phase: "planning" });
  assert.equal(screen(m, T).chip, "Updates: Checking…");
});

test("what the timer looks for is no update, and its end is not waited for", () => {
  const idle = { ...state("up-to-date"), last_request: null };
  for (const command of ["auto run", "check", "request"]) {
    const busy = { ...idle, busy: { pid: 1, since: idle.now, command }, progress: { ...RUN, action: "check", phase: "checking", percent: 0 } };
    let m = hear(hear(start(), idle), busy);
    assert.equal(screen(m, T).chip, "Updates: Checking…", command);
    m = event(m, "phase", { ...RUN, phase: "planning", percent: 2 });
    assert.equal(screen(m, T).chip, "Updates: Checking…", command);
    m = event(m, "state", idle);
    assert.equal(screen(m, T + 60_000).title, "Up to date", command);
    // one that goes on is a run
    assert.equal(screen(event(hear(start(), busy), "progress", { ...RUN, action: "apply" }), T).chip, "Updating 5 %", command);
  }
});

test("who went back is told so, and not that nothing is newer", () => {
  const back = { ...state("confirmed").last_result, action: "rollback", from: "1.2.0", to: "1.1.0", at: "2026-11-21T09:59:00Z" };
  const m = hear(start(), { ...state("up-to-date"), last_check: "2026-11-21T09:00:00Z", skipped: ["1.2.0"], last_result: back });
  assert.deepEqual([screen(m, T).chip, screen(m, T).title], ["Updates: 1.2.0 skipped", "1.1.0 is installed"]);
});

test("a run whose end was never told is let go of when the dialog closes", () => {
  const m = hear(event(begun(), "phase", RUN), "available", T + 1000);
  assert.equal(screen(reduce(m, { type: "seen", at: T + 2000 }), T + 2000).title, "Finishing");
  assert.equal(screen(reduce(m, { type: "seen", at: T + 60_000 }), T + 60_000).title, "1.1.0 → 1.2.0");
});

test("an old failure goes when a later check worked; a person that is needed does not", () => {
  const later = { last_check: "2026-11-21T09:59:59Z" };
  assert.equal(screen(hear(start(), { ...state("failed"), ...later }), T).title, "1.1.0 → 1.2.0");
  assert.equal(screen(hear(start(), { ...state("person-needed"), ...later }), T).title, "This needs a person");
  assert.equal(screen(hear(start(), { ...state("rolled-back"), ...later }), T).title, "Rolled back to 1.1.0");
});

test("a newer version is offered although the last one was rolled back", () => {
  const s = { ...state("rolled-back"), update_available: true };
  s.available = { ...s.available, version: "1.2.1", blocked: [] };
  assert.equal(screen(hear(start(), s), T).title, "1.1.0 → 1.2.1");
});

test("one that nobody logged in is asked to, and nothing of before is left", () => {
  const m = reduce(hear(start(), "available"), { type: "login", at: T, problem: {} });
  const s = screen(m, T);
  assert.equal(s.chip, "Updates: Login needed");
  assert.match(said(s), /`sudo pikit-updater token`/);
  assert.equal(remember(m), null);
});

test("ages go by the board's clock", () => {
  const wrong = T + 86_400_000 * 400;
  const m = hear(start(), "up-to-date", wrong);
  assert.deepEqual(screen(m, wrong).facts[1], ["Last checked", "5 hours ago"]);
});

test("files: what matches, what does not", () => {
  const m = reduce(hear(start(), "drift"), { type: "data", name: "verify", value: { value: { listed: 442, edited: ["a", "b", "c", "d"], missing: [], config_edited: ["e"] } } });
  const { words, repair } = screen(m, T).drift;
  assert.equal(words, "438 of 442 files match, 4 edited. Config that you edited is left alone: e.");
  assert.equal(repair, true);
});

test("history tells outcomes and reasons", () => {
  const r = row({ transaction: "x", action: "apply", outcome: "rolled-back", from: "1.1.0", to: "1.2.0", at: "2026-11-12T04:25:12Z", seconds: 48.5, offline_seconds: 14.2, reason: "sick" }, T);
  assert.deepEqual([r.what, r.outcome, r.reason], ["Update 1.1.0 → 1.2.0", "rolled back", "Sick."]);
  assert.match(r.cost, /took 49 s · 14 s offline/);
});

test("figures and sentences", () => {
  assert.deepEqual([0, 1, 17, 999, 1000, 3240112, 48_200_000, 1.2e9].map(bytes), ["0 bytes", "1 byte", "17 bytes", "999 bytes", "1.0 kB", "3.2 MB", "48 MB", "1.2 GB"]);
  assert.deepEqual([0.3, 2.8, 89, 120, 7200].map(span), ["less than a second", "3 s", "89 s", "2 min", "2.0 h"]);
  assert.equal(sentence("asking https://x: no route"), "Asking https://x: no route.");
  assert.equal(sentence("/var is full"), "/var is full.");
  assert.equal(sentence(null), "");
  assert.equal(date("nonsense", T), "");
});

test("anything strange in a state is no reason to show nothing", () => {
  for (const strange of [{ available: { version: "1.2.0" }, update_available: true }, { auto: null }, { last_result: { outcome: "new-outcome", action: "new" } }, { progress: { phase: "new-phase", percent: 3 } }, { now: null }, { backups: null, skipped: null, quarantined: null }])
    assert.ok(screen(hear(start(), { ...state("up-to-date"), ...strange }), T).title, JSON.stringify(strange));
});

test("markdown becomes a tree of a few tags, and nothing hostile gets through", () => {
  assert.deepEqual(parse("# New\n\n- **a** `b`\n- _c_\n  goes on\n\n1. d\n\nsee https://x.org/y."), [
    ["h4", ["New"]], ["ul", [["li", [["strong", ["a"]], " ", ["code", ["b"]]]], ["li", [["em", ["c"]], " goes on"]]]], ["ol", [["li", ["d"]]]], ["p", ["see ", ["a", ["https://x.org/y"], "https://x.org/y"], "."]],
  ]);
  assert.deepEqual(parse("```\n<b>x</b>\n```"), [["pre", ["<b>x</b>\n"]]]);
  const hostile = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert`1`)", "[x](data:text/html,<script>1</script>)", "[x](//evil.example)", "[x](vbscript:x)",
    "![x](https://evil.example/track.png)", "[x](\tjavascript:alert(1))", "<a href=javascript:1>x</a>", "[<img src=x>](https://ok.example)", "\u0000\u202e", "[a](https://ok.example\" onclick=\"x)",
  ];
  const tags = new Set(["p", "h4", "ul", "ol", "li", "pre", "code", "strong", "em", "a"]);
  const look = (nodes) => nodes.forEach((n) => {
    if (typeof n === "string") return;
    assert.ok(tags.has(n[0]), n[0]);
    if (n[2]) assert.match(n[2], /^https?:\/\//);
    look(n[1]);
  });
  for (const text of hostile) look(parse(text));
  assert.deepEqual(parse(hostile[2]), [["p", ["x"]]].map((p) => [p[0], parse(hostile[2])[0][1]]));
  assert.ok(!JSON.stringify(parse(hostile[2])).includes('"a"'));
  for (const text of ["*".repeat(1e5), "[".repeat(1e5), "`".repeat(1e5), "- ".repeat(1e5), "https://".repeat(1e5), "_a".repeat(5e4), "[a](".repeat(2e4), "# ".repeat(5e4), "#".repeat(1e5), "# " + " #".repeat(5e4) + "x"]) {
    const before = performance.now();
    look(parse(text));
    assert.ok(performance.now() - before < 1500, text.slice(0, 10));
  }
});

test("a file on its way, found, and refused: one thing at a time", () => {
  const at = Date.parse("2026-11-21T10:00:00Z");
  const on = (m, e) => reduce(m, { at, ...e });
  let m = hear(start(), "up-to-date");
  m = on(m, { type: "file", file: { name: "x.tar.gz", size: 2000, sent: 0, found: null } });
  assert.equal(screen(m, at).title, "Sending x.tar.gz");
  m = on(m, { type: "file", file: { sent: 500 } });
  assert.deepEqual([screen(m, at).bar.percent, screen(m, at).bar.words, screen(m, at).live], [25, "500 bytes of 2.0 kB", "Sending x.tar.gz, 25 %"]);
  m = on(m, { type: "file", file: { sent: 2000 } });
  assert.equal(screen(m, at).title, "Looking at the file");
  const found = JSON.parse(readFileSync(new URL("../../mock/upload.json", import.meta.url), "utf8"));
  m = on(m, { type: "file", file: { found } });
  const s = screen(m, at);
  assert.deepEqual([s.title, s.buttons.map((b) => b.words), s.notes[0].title, s.own], ["1.1.0 → 1.2.0, from a file", ["Install", "Cancel"], "1.2.0 · 20 Nov", true]);
  const unsigned = screen(on(m, { type: "file", file: { found: { ...found, plan: { ...found.plan, signed: [] } } } }), at);
  assert.match(unsigned.lines[0], /Nobody signed it/);
  // asked for: followed like any other, and the file is done with
  m = on(m, { type: "ask", id: "installfile", body: { upload: true, require_manifest: found.plan.manifest_sha256 } });
  const begun = on(m, { type: "answer", id: "installfile", data: { transaction: "t" } });
  assert.deepEqual([begun.watch.action, begun.watch.to, begun.file, screen(begun, at).title], ["apply", "1.2.0", null, "Starting"]);
  const refused = screen(on(m, { type: "file", file: null, problem: { detail: "the file is not signed" } }), at);
  assert.deepEqual([refused.title, refused.problem], ["Up to date", ["The file is not signed.", ""]]);
});

test("all of the UI is under 22 kB, gzipped, and has no door for markup or code", () => {
  const files = readdirSync(WEB);
  const size = files.reduce((n, f) => n + gzipSync(readFileSync(WEB + f), { level: 9 }).length, 0);
  assert.ok(size < 22_000, `${size} bytes`);
  for (const f of files) {
    const text = readFileSync(WEB + f, "utf8");
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setHTML|srcdoc|createContextualFragment/, f);
    if (f.endsWith(".html")) assert.doesNotMatch(text, /<script>|<style|\sstyle=|\son[a-z]+=/, f);
  }
});

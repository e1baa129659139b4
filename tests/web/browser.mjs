// Chromium for tests: starting it, waiting without sleeping, axe, pictures, and what went wrong on a page.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SHOTS = process.env.PIKIT_SHOTS ?? fileURLToPath(new URL("../../target/web-shots/", import.meta.url));

/// Longest wait for anything, in milliseconds. It costs nothing where things work.
export const PATIENCE = 90_000;

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: "--no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(" "),
  });

/// Runs before a page: tells every word that chip and headline show, in the moment in which it stands there. A frame may come too late for that.
const tellAll = () => {
  let was = "";
  const changes = new MutationObserver(() => {
    const find = (host, path) => document.querySelector(host)?.shadowRoot?.querySelector(path)?.textContent ?? "";
    const now = `${find("pikit-update-chip", "button")} | ${find("pikit-update-dialog", "dialog[open] .hero h3")}`;
    if (now !== was) window.saw((was = now));
  });
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (init) {
    const root = attach.call(this, init);
    changes.observe(root, { subtree: true, childList: true, characterData: true, attributeFilter: ["open"] });
    return root;
  };
};

/// A page, and what is known of it. `errors`: console, exceptions, broken CSP; `expect` are patterns of those that belong to the test. `seen`: every word
/// that chip and headline have shown, over reloads. Of the document that is there now: `asking`, its requests that nothing has answered yet, streams aside;
/// `traffic`, how many began or ended; `streams`, how many times it has begun to listen.
export async function open(browser, url, { expect = [], ...options } = {}) {
  const context = await browser.newContext({ locale: "en-GB", timezoneId: "UTC", viewport: { width: 1024, height: 800 }, ...options });
  // a busy machine may take its time
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.errors = [];
  const note = (text) => expect.some((e) => e.test(text)) || page.errors.push(text);
  page.on("console", (m) => m.type() === "error" && note(m.text()));
  page.on("pageerror", (e) => note(String(e)));
  page.seen = [];
  await page.exposeFunction("saw", (text) => page.seen.push(text));
  await page.addInitScript(tellAll);
  const reset = () => Object.assign(page, { asking: new Set(), traffic: 0, streams: 0 });
  reset();
  page.on("framenavigated", (frame) => frame === page.mainFrame() && reset());
  const stream = (r) => r.url().endsWith("/events");
  const count = (what) => (r) => stream(r) || (page.asking[what](r), (page.traffic += 1));
  page.on("request", count("add"));
  for (const end of ["requestfinished", "requestfailed"]) page.on(end, count("delete"));
  page.on("response", (r) => stream(r) && r.ok() && (page.streams += 1));
  await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (e) => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI}`)));
  await page.goto(url);
  return page;
}

/// Asks until the answer is true; says what it was when time is up.
export async function until(what, ask, limit = PATIENCE) {
  const end = Date.now() + limit;
  let last;
  for (;;) {
    try {
      if ((last = await ask())) return last;
    } catch (e) {
      last = e;
    }
    if (Date.now() > end) throw new Error(`waited ${limit} ms: ${what} (last: ${last})`);
    await new Promise((again) => setTimeout(again, 25));
  }
}

/// Until the page listens: it knows what the board says.
export const live = (page) => until("a stream", () => page.streams > 0);

/// Until it is drawn.
export const frames = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

/// Until all but `held` of what the page asks for is answered (the plan, the end of the log), and drawn.
export const settled = (page, held = 0) =>
  until("all is answered", async () => {
    const before = page.traffic;
    await frames(page);
    return page.asking.size === held && page.traffic === before;
  });

/// Until the headline has said this, if only for a moment.
export const said = (page, text) =>
  until(`headline ${text}`, () => page.seen.some((all) => all.endsWith(`| ${text}`))).catch((e) => assert.fail(`${e.message}; it said: ${page.seen.join("; ")}`));

/// What axe finds, in words; an empty list is good. It looks into shadow roots by itself.
export async function axe(page) {
  // as a function of the tool, not a <script>: the page's CSP stays as it is. It is half a megabyte: documents to come bring it along, which costs least
  if (!(await page.evaluate(() => !!window.axe))) {
    await page.evaluate(AXE);
    await page.addInitScript(AXE);
  }
  const values = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const found = await page.evaluate(async (values) => {
    const { violations } = await window.axe.run(document, { runOnly: { type: "tag", values }, resultTypes: ["violations"] });
    return violations.map(({ id, nodes }) => [id, nodes.map((n) => [n.target, n.failureSummary])]);
  }, values);
  return found.flatMap(([id, nodes]) => nodes.map(([target, summary]) => `${id}: ${target.flat().join(" ")}: ${summary}`));
}

/// A picture, where somebody asked for pictures, or `always`.
export async function shot(page, name, always = false) {
  if (!process.env.PIKIT_SHOTS && !always) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png`, animations: "disabled" });
}

/// How far the page, or the inside of the dialog, is wider than its place; with the widest culprit.
export const overflow = (page) =>
  page.evaluate(() => {
    const root = document.querySelector("pikit-update-dialog")?.shadowRoot;
    const boxes = [document.documentElement, ...(root ? root.querySelectorAll("dialog, .body, section, .top") : [])];
    return boxes.filter((b) => b.scrollWidth > b.clientWidth + 1).map((b) => `${b.localName}.${b.className}: ${b.scrollWidth} > ${b.clientWidth}`);
  });

/// Runs before a page: `seen.chip` is when the chip is there, `seen.paint` the first paint. `seen.least` is what the machine needs here and now for
/// the least that the chip consists of: two files, of which the second is known from the first, and a frame.
const watch = () => {
  const seen = (window.seen = {});
  const look = () => {
    if (document.querySelector("pikit-update-chip")?.shadowRoot?.querySelector("button")?.offsetWidth) seen.chip = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  new PerformanceObserver(async (entries) => {
    const [paint] = entries.getEntriesByName("first-contentful-paint");
    if (!paint) return;
    const began = performance.now();
    const file = document.querySelector("script[src*=pikit-update]").src;
    for (let i = 0; i < 2; i++) await (await fetch(file, { cache: "no-store" })).text();
    await new Promise(requestAnimationFrame);
    Object.assign(seen, { paint: paint.startTime, least: performance.now() - began });
  }).observe({ type: "paint", buffered: true });
};

/// The chip is there within 100 ms of the first paint; where the least it consists of takes more than half of that, within twice the time that takes. The
/// best of a few loads counts: what else the machine does is not the page's.
export async function chipComesAtOnce(t, browser, url) {
  const loads = [];
  const sorted = (what) => loads.map((load) => load[what]).sort((a, b) => a - b);
  const words = (what) => sorted(what).map((ms) => ms.toFixed(0)).join(", ");
  const best = () => sorted("chip")[0];
  // one slow file says nothing about the machine: the median of some does
  const limit = () => (loads.length < 5 ? 100 : Math.max(100, 2 * sorted("least")[(loads.length - 1) >> 1]));
  do {
    const page = await browser.newPage();
    await page.addInitScript(watch);
    await page.goto(url);
    const seen = await until("the chip and a paint", () => page.evaluate(() => window.seen.chip && window.seen.least && window.seen));
    loads.push({ chip: seen.chip - seen.paint, least: seen.least });
    await page.close();
  } while (best() > limit() && loads.length < 12);
  const found = `chip after the first paint: ${words("chip")} ms; two files and a frame: ${words("least")} ms`;
  t.diagnostic(found);
  assert.ok(best() <= limit(), found);
}

/// The chip waits neither for an answer of the board nor for more than 100 ms: it is there where the board never answers and the page's clock stands
/// still after that. How fast the machine is makes no difference.
export async function chipWaitsForNothing(browser, url) {
  const page = await browser.newPage();
  await page.clock.install({ time: 0 });
  await page.clock.pauseAt(1000);
  await page.route("**/api/update/**", () => {});
  await page.goto(url);
  await page.clock.runFor(100);
  const there = () => page.evaluate(() => document.querySelector("pikit-update-chip").shadowRoot?.querySelector("button")?.offsetWidth > 0);
  await until("a chip without any answer, within 100 ms of the page's clock", there);
  await page.close();
}

export const chip = (page) => page.locator("pikit-update-chip button");
export const dialog = (page) => page.locator("pikit-update-dialog dialog");
export const title = (page) => page.locator("pikit-update-dialog .hero h3");
export const button = (page, name) => page.locator("pikit-update-dialog").getByRole("button", { name, exact: true });
export const words = (locator) => locator.evaluate((el) => el.innerText);

/// A file dragged over the dialog (`dragover`) or dropped onto it (`drop`): whether the page stays where it is, and whether the dialog shows that it
/// would take it.
export const drag = (page, type) =>
  dialog(page).evaluate((box, type) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([new Uint8Array(2_000_000).fill(7)], "holiday.tar.gz"));
    const stays = !box.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
    return { stays, taken: box.classList.contains("drop") };
  }, type);

// What people do, from the first click to the last, against the real program: its demo, whose API, release server, dashboard and updates
// are real. Pictures go to $PIKIT_SHOTS/journeys, target/web-shots/journeys by default.

import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { axe, button, chip, dialog, launch, open, overflow, shot, title, until, words } from "./browser.mjs";
import { Demo } from "./demo.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

/// What a browser writes to its console when a service is away: not a fault of the page.
const AWAY = /Failed to load resource: (net::ERR_|the server responded with a status of 50[23])/;
const STRANGER = /status of 401/;

/// A browser of its own on the dashboard, logged in; `seen` collects every word that chip and headline have shown.
async function visit(t, demo, { url = demo.url, session, expect = [], ...options } = {}) {
  const page = await open(browser, url, { expect, ...(session ?? (await demo.session())), ...options });
  page.seen = [];
  await page.exposeFunction("saw", (text) => page.seen.push(text));
  const look = () =>
    page.evaluate(() => {
      let was = "";
      const again = () => {
        const find = (host, path) => document.querySelector(host)?.shadowRoot?.querySelector(path)?.textContent;
        const now = `${find("pikit-update-chip", "button") ?? ""} | ${find("pikit-update-dialog", "dialog[open] .hero h3") ?? ""}`;
        if (now !== was) window.saw((was = now));
        requestAnimationFrame(again);
      };
      again();
    }).catch(() => {}); // the page has just gone again
  page.on("load", look);
  await look();
  t.after(() => page.context().close());
  return page;
}
const telling = (page, what, of, expected) =>
  until(what, async () => expected.test(await words(of)), 30_000).catch(async (e) => {
    await shot(page, "journeys/failed").catch(() => {});
    assert.fail(`${e.message}; it says: ${await words(of).catch(() => "nothing")}; it said: ${page.seen.join("; ")}`);
  });
const exactly = (text) => (text instanceof RegExp ? text : new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`));
const says = (page, text) => telling(page, `headline ${text}`, title(page), exactly(text));
const chipSays = (page, text) => telling(page, `chip ${text}`, chip(page), exactly(text));
const tells = (page, text) => telling(page, `dialog ${text}`, dialog(page), text);
const reloads = (page) => page.waitForEvent("load", { timeout: 30_000 });
async function show(page) {
  await chip(page).click();
  await until("the dialog", () => dialog(page).evaluate((d) => d.open));
}
/// Light, dark and narrow: a picture of each, nothing for axe, nothing cut off.
async function look(page, name) {
  const problems = [];
  const { width, height } = page.viewportSize();
  for (const [look, size, colorScheme] of [["dark", { width, height }, "dark"], ["320", { width: 320, height: 640 }, "light"], ["light", { width, height }, "light"]]) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme });
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await shot(page, `journeys/${name}-${look}`);
    if (look !== "320") problems.push(...(await axe(page)).map((v) => `${look}: ${v}`));
    problems.push(...(await overflow(page)).map((v) => `${look}: ${v}`));
  }
  assert.deepEqual(problems, [], name);
}
const focused = (page) =>
  page.evaluate(() => {
    let el = document.activeElement;
    while (el?.shadowRoot?.activeElement) el = el.shadowRoot.activeElement;
    return el?.labels?.[0]?.textContent ?? el?.textContent;
  });
async function tab(page, to) {
  for (let i = 0; i < 40; i++) {
    if (to.test(await focused(page))) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`Tab does not reach ${to}; the focus is on ${await focused(page)}`);
}
const clean = (...pages) => assert.deepEqual(pages.flatMap((p) => p.errors), []);

describe("journeys", { concurrency: 2 }, () => {
  test("by keyboard alone: log in, read, install, every phase, reload, done", async (t) => {
    const demo = await Demo.start(t);
    const page = await visit(t, demo, { session: {}, expect: [AWAY, STRANGER] });
    await chipSays(page, "Updates: Login needed");
    await tab(page, /^Updates: Login needed$/);
    await page.keyboard.press("Enter");
    await says(page, "Log in to see updates");
    assert.equal(await focused(page), "Token");
    await page.keyboard.type("0".repeat(43));
    await page.keyboard.press("Enter");
    await tells(page, /This is not the token/);
    await look(page, "login-wrong");
    await page.keyboard.press("Control+A");
    await page.keyboard.type(demo.token);
    await page.keyboard.press("Enter");

    await says(page, "1.0.0 → 1.1.0");
    await tells(page, /2 files change|files? changes?/);
    await tells(page, /restarts pikit-api/);
    await tells(page, /What is new\s+1\.1\.0/);
    await look(page, "available");
    for (const phase of ["downloading", "restarting", "trial"]) demo.hold(phase);
    await tab(page, /^Download & Install$/);
    await page.keyboard.press("Enter");
    await says(page, "Downloading 1.1.0");
    await tells(page, /% · .* of .*B · .*\/s · .* left/);
    await chipSays(page, /^Updating \d+ %$/);
    await look(page, "downloading");
    demo.go("downloading");
    await says(page, "Restarting services");
    await tells(page, /\d+ s/);
    await look(page, "restarting");
    demo.go("restarting");
    await says(page, "Watching its health");
    await look(page, "trial");
    const loaded = reloads(page);
    demo.go("trial");
    await says(page, "It is back");
    await loaded;
    await says(page, "Updated to 1.1.0");
    await look(page, "confirmed");
    assert.equal((await demo.status()).current, "1.1.0");
    assert.equal((await (await fetch(`${demo.url}ping`)).json()).version, "1.1.0");
    t.diagnostic(page.seen.join("; "));

    await page.keyboard.press("Escape");
    await chipSays(page, "Updates: Up to date");
    assert.match(await focused(page), /^Updates: Up to date$/);
    assert.equal(await page.locator("#version").textContent(), "1.1.0");
    assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length), 0);
    assert.equal(page.context().serviceWorkers().length, 0);
    clean(page);
  });

  test("the API is killed in the middle, twice, and while nothing happens: the page recovers by itself, the update is confirmed", async (t) => {
    const demo = await Demo.start(t);
    const page = await visit(t, demo, { expect: [AWAY] });
    const streams = [];
    page.on("response", (r) => r.url().endsWith("/events") && r.ok() && streams.push(r));
    await show(page);
    await says(page, "1.0.0 → 1.1.0");
    demo.hold("downloading");
    demo.hold("restarting");
    await button(page, "Download & Install").click();
    await says(page, "Downloading 1.1.0");
    const before = streams.length;
    demo.kill("demo", "api");
    await until("the page listens again", () => streams.length > before, 20_000);
    await says(page, "Downloading 1.1.0");
    demo.go("downloading");
    await says(page, "Restarting services");
    demo.kill("demo", "api");
    const loaded = reloads(page);
    demo.go("restarting");
    await loaded;
    await says(page, "Updated to 1.1.0");
    assert.equal((await demo.status()).current, "1.1.0");

    const idle = streams.length;
    demo.kill("demo", "api");
    await until("the page listens again", () => streams.length > idle, 20_000);
    await demo.run("auto", "check", "--at", "05:15");
    await until("news arrive", async () => (await page.locator("pikit-update-dialog input[type=time]").inputValue()) === "05:15");
    assert.ok(!page.seen.some((s) => /failed|not known/.test(s)), page.seen.join("; "));
    clean(page);
  });

  test("a sick release: it takes itself back, says why, and is tried again only when a person says so", async (t) => {
    const demo = await Demo.start(t);
    demo.edit([[/timeout = "60s"/, 'timeout = "3s"']]);
    const page = await visit(t, demo, { expect: [AWAY] });
    demo.type("publish");
    await show(page);
    await until("1.2.0 is offered", async () => {
      await button(page, "Check").click();
      return (await words(title(page))) === "1.0.0 → 1.2.0";
    });
    await tells(page, /What is new\s+1\.2\.0[\s\S]+1\.1\.0/);
    await look(page, "available-cumulative");
    await button(page, "Download & Install").click();
    await says(page, "Rolled back to 1.0.0");
    const reason = /1\.2\.0 failed its health check: HTTP 503 from http:\/\/127\.0\.0\.1:\d+\/ping.*It will not be tried again\./;
    await tells(page, reason);
    await tells(page, /not healthy/);
    await look(page, "rolled-back");
    assert.equal((await demo.status()).current, "1.0.0");
    assert.equal((await (await fetch(`${demo.url}ping`)).json()).version, "1.0.0");
    const first = (await demo.status()).last_result.transaction;

    await button(page, "Try again anyway").click();
    await until("it was tried", async () => (await demo.status()).last_result.transaction !== first, 30_000);
    await says(page, "Rolled back to 1.0.0");
    await tells(page, reason);
    assert.ok(!page.seen.some((s) => /Updated to|Up to date/.test(s)), page.seen.join("; "));
    await page.reload();
    await chipSays(page, "Updates: Rolled back");
    clean(page);
  });
});

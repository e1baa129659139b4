// What people do, from the first click to the last, against the real program: its demo, whose API, release server, dashboard and updates
// are real. Pictures go to $PIKIT_SHOTS/journeys; without it only what failed is photographed, in target/web-shots/journeys.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { axe, button, chip, chipComesAtOnce, chipWaitsForNothing, dialog, drag, frames, launch, live, open, overflow, said, shot, title, until, words } from "./browser.mjs";
import { Demo } from "./demo.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

/// What a browser writes to its console when a service is away: not a fault of the page.
const AWAY = /Failed to load resource: (net::ERR_|the server responded with a status of 50[23])/;
const STRANGER = /status of 401/;

/// A browser of its own on the dashboard, logged in.
async function visit(t, demo, { url = demo.url, session, expect = [], ...options } = {}) {
  const page = await open(browser, url, { expect, ...(session ?? (await demo.session())), ...options });
  t.after(() => page.context().close());
  return page;
}
const telling = (page, what, of, expected) =>
  until(what, async () => expected.test(await words(of))).catch(async (e) => {
    await shot(page, "journeys/failed", true).catch(() => {});
    assert.fail(`${e.message}; it says: ${await words(of).catch(() => "nothing")}; it said: ${page.seen.join("; ")}`);
  });
const exactly = (text) => (text instanceof RegExp ? text : new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`));
const says = (page, text) => telling(page, `headline ${text}`, title(page), exactly(text));
const chipSays = (page, text) => telling(page, `chip ${text}`, chip(page), exactly(text));
const tells = (page, text) => telling(page, `dialog ${text}`, dialog(page), text);
const reloads = (page) => page.waitForEvent("load");
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
    await frames(page);
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
    for (const phase of ["downloading", "restarting"]) demo.hold(phase);
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
    demo.hold("trial");
    demo.go("restarting");
    await says(page, "Watching its health");
    await look(page, "trial");
    const loaded = reloads(page);
    demo.go("trial");
    await said(page, "It is back");
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

  test("without a network: a bundle from a file is sent, looked at, and installed; one of somebody else's is refused", async (t) => {
    const demo = await Demo.start(t);
    const page = await visit(t, demo, { expect: [AWAY, /status of 422/] });
    const bundle = readdirSync(demo.dir, { recursive: true }).find((f) => /1\.1\.0\.tar\.gz$/.test(f));
    await demo.line.cut();
    await show(page);
    // only a page that has heard the board takes a file
    await says(page, "1.0.0 → 1.1.0");
    const file = page.locator("pikit-update-dialog input[type=file]");
    assert.deepEqual(await drag(page, "dragover"), { stays: true, taken: true });
    await look(page, "file-over");
    assert.deepEqual(await drag(page, "drop"), { stays: true, taken: false });
    await tells(page, /The file/);
    await until("it is refused", async () => (await page.getByRole("alert").count()) === 1);
    assert.equal(existsSync(`${demo.board}/var/tmp/pikit-update/upload/bundle.tar.gz`), false);
    await look(page, "file-refused");
    await file.setInputFiles(`${demo.dir}/${bundle}`);
    await says(page, "1.0.0 → 1.1.0, from a file");
    await tells(page, /restarts pikit-api/);
    await look(page, "file-found");
    const loaded = reloads(page);
    await button(page, "Install").click();
    await loaded;
    await says(page, "Updated to 1.1.0");
    assert.equal((await demo.status()).current, "1.1.0");
    assert.equal((await (await fetch(`${demo.url}ping`)).json()).version, "1.1.0");
    clean(page);
  });

  test("the API is killed in the middle, twice, and while nothing happens: the page recovers by itself, the update is confirmed", async (t) => {
    const demo = await Demo.start(t);
    const page = await visit(t, demo, { expect: [AWAY] });
    await show(page);
    await says(page, "1.0.0 → 1.1.0");
    demo.hold("downloading");
    demo.hold("restarting");
    await button(page, "Download & Install").click();
    await says(page, "Downloading 1.1.0");
    await live(page);
    const before = page.streams;
    demo.kill("demo", "api");
    await until("the page listens again", () => page.streams > before);
    await says(page, "Downloading 1.1.0");
    demo.go("downloading");
    await says(page, "Restarting services");
    demo.kill("demo", "api");
    const loaded = reloads(page);
    demo.go("restarting");
    await loaded;
    await says(page, "Updated to 1.1.0");
    assert.equal((await demo.status()).current, "1.1.0");

    // its headline may be there before it listens
    await live(page);
    const idle = page.streams;
    demo.kill("demo", "api");
    await until("the page listens again", () => page.streams > idle);
    await demo.run("auto", "check", "--at", "05:15");
    await until("news arrive", async () => (await page.locator("pikit-update-dialog input[type=time]").inputValue()) === "05:15");
    assert.ok(!page.seen.some((s) => /failed|not known/.test(s)), page.seen.join("; "));
    clean(page);
  });

  test("a sick release: it takes itself back, says why, and is tried again only when a person says so", async (t) => {
    const demo = await Demo.start(t);
    demo.edit([[/timeout = "300s"/, 'timeout = "3s"']]);
    const page = await visit(t, demo, { expect: [AWAY] });
    demo.type("publish");
    await show(page);
    await until("it is published", () => /publishes 1\.2\.0/.test(demo.said));
    await says(page, "1.0.0 → 1.1.0");
    await button(page, "Check").click();
    await says(page, "1.0.0 → 1.2.0");
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
    await until("it was tried", async () => (await demo.status()).last_result.transaction !== first);
    await says(page, "Rolled back to 1.0.0");
    await tells(page, reason);
    assert.ok(!page.seen.some((s) => /Updated to|Up to date/.test(s)), page.seen.join("; "));
    await page.reload();
    await chipSays(page, "Updates: Rolled back");
    clean(page);
  });

  test("the browser is closed in the middle, twice: the work goes on, and whoever opens it again finds the truth", async (t) => {
    const demo = await Demo.start(t);
    const session = await demo.session();
    for (const phase of ["downloading", "restarting"]) demo.hold(phase);
    const first = await visit(t, demo, { session });
    await show(first);
    await button(first, "Download & Install").click();
    await says(first, "Downloading 1.1.0");
    await first.context().close();
    demo.go("downloading");
    await demo.reaches("restarting");
    demo.hold("trial");
    demo.go("restarting");
    await demo.reaches("trial");

    const second = await visit(t, demo, { session, expect: [AWAY] });
    await chipSays(second, /^Updating \d+ %$/);
    await show(second);
    await says(second, "Watching its health");
    await second.context().close();
    demo.go("trial");
    await until("it is confirmed", async () => (await demo.status()).last_result?.to === "1.1.0");

    const third = await visit(t, demo, { session });
    await chipSays(third, "Updates: Up to date");
    await show(third);
    await says(third, "Up to date");
    await button(third, "History").click();
    await tells(third, /Update 1\.0\.0 → 1\.1\.0\s+done/);
    await look(third, "history");
    clean(first, second, third);
  });

  test("two browsers: both see the same run; the second click is told that the board is busy", async (t) => {
    const demo = await Demo.start(t);
    demo.hold("downloading");
    demo.hold("restarting");
    const [a, b] = [await visit(t, demo, { expect: [AWAY, /status of 409/] }), await visit(t, demo, { expect: [AWAY, /status of 409/] })];
    const answers = [];
    const buttons = [];
    for (const page of [a, b]) {
      page.on("response", (r) => r.url().endsWith("/apply") && answers.push([r.status(), page]));
      await show(page);
      await says(page, "1.0.0 → 1.1.0");
      buttons.push(await button(page, "Download & Install").elementHandle());
    }
    await Promise.all(buttons.map((b) => b.evaluate((el) => el.click())));
    await until("both are answered", () => answers.length === 2);
    assert.deepEqual(answers.map(([status]) => status).sort(), [202, 409]);
    const late = answers.find(([status]) => status === 409)[1];
    await tells(late, /(Another request waits to be begun|Something else was asked for|Another run is at work)[\s\S]*(then try again|until it is done)/);
    for (const page of [a, b]) await says(page, /^Downloading( 1\.1\.0)?$/);
    await look(late, "busy-two");
    demo.go("downloading");
    for (const page of [a, b]) await says(page, "Restarting services");
    const loaded = [reloads(a), reloads(b)];
    demo.go("restarting");
    await Promise.all(loaded);
    for (const page of [a, b]) await says(page, "Updated to 1.1.0");
    clean(a, b);
  });

  test("back to the version before, and forward again", async (t) => {
    const demo = await Demo.start(t);
    assert.equal((await demo.run("apply", "-y")).code, 0);
    const page = await visit(t, demo, { expect: [AWAY] });
    await show(page);
    const name = await until("the way back", () => page.locator("pikit-update-dialog").getByRole("button", { name: /^Return to 1\.0\.0 of \d+ \w+$/ }).textContent());
    await button(page, name).click();
    await tells(page, /Go back to 1\.0\.0 of \d+ \w+\? It needs no network\. 1\.1\.0 is then skipped\./);
    await look(page, "rollback-asks");
    await demo.line.cut();
    let loaded = reloads(page);
    await button(page, name).click();
    await loaded;
    await says(page, "Returned to 1.0.0");
    assert.equal(await page.locator("#version").textContent(), "1.0.0");
    await look(page, "returned");
    await demo.line.plug();
    await button(page, "Close").click();
    await chipSays(page, "Updates: 1.1.0 skipped");
    await show(page);
    await says(page, "1.0.0 is installed");
    await look(page, "went-back");
    await button(page, "Check").click();
    await says(page, "1.1.0 is skipped");
    await look(page, "skipped");
    loaded = reloads(page);
    await button(page, "Download & Install").click();
    await loaded;
    await says(page, "Updated to 1.1.0");
    assert.equal((await demo.status()).current, "1.1.0");
    clean(page);
  });

  test("no release server, no network: words, a dashboard that works, and everything by itself when it is there again", async (t) => {
    const demo = await Demo.start(t);
    await demo.run("apply", "-y");
    const page = await visit(t, demo, { expect: [AWAY] });
    await show(page);
    await demo.line.cut();
    await button(page, "Check").click();
    await says(page, "The release server cannot be reached");
    await tells(page, /The dashboard works as before/);
    await look(page, "offline");
    await button(page, "Close").click();
    await chipSays(page, "Updates: Offline");
    await until("the dashboard lives", async () => (await page.locator("#state").getAttribute("data-state")) === "here");
    await demo.line.plug();
    await show(page);
    await button(page, "Check").click();
    await says(page, "Up to date");

    // the browser itself loses the network, then asks for something
    await page.context().setOffline(true);
    await button(page, "Check").click();
    await says(page, "The board does not answer");
    await look(page, "no-network");
    await page.context().setOffline(false);
    await says(page, "Up to date");
    clean(page);
  });

  test("another token: every browser has to log in again", async (t) => {
    const demo = await Demo.start(t);
    const session = await demo.session();
    const [a, b] = [await visit(t, demo, { session, expect: [STRANGER] }), await visit(t, demo, { session, expect: [STRANGER] })];
    await show(a);
    await says(a, "1.0.0 → 1.1.0");
    demo.token = (await demo.run("token", "--new")).out.trim();
    await button(a, "Check").click();
    for (const page of [a, b]) await chipSays(page, "Updates: Login needed");
    await says(a, "Log in to see updates");
    await look(a, "login-again");
    for (const page of [a, b]) assert.equal((await page.request.get(`${demo.url}api/update/status`)).status(), 401);
    await tab(a, /^Token$/);
    await a.keyboard.type(demo.token);
    await a.keyboard.press("Enter");
    await says(a, "1.0.0 → 1.1.0");
    clean(a, b);
  });

  test("an update over SSH is shown as it goes, and so is its end", async (t) => {
    const demo = await Demo.start(t);
    demo.hold("downloading");
    const page = await visit(t, demo, { expect: [AWAY, /status of 409/] });
    await show(page);
    await says(page, "1.0.0 → 1.1.0");
    const applied = demo.run("apply", "-y");
    await says(page, /^Downloading/);
    await tells(page, /Begun elsewhere: over SSH, by the timer or in another browser/);
    await look(page, "elsewhere");
    const answer = await page.request.post(`${demo.url}api/update/apply`, { data: {} });
    assert.equal(answer.status(), 409);
    const loaded = reloads(page);
    demo.go("downloading");
    assert.equal((await applied).code, 0);
    await loaded;
    await says(page, "Updated to 1.1.0");
    clean(page);
  });

  test("the updater is killed in the middle: the page says what to type, and then the truth, without being loaded anew by hand", async (t) => {
    const demo = await Demo.start(t);
    demo.hold("restarting");
    const page = await visit(t, demo, { expect: [AWAY] });
    await show(page);
    const applied = demo.run("apply", "-y");
    await says(page, "Restarting services");
    demo.last.kill("SIGKILL");
    await applied;
    await says(page, "An update was interrupted");
    await tells(page, /sudo pikit-updater recover/);
    await look(page, "interrupted");
    demo.go("restarting");
    const { code, out } = await demo.run("recover");
    const { current, last_result: result } = await demo.status();
    t.diagnostic(`recover ended with ${code}: ${out.trim()}; installed: ${current}`);
    await says(page, result.outcome === "confirmed" ? `Updated to ${current}` : /^Rolled back to 1\.0\.0$|was not installed$/);
    await look(page, "recovered");
    assert.equal((await (await fetch(`${demo.url}ping`)).json()).version, current);
    clean(page);
  });

  test("edited files are found and repaired; automatic mode and skipping are found in the files", async (t) => {
    const demo = await Demo.start(t);
    const page = await visit(t, demo, { expect: [AWAY] });
    await show(page);
    writeFileSync(`${demo.board}/var/www/pikit-web/tiles.js`, "// mine\n", { flag: "a" });
    await button(page, "Compare now").click();
    await tells(page, /7 of 8 files match, 1 edited\.|\d of \d files match, 1 edited\./);
    await look(page, "drift");
    await button(page, "Repair").click();
    await says(page, "Repaired");
    await button(page, "Compare now").click();
    await tells(page, /(\d+) of \1 files match\./);
    assert.doesNotMatch(readFileSync(`${demo.board}/var/www/pikit-web/tiles.js`, "utf8"), /mine/);
    await look(page, "repaired");

    const inside = page.locator("pikit-update-dialog");
    for (const mode of ["Install", "Off", "Check"]) {
      const saved = page.waitForResponse((r) => r.url().endsWith("/auto"));
      await inside.getByRole("radio", { name: mode }).check();
      assert.equal((await saved).status(), 200);
      await tells(page, /Saved\./);
      assert.match(readFileSync(demo.config, "utf8"), new RegExp(`action = "${mode.toLowerCase()}"`));
      if (mode === "Install") await look(page, "automatic");
    }
    await inside.locator("input[type=time]").fill("03:15");
    await page.keyboard.press("Enter");
    await until("the hour is written", () => /at = "03:15"/.test(readFileSync(demo.config, "utf8")));

    await button(page, "Skip this version").click();
    await says(page, "1.1.0 is skipped");
    assert.deepEqual((await demo.status()).skipped, ["1.1.0"]);
    await button(page, "Do not skip").click();
    await says(page, "1.0.0 → 1.1.0");
    assert.deepEqual((await demo.status()).skipped, []);
    clean(page);
  });

  test("no token, and an API that does not come back: words and what to type, never a wait without an end", async (t) => {
    const demo = await Demo.start(t);
    const page = await visit(t, demo, { expect: [AWAY, STRANGER] });
    await chipSays(page, "Update available");
    await show(page);
    const file = `${demo.board}/etc/pikit/api-token`;
    rmSync(file);
    await button(page, "Check").click();
    await says(page, "Nobody can log in");
    await tells(page, /There is no token yet[\s\S]*sudo pikit-updater token/);
    await look(page, "no-token");
    demo.token = (await demo.run("token")).out.trim();
    assert.ok(existsSync(file));
    await says(page, "Log in to see updates");
    await page.locator("pikit-update-dialog input").fill(demo.token);
    await page.keyboard.press("Enter");
    await says(page, "1.0.0 → 1.1.0");

    // a config that is none: whoever starts the API starts it in vain
    const config = readFileSync(demo.config, "utf8");
    demo.edit([[/\[api\]/, "[api]\nlisten"]]);
    demo.kill("demo", "api");
    await says(page, "The board does not answer");
    await tells(page, /This page tries again/);
    await look(page, "api-gone");
    // a minute and a half in a moment
    await page.clock.install();
    await page.clock.runFor(95_000);
    await tells(page, /systemctl status pikit-update-api/);
    await look(page, "api-gone-for-good");
    writeFileSync(demo.config, config);
    await until("it is back", async () => {
      await page.clock.runFor(1000);
      return (await words(title(page))) === "1.0.0 → 1.1.0";
    });
    clean(page);
  });

  test("a full card, and a release that nobody signed: refused in words, nothing is changed", async (t) => {
    const demo = await Demo.start(t);
    const page = await visit(t, demo, { expect: [/status of 422/] });
    await show(page);
    demo.edit([[/min_free = "1MiB"/, 'min_free = "9000GiB"']]);
    await button(page, "Download & Install").click();
    await says(page, "There is not enough space on the card");
    await tells(page, /Free some space[\s\S]*Nothing was changed: 1\.0\.0 is installed as before|Nothing was changed[\s\S]*Free some space/);
    await look(page, "disk-full");
    const asked = page.waitForResponse((r) => r.url().endsWith("/check"));
    await button(page, "Check").click();
    await asked;
    await says(page, /not enough space|cannot be installed here/);
    await look(page, "disk-full-checked");

    demo.edit([[/min_free = "9000GiB"/, 'min_free = "1MiB"']]);
    // somebody else's key in the place of the maintainer's
    writeFileSync(`${demo.board}/etc/pikit/keys/pikit.pub`, "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n");
    await button(page, "Check").and(page.locator(":not([aria-disabled])")).waitFor();
    await button(page, "Check").click();
    await says(page, "The release is not signed by a key this board trusts");
    await tells(page, /Nothing was changed: 1\.0\.0 is installed as before\./);
    await look(page, "unsigned");
    assert.equal((await demo.status()).current, "1.0.0");
    clean(page);
  });

  test("the dashboard looks the same with the chip in it", async (t) => {
    const demo = await Demo.start(t);
    const looks = async (page) => {
      await until("the dashboard shows the board", async () => (await page.locator("#state").getAttribute("data-state")) === "here");
      return page.evaluate(() => ["body", "header", "h1", "#state", "main", ".tile", ".tile h2", "output", "meter", "footer"].map((path) => {
        const style = getComputedStyle(document.querySelector(path));
        const own = [...style].filter((k) => !/^(width|height|inline-size|block-size|perspective-origin|transform-origin|margin-(left|inline-start))$/.test(k));
        return [path, ...own.map((k) => `${k}: ${style.getPropertyValue(k)}`).sort()];
      }));
    };
    const page = await visit(t, demo);
    await show(page);
    await says(page, "1.0.0 → 1.1.0");
    await page.keyboard.press("Escape");
    const bare = await browser.newPage({ viewport: page.viewportSize(), locale: "en-GB" });
    await bare.route("**/pikit-update/*", (route) => route.fulfill({ contentType: "text/javascript", body: "" }));
    await bare.goto(demo.url);
    assert.deepEqual(await looks(page), await looks(bare));
    await bare.context().close();
    clean(page);
  });

  test("the page of the API itself, without any dashboard", async (t) => {
    const demo = await Demo.start(t);
    const page = await visit(t, demo, { url: demo.own, session: {}, expect: [STRANGER] });
    await chipSays(page, "Updates: Login needed");
    await look(page, "own-page");
    await show(page);
    await page.keyboard.type(demo.token);
    await page.keyboard.press("Enter");
    await says(page, "1.0.0 → 1.1.0");
    await look(page, "own-page-available");
    clean(page);
  });

  // 185 MB that nothing else needs: not among what tests/web installs. `npm install --global lighthouse`
  test("Lighthouse gives 100 for accessibility and for best practices", async (t) => {
    const run = (...words) => new Promise((done) => execFile("lighthouse", words, { env: { ...process.env, CHROME_PATH: process.env.CHROMIUM ?? "/usr/bin/chromium" }, maxBuffer: 1 << 26 }, (error, out, err) => done({ error, out, err })));
    if ((await run("--version")).error) return t.skip("lighthouse is not installed");
    const demo = await Demo.start(t);
    const { name, value } = (await demo.session()).storageState.cookies[0];
    const { error, out, err } = await run(demo.own, "--quiet", "--output=json", "--only-categories=accessibility,best-practices", `--extra-headers=${JSON.stringify({ Cookie: `${name}=${value}` })}`, "--chrome-flags=--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage");
    assert.ifError(error && new Error(err));
    const { categories } = JSON.parse(out);
    assert.deepEqual(Object.values(categories).map((c) => [c.id, c.score]), [["accessibility", 1], ["best-practices", 1]]);
  });
});

// alone: what other browsers cost is not the page's
test("the chip is in the dashboard within 100 ms, and waits for nothing", async (t) => {
  const demo = await Demo.start(t);
  await chipWaitsForNothing(browser, demo.url);
  await chipComesAtOnce(t, browser, demo.url);
});

// The UI in a real Chromium against a board that pretends: every state seen and measured, and the journeys that need only HTTP. With
// PIKIT_SHOTS=DIR every state is photographed as well.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { axe, button, chip, chipComesAtOnce, chipWaitsForNothing, dialog, drag, launch, live, open, overflow, said, settled, shot, title, until, words } from "./browser.mjs";
import { Board, names, state, upload } from "./mock-server.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

/// A board and a page on it; both go when the test ends.
async function visit(t, { status = "available", path = "", token, pages, ...options } = {}) {
  const board = await new Board({ status, token, pages }).start();
  const page = await open(browser, board.url + path, options);
  t.after(async () => {
    await page.context().close();
    await board.stop();
  });
  return { board, page };
}
const says = (page, text) => until(`headline ${text}`, async () => (await words(title(page))) === text).catch(async (e) => assert.fail(`${e.message}; it says: ${await words(dialog(page))}`));
const chipSays = (page, text) => until(`chip ${text}`, async () => (await words(chip(page))) === text).catch(async (e) => assert.fail(`${e.message}; it says: ${await words(chip(page))}`));
async function show(page) {
  await chip(page).click();
  await until("the dialog", async () => (await title(page).count()) === 1);
}

const LOOKS = {
  light: {},
  dark: { colorScheme: "dark" },
  320: { viewport: { width: 320, height: 640 } },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2, colorScheme: "dark" },
};

/// The page shows what the board has, from the beginning, with the dialog open.
async function present(page, board, prepare) {
  Object.assign(page, { errors: [], seen: [] });
  await page.goto(board.url);
  await prepare?.(page);
  await live(page);
  await show(page);
  await settled(page);
}
/// A page that shows one state after another, each with a document and a memory of its own: a new page costs a browser several times as much.
async function reusable(options) {
  const page = await open(browser, "about:blank", options);
  // a board may get the port of an earlier one, and with it what the page remembers of that
  await page.addInitScript(() => location.protocol === "http:" && sessionStorage.clear());
  return page;
}
/// Such a page for one test, as LOOKS has it; `spare` are those that no test needs now.
const spare = { light: [], phone: [] };
async function borrow(t, look) {
  const page = spare[look].pop() ?? (await reusable(LOOKS[look]));
  t.after(async () => {
    // what this state still does is no longer its business
    await page.goto("about:blank");
    spare[look].push(page);
  });
  return page;
}
async function wear(page, { viewport = { width: 1024, height: 800 }, colorScheme = "light" }) {
  await page.setViewportSize(viewport);
  await page.emulateMedia({ colorScheme });
}

/// Everything about a new state of the page: pictures, axe, nothing cut off.
async function looks(page, name, held = 0) {
  const problems = [];
  for (const [look, how] of Object.entries(LOOKS)) {
    await wear(page, how);
    await settled(page, held);
    await shot(page, `${name}-${look}`);
    problems.push(...(await axe(page)).map((v) => `${look}: ${v}`), ...(await overflow(page)).map((v) => `${look}: ${v}`));
  }
  assert.deepEqual(problems, [], name);
}
const pick = (page, buffer, name = "pikit-1.2.0.tar.gz") => page.locator("pikit-update-dialog input[type=file]").setInputFiles({ name, mimeType: "application/gzip", buffer });

const HOSTILE = `<!doctype html><html lang="en"><head><title>Dashboard</title><link rel="icon" href="data:,"><style>
* { all: unset !important; color: red !important; font-size: 40px !important; text-transform: uppercase !important; letter-spacing: 9px !important }
style, head, title, script { display: none !important } body, div, p { display: block !important }
button { background: red !important; border: 9px solid red !important } dialog { display: none !important }
</style><script type="module" src="/pikit-update/pikit-update.js"></script></head>
<body><div>Bar <pikit-update-chip></pikit-update-chip></div><p id="mine">Mine</p><button id="own">Own</button></body></html>`;
const PLAIN = `<!doctype html><html lang="en"><head><title>Dashboard</title><link rel="icon" href="data:,"></head><body><h2>Mine</h2><p class="row hidden main">Mine</p><button class="chip">Own</button><dialog id="d">x</dialog>LINE</body></html>`;

describe("states", { concurrency: 2 }, () => {
  for (const name of names)
    test(`${name}: light, dark, 320 px, phone; axe finds nothing; no errors`, async (t) => {
      const board = await new Board({ status: name }).start();
      const [page, phone] = [await borrow(t, "light"), await borrow(t, "phone")];
      t.after(() => board.stop());
      const problems = [];
      await wear(page, LOOKS.light);
      await present(page, board);
      for (const [look, how] of Object.entries(LOOKS).slice(0, 3)) {
        await wear(page, how);
        await settled(page);
        await shot(page, `${name}-${look}`);
        problems.push(...(await axe(page)).map((v) => `${look}: ${v}`), ...(await overflow(page)).map((v) => `${look}: ${v}`));
      }
      assert.deepEqual([...problems, ...page.errors], []);

      await present(phone, board);
      await shot(phone, `${name}-phone`);
      const small = await phone.evaluate(() => [...document.querySelectorAll("pikit-update-chip, pikit-update-dialog")].flatMap((e) => [...e.shadowRoot.querySelectorAll("button, input:not([type=radio], [hidden]), label")])
        .map((b) => [b.textContent, b.getBoundingClientRect()]).filter(([, r]) => r.height < 44 || r.width < 44).map(([text, r]) => `${text}: ${r.width} × ${r.height}`));
      assert.deepEqual([...small, ...(await overflow(phone)), ...phone.errors], []);
    });

  for (const [look, options, prepare] of [
    ["forced-colors", { forcedColors: "active" }],
    ["reduced-motion", { reducedMotion: "reduce" }],
    ["rtl", {}, (page) => page.evaluate(() => (document.documentElement.dir = "rtl"))],
    ["zoom-200", { viewport: { width: 320, height: 400 }, deviceScaleFactor: 2 }],
  ])
    test(`${look}: nothing is cut off, nothing is lost`, async (t) => {
      const page = await reusable(options);
      t.after(() => page.context().close());
      for (const name of ["available-cumulative", "downloading", "trial", "rolled-back", "offline"]) {
        const board = await new Board({ status: name }).start();
        await present(page, board, prepare);
        await shot(page, `${name}-${look}`);
        if (look === "reduced-motion") assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
        assert.deepEqual([...(await overflow(page)), ...(look === "forced-colors" ? [] : await axe(page)), ...page.errors], [], name);
        await page.goto("about:blank");
        await board.stop();
      }
    });

  test("the whole journey by keyboard: open, check, install, close, and the focus is back on the chip", async (t) => {
    const { board, page } = await visit(t);
    await live(page);
    const focused = () => page.evaluate(() => {
      let el = document.activeElement;
      while (el?.shadowRoot?.activeElement) el = el.shadowRoot.activeElement;
      return el?.textContent;
    });
    const tab = async (to) => {
      for (let i = 0; i < 40; i++) {
        if ((await focused()) === to) return;
        await page.keyboard.press("Tab");
      }
      assert.fail(`Tab does not reach ${to}`);
    };
    await tab("Update available");
    await page.keyboard.press("Enter");
    await says(page, "1.1.0 → 1.2.0");
    assert.equal(await focused(), "1.1.0 → 1.2.0");
    await tab("Check");
    await page.keyboard.press("Enter");
    await until("a check", () => board.posts.some(([what]) => what === "check"));
    assert.equal(await focused(), "Check");
    await tab("Download & Install");
    await page.keyboard.press("Enter");
    await says(page, "Starting");
    assert.equal(await focused(), "Starting");
    assert.deepEqual(board.posts.at(-1), ["apply", { version: "1.2.0", require_manifest: state("available").available.manifest_sha256 }]);
    await page.keyboard.press("Escape");
    await until("closed", async () => !(await dialog(page).evaluate((d) => d.open)));
    assert.equal(await focused(), "Updating…");
    assert.deepEqual(page.errors, []);
  });

  test("an install is followed to its end, over a reload, and told", async (t) => {
    const { board, page } = await visit(t);
    await live(page);
    await show(page);
    await button(page, "Download & Install").click();
    await says(page, "Starting");
    const run = { transaction: "e3k9xq7vtf7rfbmiv64kg0pqz6", phase: "downloading", percent: 5, bytes_done: 0, bytes_total: 3240112, message: "fetching 3.2 MB", started: board.status.now };
    board.status = { ...board.status, pending: null, progress: run };
    board.tell("phase", run);
    await says(page, "Downloading 1.2.0");
    board.tell("progress", { ...run, percent: 42, bytes_done: 1_855_488 });
    await chipSays(page, "Updating 42 %");
    // a page that is opened now knows as much
    const second = await open(browser, board.url);
    await chipSays(second, "Updating 5 %");
    board.set({ ...board.status, progress: { ...run, phase: "trial", percent: 85 } });
    await says(page, "Watching its health");
    await until("it counts", async () => Number.parseInt(await words(page.locator("pikit-update-dialog .count"))) > 0);
    await chipSays(second, "Updating 85 %");
    const loaded = page.waitForEvent("load");
    board.set({ ...state("confirmed"), last_result: { ...state("confirmed").last_result, transaction: run.transaction } });
    await said(page, "It is back");
    await loaded;
    await says(page, "Updated to 1.2.0");
    await button(page, "Close").click();
    await chipSays(page, "Updates: Up to date");
    await show(page);
    await says(page, "Up to date");
    assert.deepEqual([...page.errors, ...second.errors], []);
    await second.context().close();
  });

  test("the API goes away in the middle: it is said, counted, and when the board is back the page is loaded anew", async (t) => {
    const gone = [/ERR_/];
    const { board, page } = await visit(t, { status: "restarting", expect: gone });
    await live(page);
    await show(page);
    board.away();
    await says(page, "Waiting for the board");
    await shot(page, "restarting-away");
    const loaded = page.waitForEvent("load");
    board.status = state("confirmed");
    board.back({ boot_id: "boot-2", version: "1.2.0" });
    await said(page, "It is back");
    await loaded;
    await says(page, "Updated to 1.2.0");
    assert.deepEqual(page.errors, []);
  });

  test("a board that does not come back: the page says what to type, and goes on looking", async (t) => {
    const { board, page } = await visit(t, { status: "restarting", expect: [/ERR_/] });
    await live(page);
    await show(page);
    await page.clock.install();
    board.away();
    await says(page, "Waiting for the board");
    await page.clock.runFor(95_000);
    await says(page, "The board has not come back");
    assert.match(await words(dialog(page)), /sudo pikit-updater status\s+sudo pikit-updater rollback/);
    await shot(page, "restarting-gone");
    assert.deepEqual(await axe(page), []);
    board.status = state("rolled-back");
    board.back();
    await page.clock.runFor(12_000);
    await until("it is noticed", async () => { await page.clock.runFor(500); return /back/.test(await words(title(page))); });
  });

  test("the stream breaks and comes again; meanwhile it is asked", async (t) => {
    const { board, page } = await visit(t, { expect: [/ERR_|EventSource/] });
    await live(page);
    const before = page.streams;
    board.answer("GET /api/update/events", [503, { title: "Service Unavailable", status: 503, detail: "too many streams" }, { "Retry-After": "5" }]);
    board.hangUp();
    board.status = state("rolled-back");
    await chipSays(page, "Updates: Rolled back");
    await until("a stream again", () => page.streams > before);
  });

  test("login: a wrong token, the right one, and out again", async (t) => {
    const { board, page } = await visit(t, { token: "hunter2", expect: [/401|429|ERR_/] });
    await chipSays(page, "Updates: Login needed");
    await show(page);
    await says(page, "Log in to see updates");
    await shot(page, "login-light");
    for (const type of ["dragover", "dragover", "drop"]) assert.deepEqual(await drag(page, type), { stays: true, taken: false });
    assert.deepEqual(await axe(page), []);
    const input = page.locator("pikit-update-dialog input");
    assert.ok(await input.evaluate((el) => el.getRootNode().activeElement === el), "the field has the focus");
    await input.fill("wrong");
    await page.keyboard.press("Enter");
    await until("it is refused", async () => /That is not the token of this board/.test(await words(dialog(page))));
    assert.deepEqual(await axe(page), []);
    await shot(page, "login-wrong");
    await input.fill("hunter2");
    await page.keyboard.press("Enter");
    await says(page, "1.1.0 → 1.2.0");
    // a session that ends in between asks again
    board.session = "s2";
    board.hangUp();
    await says(page, "Log in to see updates");
    await input.fill("hunter2");
    await page.keyboard.press("Enter");
    await says(page, "1.1.0 → 1.2.0");
    await button(page, "Log out").click();
    await says(page, "Log in to see updates");
    assert.equal(await page.evaluate(() => JSON.stringify(sessionStorage).includes("1.2.0")), false);
    assert.deepEqual(page.errors, []);
  });

  test("no board at all: words within ten seconds, and a way on", async (t) => {
    const { board, page } = await visit(t, { expect: [/ERR_/] });
    board.away();
    await page.evaluate(() => sessionStorage.clear());
    await page.reload();
    await chipSays(page, "Updates: Offline");
    await show(page);
    await says(page, "The board does not answer");
    await shot(page, "board-away");
    assert.deepEqual(await axe(page), []);
    // ten seconds of the page's clock, however long they take here; then it stands still, and the page does not find the board before the click
    await page.evaluate(() => sessionStorage.clear());
    await page.clock.install({ time: 0 });
    await page.clock.pauseAt(1000);
    await page.reload();
    await page.clock.runFor(10_000);
    await chipSays(page, "Updates: Offline");
    await show(page);
    await says(page, "The board does not answer");
    await until("all is refused", () => page.asking.size === 0);
    board.back();
    // a click does nothing while the page still believes that it asks
    await until("a click finds the board", async () => {
      if ((await words(title(page))) === "1.1.0 → 1.2.0") return true;
      await button(page, "Try again now").click({ timeout: 1000 });
    });
  });

  test("what a server in front says instead of the board is told as such", async (t) => {
    const { board, page } = await visit(t, { expect: [/502/] });
    await live(page);
    await show(page);
    board.answer("POST /api/update/apply", [502, "<html>Bad Gateway</html>", { "Content-Type": "text/html" }]);
    await button(page, "Download & Install").click();
    await until("the words", async () => /Something else than the updater answered \(HTTP 502\)/.test(await words(dialog(page))));
    assert.equal(await page.locator("pikit-update-dialog [role=alert]").count(), 1);
  });

  test("409: somebody else was first, and their run is shown", async (t) => {
    const { board, page } = await visit(t, { expect: [/409/] });
    await live(page);
    await show(page);
    board.status = { ...state("busy") };
    await button(page, "Download & Install").click();
    await says(page, "Somebody is updating over SSH");
    assert.match(await words(dialog(page)), /Another run holds the lock/);
  });

  test("rollback asks once more, names its target, and can be taken back", async (t) => {
    const { board, page } = await visit(t, { status: "up-to-date" });
    await live(page);
    await show(page);
    await button(page, "Return to 1.0.0 of 3 Nov").click();
    await until("it asks", async () => /Go back to 1\.0\.0 of 3 Nov\?/.test(await words(dialog(page))));
    assert.deepEqual(await axe(page), []);
    await shot(page, "rollback-asks");
    await button(page, "Cancel").click();
    assert.equal(board.posts.length, 0);
    await button(page, "Return to 1.0.0 of 3 Nov").click();
    await button(page, "Cancel").waitFor();
    await button(page, "Return to 1.0.0 of 3 Nov").click();
    await says(page, "Starting");
    assert.deepEqual(board.posts, [["rollback", { backup: "0003-20261103T042410Z-1.0.0" }]]);
  });

  test("try again anyway forces the very manifest that was shown", async (t) => {
    const { board, page } = await visit(t, { status: "rolled-back" });
    await live(page);
    await show(page);
    await until("the end of the log", async () => /not healthy yet/.test(await words(dialog(page))));
    await button(page, "Try again anyway").click();
    await says(page, "Starting");
    const { version, manifest_sha256 } = state("rolled-back").available;
    assert.deepEqual(board.posts, [["apply", { version, require_manifest: manifest_sha256, force: true }]]);
  });

  test("skip, automatic mode, comparing, repair, history, logs, copy", async (t) => {
    const { board, page } = await visit(t);
    await live(page);
    await show(page);
    await button(page, "Skip this version").click();
    await says(page, "1.2.0 is skipped");
    await button(page, "Do not skip").click();
    await says(page, "1.1.0 → 1.2.0");
    const inside = page.locator("pikit-update-dialog");
    await inside.getByRole("radio", { name: "Install" }).check();
    await until("the mode", () => board.status.auto.mode === "install");
    await inside.locator("input[type=time]").fill("03:15");
    await page.keyboard.press("Enter");
    await until("the time", () => board.status.auto.at === "03:15");
    await button(page, "Which files?").click();
    await until("files", async () => /pikit-web\/trend\.js new/.test(await words(dialog(page))));
    await button(page, "Compare now").click();
    await until("compared", async () => /438 of 442 files match, 3 edited, 1 missing\./.test(await words(dialog(page))));
    await button(page, "History").click();
    await until("history", async () => /Not enough space on \/var\/www/.test(await words(dialog(page))));
    await button(page, "View logs").click();
    await inside.getByRole("region", { name: "Log", exact: true }).waitFor();
    await button(page, "Copy").click();
    await button(page, "Copied").waitFor();
    assert.deepEqual(await axe(page), []);
    await page.setViewportSize({ width: 640, height: 2600 });
    await shot(page, "everything-open");
    await page.setViewportSize({ width: 320, height: 2600 });
    await shot(page, "everything-open-320");
    assert.deepEqual(await overflow(page), []);
    await button(page, "Repair").click();
    await says(page, "Starting");
    assert.deepEqual(board.posts.map(([what]) => what), ["skip", "unskip", "auto", "auto", "repair"]);
    assert.deepEqual(page.errors, []);
  });

  test("a redraw each second takes nothing away from who reads or types", async (t) => {
    const { board, page } = await visit(t);
    await live(page);
    await show(page);
    const time = page.locator("pikit-update-dialog input[type=time]");
    await time.focus();
    const kept = await page.evaluateHandle(() => document.querySelector("pikit-update-dialog").shadowRoot.querySelector("h3").firstChild);
    board.set({ ...board.status, last_check: board.status.now });
    await until("drawn", async () => /just now/.test(await words(dialog(page))));
    assert.ok(await time.evaluate((el) => el.getRootNode().activeElement === el));
    await time.fill("05:55");
    board.set({ ...board.status, auto: { ...board.status.auto, at: "06:00", next: null } });
    await until("drawn", async () => /not known/.test(await words(dialog(page))));
    assert.equal(await time.inputValue(), "05:55");
    assert.ok(await kept.evaluate((node) => node.isConnected));
  });

  test("hostile release notes stay text", async (t) => {
    const status = state("available");
    status.available.notes = '<img src=x onerror="window.hit=1">\n\n<script>window.hit=1</script>\n\n[a](javascript:window.hit=1) [b](https://ok.example/ "t") ![c](https://evil.example/x.png)\n\n- <svg onload=window.hit=1>';
    status.available.blocked = ["<b>no</b>"];
    const { board, page } = await visit(t, { status });
    await live(page);
    await show(page);
    const found = await page.evaluate(() => {
      const root = document.querySelector("pikit-update-dialog").shadowRoot;
      return { hit: window.hit, odd: root.querySelectorAll("img, script, .notes svg, iframe, b").length, links: [...root.querySelectorAll("a")].map((a) => [a.protocol, a.rel]) };
    });
    assert.equal(found.hit, undefined);
    assert.equal(found.odd, 0);
    for (const [protocol, rel] of found.links) assert.deepEqual([protocol, rel], ["https:", "noopener noreferrer"]);
    assert.match(await words(dialog(page)), /<script>window\.hit=1<\/script>/);
    assert.deepEqual(page.errors, []);
  });

  test("one tag in a foreign dashboard: its styles stay outside, ours inside", async (t) => {
    const pages = {
      "/hostile.html": HOSTILE,
      "/plain.html": PLAIN.replace("LINE", ""),
      "/embedded.html": PLAIN.replace("LINE", '<script type="module" src="/pikit-update/pikit-update.js"></script><pikit-update-chip></pikit-update-chip>'),
    };
    const { board, page } = await visit(t, { pages, path: "hostile.html" });
    await live(page);
    await show(page);
    const style = await page.evaluate(() => ["pikit-update-chip button", "pikit-update-dialog .hero h3", "pikit-update-dialog .main"].map((path) => {
      const [host, inner] = path.split(/ (.*)/);
      const s = getComputedStyle(document.querySelector(host).shadowRoot.querySelector(inner));
      return [s.color, s.textTransform, s.letterSpacing, s.borderTopWidth, s.fontSize];
    }));
    for (const [color, transform, spacing, border] of style) {
      assert.notEqual(color, "rgb(255, 0, 0)");
      assert.deepEqual([transform, spacing], ["none", "normal"]);
      assert.notEqual(border, "9px");
    }
    await shot(page, "embedded-hostile");
    assert.deepEqual(page.errors, []);

    const looks = async (path) => {
      const p = await open(browser, `${board.url}${path}`);
      if (path.startsWith("embedded")) await show(p).then(() => p.keyboard.press("Escape"));
      const seen = await p.evaluate(() => ["h2", "p", "button", "#d", "body"].map((q) => { const s = getComputedStyle(document.querySelector(q)); return [...s].map((k) => `${k}:${s[k]}`).filter((x) => !/^(width|height|inline-size|block-size|perspective-origin|transform-origin)/.test(x)).join(";"); }));
      await p.context().close();
      return seen;
    };
    assert.deepEqual(await looks("embedded.html"), await looks("plain.html"));
  });

  test("a dashboard themes it by its properties, and chooses light or dark by color-scheme", async (t) => {
    const pages = { "/themed.html": `<!doctype html><html lang="en"><head><title>x</title><link rel="icon" href="data:,"><style>pikit-update-chip { --pikit-update-surface: rgb(1, 2, 3); --pikit-update-text: rgb(250, 251, 252) } .dark { color-scheme: dark }</style><script type="module" src="/pikit-update/pikit-update.js"></script></head><body><pikit-update-chip></pikit-update-chip><pikit-update-chip class="dark" style="--pikit-update-surface: initial; --pikit-update-text: initial"></pikit-update-chip></body></html>` };
    const { page } = await visit(t, { pages, path: "themed.html", colorScheme: "light" });
    await until("two chips", async () => (await chip(page).count()) === 2);
    const [a, b] = await page.evaluate(() => [...document.querySelectorAll("pikit-update-chip")].map((c) => { const s = getComputedStyle(c.shadowRoot.querySelector("button")); return [s.backgroundColor, s.color]; }));
    assert.deepEqual(a, ["rgb(1, 2, 3)", "rgb(250, 251, 252)"]);
    assert.deepEqual(b, ["rgb(32, 36, 43)", "rgb(238, 238, 238)"]);
  });

  test("behind a prefix: `base` says where the API lies", async (t) => {
    const pages = { "/based.html": `<!doctype html><html lang="en"><head><title>x</title><link rel="icon" href="data:,"><script type="module" src="/pikit-update/pikit-update.js"></script></head><body><pikit-update-chip base="/board/"></pikit-update-chip></body></html>` };
    const board = await new Board({ pages }).start();
    const asked = [];
    const page = await browser.newPage();
    page.on("request", (r) => asked.push(new URL(r.url()).pathname));
    await page.goto(`${board.url}based.html`);
    await until("it asks there", () => asked.includes("/board/api/update/status") && asked.includes("/board/api/update/ping"));
    await page.close();
    await board.stop();
  });

  test("without JavaScript the page says what to type", async (t) => {
    const { page } = await visit(t, { javaScriptEnabled: false });
    assert.match(await words(page.locator("body")), /Over SSH, type sudo pikit-updater status/);
  });

  test("a file is sent, looked at and installed: by keyboard, with its progress, and only as it was seen", async (t) => {
    const { board, page } = await visit(t, { status: "up-to-date" });
    await live(page);
    await show(page);
    // the button opens the browser's own chooser
    const chooser = page.waitForEvent("filechooser");
    await button(page, "Install from a file…").focus();
    await shot(page, "file-offered");
    await page.keyboard.press("Enter");
    let go;
    board.holding = new Promise((done) => (go = done));
    await (await chooser).setFiles({ name: "pikit-1.2.0.tar.gz", mimeType: "application/gzip", buffer: Buffer.alloc(3240112, 7) });
    await says(page, "Looking at the file");
    assert.equal(await page.evaluate(() => document.querySelector("pikit-update-dialog").shadowRoot.activeElement?.textContent), "Looking at the file", "the focus is where it happens");
    await looks(page, "file-sending", 1);
    go();
    await says(page, "1.1.0 → 1.2.0, from a file".replace("1.1.0", upload().plan.from));
    assert.deepEqual(board.posts.at(-1), ["upload", 3240112]);
    const said = await words(dialog(page));
    for (const line of [/pikit-1\.2\.0\.tar\.gz, 3\.2 MB\. Signed by 3E0C6A41B0D2F795/, /4 files change, 1 new/, /restarts pikit-api/, /how full the card is/]) assert.match(said, line);
    await button(page, "Which files?").click();
    assert.match(await words(dialog(page)), /pikit-web\/trend\.js new/);
    await looks(page, "file-found");
    await button(page, "Install").click();
    await says(page, "Starting");
    assert.deepEqual(board.posts.at(-1), ["apply", { upload: true, require_manifest: upload().plan.manifest_sha256 }]);
    assert.deepEqual(page.errors, []);
  });

  test("a file that is refused, one that breaks off, and one that is called back", async (t) => {
    const { board, page } = await visit(t, { status: "up-to-date", expect: [/status of 422|status of 413|status of 507|ERR_/] });
    await live(page);
    await show(page);
    const refused = async (status, code, detail, hint, name) => {
      board.uploaded = [status, { type: "about:blank", title: "No", status, code, detail, hint }];
      await pick(page, Buffer.alloc(1000));
      await until("the refusal", async () => (await page.getByRole("alert").count()) === 1 && (await words(page.getByRole("alert"))).toLowerCase().includes(hint));
      await says(page, "Up to date");
      await looks(page, name);
    };
    await refused(422, 4, "/var/tmp/pikit-update/upload/bundle.tar.gz is not signed by whom this device trusts (3E0C6A41B0D2F795)", "it is damaged, or somebody else's", "file-refused");
    await refused(507, 5, "there is no room for 3.2 MB", "free some space on the card, then send it again", "file-no-room");
    // the line breaks
    board.uploaded = null;
    board.away();
    await pick(page, Buffer.alloc(3_000_000));
    await until("the word", async () => /connection broke off/.test(await words(dialog(page))));
    board.back();
    await says(page, "Up to date");
    // called back while it is under way: nothing is said, and the next one goes
    let go;
    board.holding = new Promise((done) => (go = done));
    await pick(page, Buffer.alloc(3_000_000));
    await says(page, "Looking at the file");
    for (const type of ["dragover", "drop"]) assert.deepEqual(await drag(page, type), { stays: true, taken: false });
    await button(page, "Cancel").click();
    await says(page, "Up to date");
    go();
    assert.equal(await page.getByRole("alert").count(), 0);
    await pick(page, Buffer.alloc(1000));
    await says(page, "1.1.0 → 1.2.0, from a file");
    await button(page, "Cancel").click();
    await says(page, "Up to date");
    assert.deepEqual(page.errors, []);
  });
});

// alone: what other pages cost is not the chip's
test("the chip is there within 100 ms of the page, and waits for nothing", async (t) => {
  const { board } = await visit(t);
  await chipWaitsForNothing(browser, board.url);
  await chipComesAtOnce(t, browser, board.url);
});

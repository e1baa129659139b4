// Chromium for tests: starting it, waiting without sleeping, axe, pictures, and what went wrong on a page.

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const SHOTS = process.env.PIKIT_SHOTS ?? fileURLToPath(new URL("../../target/web-shots/", import.meta.url));

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: "--no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(" "),
  });

/// A page whose errors are collected in `page.errors`: console, exceptions, broken CSP. `expect` are patterns of errors that belong to the test.
export async function open(browser, url, { expect = [], ...options } = {}) {
  const context = await browser.newContext({ locale: "en-GB", timezoneId: "UTC", viewport: { width: 1024, height: 800 }, ...options });
  const page = await context.newPage();
  page.errors = [];
  const note = (text) => expect.some((e) => e.test(text)) || page.errors.push(text);
  page.on("console", (m) => m.type() === "error" && note(m.text()));
  page.on("pageerror", (e) => note(String(e)));
  await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (e) => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI}`)));
  await page.goto(url);
  return page;
}

/// Asks until the answer is true; says what it was when time is up.
export async function until(what, ask, limit = 10_000) {
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

/// What axe finds, in words; an empty list is good. It looks into shadow roots by itself.
export async function axe(page) {
  // as a function of the tool, not a <script>: the page's CSP stays as it is
  await page.evaluate(AXE);
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const { violations } = await page.evaluate((values) => window.axe.run(document, { runOnly: { type: "tag", values } }), tags);
  return violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.flat().join(" ")}: ${n.failureSummary}`));
}

export async function shot(page, name) {
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

export const chip = (page) => page.locator("pikit-update-chip button");
export const dialog = (page) => page.locator("pikit-update-dialog dialog");
export const title = (page) => page.locator("pikit-update-dialog .hero h3");
export const button = (page, name) => page.locator("pikit-update-dialog").getByRole("button", { name, exact: true });
export const words = (locator) => locator.evaluate((el) => el.innerText);

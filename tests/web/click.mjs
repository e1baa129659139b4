// A person installs what is offered: node click.mjs URL TOKEN FROM TO. Logs in, looks for updates, clicks, and waits for the good news.

import { chip, launch, open, title, until, words } from "./browser.mjs";

const [url, token, from, to] = process.argv.slice(2);
const browser = await launch();
try {
  const page = await open(browser, url, { expect: [/status of 401/] });
  await until("the chip", async () => /Login needed/.test(await words(chip(page))));
  await chip(page).click();
  await page.locator("pikit-update-dialog input").fill(token);
  await page.keyboard.press("Enter");
  // what was published a moment ago the board does not know yet
  const offered = async () => (await words(title(page))) === `${from} → ${to}`;
  await until("the dialog after the login", async () => !/Log in/.test(await words(title(page))));
  if (!(await offered())) await page.getByRole("button", { name: /^Check/ }).click();
  await until(`${from} → ${to} is offered; it says: ${await words(title(page))}`, offered);
  await page.getByRole("button", { name: "Download & Install" }).click();
  await until(`${to} is installed`, async () => (await words(title(page))) === `Updated to ${to}`);
} finally {
  await browser.close();
}

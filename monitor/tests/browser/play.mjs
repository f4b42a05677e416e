// Plays one scenario with a headless Chromium against a daemon of the test that started this: play.mjs TOOLS CHROMIUM BASE SCENARIO [ARGUMENTS].
//
// What the daemon should do is asked for on stdout, a line that begins with `> `; the test answers with a line when it is done.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { scenarios } from "./scenarios.mjs";

const [tools, executablePath, base, name, ...given] = process.argv.slice(2);
const require = createRequire(`${tools}/package.json`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the test do something to its daemon. */
async function daemon(command) {
  process.stdout.write(`> ${command}\n`);
  const { value, done } = await answers.next();
  assert.ok(!done, "the test ended");
  return value;
}

const get = async (path) => (await fetch(`${base}${path}`)).json();

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const problems = [];

/** A page that notes whatever it complains about, and whatever it asks of others. */
async function open(path, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1300, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && problems.push(`${path}: ${message.text()}`));
  page.on("pageerror", (error) => problems.push(`${path}: ${error.message}`));
  page.on("dialog", (dialog) => problems.push(`${path}: a dialog, ${dialog.message()}`));
  page.on("request", (request) => request.url().startsWith(`${base}/`) || problems.push(`${path}: asks ${request.url()}`));
  await page.goto(`${base}${path}`);
  return page;
}

/** Until the view shows what came. */
async function ready(page) {
  await page.locator("#link[data-state=live]").waitFor();
  await page.locator("main:not(.waiting)").waitFor();
}

/** Fails on a serious fault of accessibility. */
async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const said = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
  assert.deepEqual(said, [], what);
}

/** The texts of a table's cells, row by row. */
async function cells(page, label) {
  return page.getByRole("region", { name: label, exact: true }).locator("tbody tr")
    .evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim())));
}

try {
  await scenarios[name]({ given, browser, daemon, get, open, ready, accessible, cells, problems });
  assert.deepEqual(problems, [], "the console is silent, and nothing leaves the origin");
} finally {
  await browser.close();
}
process.stdout.write("played\n");
process.exit(0);

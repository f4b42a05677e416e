// Takes the page in light and dark: page.mjs TOOLS CHROMIUM BASE DIRECTORY
import { createRequire } from "node:module";

const [tools, executablePath, base, directory] = process.argv.slice(2);
const { chromium } = createRequire(`${tools}/package.json`)("playwright-core");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

/** A view as it looks when everything has come. */
async function take(path, name, colorScheme, viewport) {
  const context = await browser.newContext({ colorScheme, viewport, reducedMotion: "reduce" });
  const page = await context.newPage();
  await page.goto(`${base}${path}`);
  await page.locator("#link[data-state=live]").waitFor();
  await page.locator("main:not(.waiting)").waitFor();
  await page.screenshot({ path: `${directory}/${name}.png` });
  await context.close();
}

for (const scheme of ["light", "dark"]) {
  await take("/", `page-${scheme}`, scheme, { width: 1300, height: 860 });
}
await browser.close();

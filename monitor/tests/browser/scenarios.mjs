// What the page is to do, each as a function of the daemon and the browser. Numbers are compared with the API, asked beside the page.

import assert from "node:assert/strict";
import { listeners, overview, peer, peers, signals, text, timeouts, whole } from "./looks.mjs";
import { real } from "./real.mjs";

/** Takes out what the browser says of answers that a scenario is about. */
const forgive = (problems, part) => problems.splice(0, problems.length, ...problems.filter((problem) => !problem.includes(part)));

/** Each view shows what the API says, in light and dark, wide and narrow, without a serious fault of accessibility. */
async function views(tools) {
  const { get, open, ready, accessible, cells } = tools;
  const dark = { colorScheme: "dark", viewport: { width: 400, height: 800 } };
  const check = async (path, look) => {
    const page = await open(path);
    await ready(page);
    await look?.(page);
    await accessible(page, `${path} in light`);
    const narrow = await open(path, dark);
    await ready(narrow);
    await accessible(narrow, `${path} in dark and narrow`);
    assert.equal(await narrow.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, `${path} is not wider than the window`);
    await Promise.all([page, narrow].map((one) => one.context().close()));
  };

  await check("/", async (page) => {
    await overview(page, tools);
    const history = await get("/api/v1/history?limit=12");
    // The bar under the pointer is the one that is told of: the last interval but one from the middle of its bar.
    const chart = page.locator(".past .u-over").first();
    const { width, height } = await chart.boundingBox();
    const intervals = Math.min(180, history.intervals);
    await chart.hover({ position: { x: width * (1 - 1.5 / intervals), y: height / 2 } });
    const from = new Date(Date.parse(history.start) + (history.intervals - 2) * 10_000);
    const told = await text(page.locator(".readout"));
    const clock = await page.evaluate((at) => new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(new Date(at)), from.getTime());
    assert.ok(told.includes(`${clock}: `), `${clock} in ${told}`);
    await page.getByText("The same as a table").click();
    await page.getByRole("region", { name: "Resets by interval" }).locator("tbody tr").first().waitFor();
    const [interval] = await cells(page, "Resets by interval");
    assert.deepEqual(interval.slice(3, 5), [whole(history.total.sums.reset), whole(history.total.sums.closed)]);
  });

  await check("/?view=peers", (page) => peers(page, tools));

  await check("/?view=peer&peer=10.0.0.1&port=8080&role=client", async (page) => {
    const { timeouts: [pair] } = await peer(page, { ...tools, query: "peer=10.0.0.1&port=8080&role=client" });
    // Both timeouts of the pair, in the legend of the histogram and as a picture.
    assert.equal(await text(page.locator(".legend").last()), `the peer’s timeout ${Math.round(pair.remote.timeouts[0].seconds)} s`);
    assert.match(await page.locator("svg.margin").getAttribute("aria-label"), /^client 60 s, server 60 s, margin −28 ms, misaligned$/);
  });

  // Of a port with several peers one has its past drawn, and it is said which.
  await check("/?view=peer&port=443", async (page) => {
    const { peers: [past], matching } = await get("/api/v1/history?port=443&limit=1");
    assert.equal(matching, 2);
    const said = await text(page.locator(".card", { has: page.locator(".past") }));
    assert.ok(said.startsWith(`Of ${past.peer.includes(":") ? `[${past.peer}]` : past.peer}:443 `), said);
    assert.ok(said.includes(`as ${past.role}, with the most resets of the 2 that match`), said);
  });

  await check("/?view=timeouts", (page) => timeouts(page, tools));
  await check("/?view=listeners", (page) => listeners(page, tools));
  await check("/?view=signals", (page) => signals(page, tools));
  await check("/?view=events");
}

/** Events come as they happen; held, they wait; filtered, they are few; one can be opened. */
async function stream({ daemon, get, open, ready, cells, accessible }) {
  const page = await open("/?view=events");
  await ready(page);
  const rows = page.getByRole("region", { name: "Events" }).locator("tbody tr");
  await daemon("publish 3");
  await rows.nth(2).waitFor();
  const kept = await get("/api/v1/events?limit=10");
  const shown = await cells(page, "Events");
  assert.deepEqual(shown.map((row) => row[1]), kept.events.toReversed().map(({ kind }) => kind.replaceAll("_", " ")));
  assert.ok(shown.every((row) => row[5] === "nginx[42]"), `${shown}`);

  await page.getByRole("button", { name: "Pause" }).click();
  await daemon("publish 4");
  await page.getByText("4 events waiting").waitFor();
  assert.equal(await rows.count(), 3);
  await page.getByRole("button", { name: "Resume" }).click();
  await rows.nth(6).waitFor();

  // A provisional verdict that becomes final changes its row.
  await daemon("provisional");
  await page.getByText("not final yet").waitFor();
  await daemon("final");
  await page.locator("td code", { hasText: "peer_abort" }).waitFor();
  assert.equal(await page.getByText("not final yet").count(), 0);

  // A filter is in the URL, and the stream follows it.
  await page.getByLabel("direction").selectOption("received");
  await page.waitForURL(/direction=received/);
  await page.locator("#link[data-state=live]").waitFor();
  await rows.nth(0).waitFor();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await daemon("publish 2");
  await daemon("refused");
  await rows.nth(1).waitFor();
  assert.deepEqual((await cells(page, "Events")).map((row) => row[1]), ["refused received", "reset received"]);

  await page.locator("a.when").first().click();
  await page.getByRole("heading", { name: /^Event \d+/ }).waitFor();
  await page.waitForURL(/event=\d+/);
  await accessible(page, "an opened event");
}

/** A link opens the same view again, the way back is the browser's, and the keyboard is enough. */
async function links({ open, ready, cells }) {
  const page = await open("/");
  await ready(page);
  await page.getByRole("link", { name: "6 h" }).click();
  await page.waitForURL(/range=6h/);
  await ready(page);
  await page.getByRole("link", { name: "10.0.0.1:8080", exact: true }).first().click();
  await page.waitForURL(/view=peer/);
  await ready(page);
  const [there, heading] = [page.url(), await text(page.locator("h1").first())];
  const other = await open(new URL(there).pathname + new URL(there).search);
  await ready(other);
  assert.equal(await text(other.locator("h1").first()), heading);
  await page.goBack();
  await page.waitForURL(/range=6h/);
  await ready(page);
  assert.equal(await text(page.locator(".choice a[aria-current]")), "6 h");

  // Filters are entered, applied by Enter, and are in the link.
  await page.goto(new URL("/?view=peers", there).href);
  await ready(page);
  await page.getByLabel("port", { exact: true }).fill("8080");
  await page.keyboard.press("Enter");
  await page.waitForURL(/port=8080/);
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  assert.equal((await cells(page, "Peers"))[0][0], "10.0.0.1:8080 client");

  // By keyboard alone: the first stop leads past the navigation, and every view is a stop.
  await page.goto(new URL("/", there).href);
  await ready(page);
  const stops = [];
  for (let stop = 0; stop < 8; stop += 1) {
    await page.keyboard.press("Tab");
    stops.push(await page.evaluate(() => document.activeElement.textContent.trim()));
  }
  assert.deepEqual(stops, ["Skip to the numbers", "reset-monitor", "Overview", "Peers", "Live events", "Keep-alive", "Listeners", "Signals"]);
  await page.keyboard.press("Enter");
  await page.waitForURL(/view=signals/);
}

/** Names that would be markup, escapes or turned lines are text, in tables, details and links. */
async function hostile({ daemon, open, ready, cells, get, problems }) {
  const page = await open("/?view=events");
  await ready(page);
  await daemon("hostile");
  const rows = page.getByRole("region", { name: "Events" }).locator("tbody tr");
  await rows.nth(4).waitFor();
  const { events } = await get("/api/v1/events?limit=10");
  const shown = (await cells(page, "Events")).map((row) => row[5]);
  const visible = (name) => name.replace(/[\u001b\u202e\u200f\u2066\n]/g, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);
  assert.deepEqual(shown, events.toReversed().map(({ owner, process }) => `${visible((owner ?? process).comm)}[${(owner ?? process).pid}]`));
  assert.equal(await page.locator("main img, main script, main b[onclick]").count(), 0);
  // Each is kept apart from what is around it.
  assert.equal(await page.locator("td bdi").count(), events.length);
  await page.locator("a.when").first().click();
  await page.getByRole("heading", { name: /^Event \d+/ }).waitFor();
  assert.equal(await page.locator("main img, main script").count(), 0);

  // What is in a link is text, too.
  const crooked = await open(`/?view=peers&peer=${encodeURIComponent('"><img src=x onerror=alert(1)>')}`);
  await crooked.locator("#banner:not([hidden])").waitFor();
  assert.ok((await text(crooked.locator("#banner"))).includes("<img src=x"));
  assert.equal(await crooked.locator("main img").count(), 0);
  // Chromium says itself that an answer was a refusal.
  await crooked.context().close();
  forgive(problems, "400 (Bad Request)");
}

/** What the cluster calls peers and pods stands beside their addresses, and is text. */
async function names({ open, ready, cells, get }) {
  const page = await open("/?view=peers");
  await ready(page);
  const { peers: all, namespaces } = await get("/api/v1/peers");
  assert.deepEqual(namespaces.map(({ netns, cgroup }) => [netns, cgroup.pod.name]), [[2, "orders-1"]]);
  const rows = (await cells(page, "Peers")).map(([peer]) => peer);
  all.forEach(({ peer, port, role, name, netns }, index) => {
    const before = name ? `${name.namespace}/${name.service ?? name.pod} ` : "";
    const address = peer.includes(":") ? `[${peer}]` : peer;
    const whose = netns === 2 ? " our end: shop/orders-1" : "";
    assert.equal(rows[index], port === null ? `${before}${peer} ${role}` : `${before}${address}:${port} ${role}${whose}`);
  });
  assert.equal(all.filter(({ name }) => name).length, 2);
  assert.equal(await page.locator("main img").count(), 0);
  const live = await open("/?view=events");
  await ready(live);
  const [event] = await cells(live, "Events");
  assert.ok(event[2].startsWith("shop/<img src=x> "), event[2]);
  assert.equal(event[5], "shop/orders-1 app[4711]");
  assert.equal(await live.locator("main img").count(), 0);
}

/** A daemon that is gone is told of, with what is shown marked as old; one that comes back is live again. */
async function lost({ daemon, open, ready, problems }) {
  const [overview, events] = [await open("/"), await open("/?view=events")];
  await Promise.all([overview, events].map(ready));
  const headline = await text(overview.locator("h1"));
  await daemon("stop");
  for (const page of [overview, events]) {
    await page.locator("#link[data-state=lost]").waitFor();
    assert.match(await text(page.locator("#banner")), /^Cannot reach the daemon; trying again\. What is shown is from /);
  }
  assert.equal(await text(overview.locator("h1")), headline);
  assert.equal(await overview.locator("main.stale").count(), 1);
  await daemon("start");
  for (const page of [overview, events]) {
    await page.locator("#link[data-state=live]").waitFor();
    assert.equal(await page.locator("#banner").isHidden(), true);
  }
  assert.equal(await overview.locator("main.stale").count(), 0);
  // Chromium says itself that it could not connect.
  forgive(problems, "net::ERR_");
}

/** A host on which nothing happened says what it watches and how to see something. */
async function empty({ open, ready, accessible }) {
  const expected = {
    "/": ["No resets in the last 10 minutes; watching 10 open connections and 1 peer.", "No resets of a peer", "curl http://127.0.0.1:1", "No alert is firing"],
    "/?view=peers": ["No peer matches"],
    "/?view=events": ["No event yet", "curl http://127.0.0.1:1"],
    "/?view=timeouts": ["No pair of timeouts is known yet", "reset-monitor probe"],
    "/?view=listeners": ["No listening socket matches"],
  };
  for (const [path, parts] of Object.entries(expected)) {
    const page = await open(path);
    await ready(page);
    const said = await text(page.locator("main"));
    for (const part of parts) assert.ok(said.includes(part), `${part} in ${path}: ${said}`);
    await accessible(page, path);
    await page.context().close();
  }
}

/** With 10,000 peers and a flood of events the page has a bounded number of rows, and answers. Says what it took. */
async function crowd({ daemon, get, open, ready, browser }) {
  const page = await open("/?view=peers");
  await ready(page);
  const { matching } = await get("/api/v1/peers?limit=1");
  assert.equal(matching, 10_000);
  assert.equal(await page.locator("tbody tr").count(), 200);
  assert.ok((await text(page.locator("main"))).includes("10,000 peers match; the first 200 are shown"));

  const live = await open("/?view=events");
  await ready(live);
  const session = await live.context().newCDPSession(live);
  await session.send("Performance.enable");
  const metrics = async () => Object.fromEntries((await session.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value]));
  const before = await metrics();
  // A thousand a second for five seconds, a few at a time, as a host would.
  const began = performance.now();
  for (let slice = 0; slice < 250; slice += 1) {
    await daemon("publish 20");
    while (performance.now() - began < slice * 20) await new Promise((resolve) => setImmediate(resolve));
  }
  const took = (performance.now() - began) / 1000;
  const newest = (await get("/api/v1/events?limit=1")).newest;
  await live.waitForFunction((id) => document.querySelector("a.when")?.href.endsWith(`event=${id}`), newest);
  assert.equal(await live.locator("tbody tr").count(), 200);
  const after = await metrics();
  const spent = (name) => ((after[name] - before[name]) * 1000) / 5000;
  await session.send("HeapProfiler.collectGarbage");
  const { JSHeapUsedSize: heap, Nodes: nodes } = await metrics();
  process.stdout.write(`measured: 5000 events in ${took.toFixed(1)} s; per event ${spent("TaskDuration").toFixed(3)} ms of the page's thread, `
    + `${spent("ScriptDuration").toFixed(3)} ms of it script, ${spent("LayoutDuration").toFixed(3)} ms layout; heap ${(heap / 1e6).toFixed(1)} MB, ${nodes} nodes; ${browser.version()}\n`);
  // It still listens to whoever reads.
  await live.getByRole("button", { name: "Pause" }).click();
  await live.getByText("Paused").waitFor();
}

export const scenarios = { views, stream, links, hostile, names, lost, empty, crowd, real };

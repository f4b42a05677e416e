// What each view is to show of what the API says. A look fails where both differ; it leaves the page as it can be looked at again.

import assert from "node:assert/strict";

export const whole = (value) => (value === null ? "–" : new Intl.NumberFormat("en").format(value));
export const text = async (locator) => (await locator.textContent()).replace(/\s+/g, " ").trim();
export const sum = (counts) => Object.values(counts).reduce((all, one) => all + one, 0);
/** The numbers of a view's tiles, by their titles. */
export const tiles = async (page) =>
  Object.fromEntries(await page.locator(".tile").evaluateAll((all) => all.map((tile) => [tile.querySelector("dt").textContent, tile.querySelector("dd").firstChild.textContent])));

/** The verdict, the last hours as charts and as a table, the peers with the most resets, alerts, the last events, and the signals. */
export async function overview(page, { get, cells }) {
  const [now, history, { alerts }, { events }] = await Promise.all(
    ["/api/v1/overview", "/api/v1/history?limit=12", "/api/v1/alerts?limit=100", "/api/v1/events?limit=6"].map(get));
  const verdict = page.locator("section.verdict");
  assert.equal(await text(verdict.locator("h1")), now.headline);
  for (const part of [now.why, now.change].filter(Boolean)) assert.ok((await text(verdict)).includes(part), part);
  const shown = await tiles(page);
  assert.deepEqual(["connections reset", "open connections", "full accept queue met", "misaligned timeouts"].map((title) => shown[title]),
    [now.recent.reset, now.open, now.recent.overflows, now.misaligned].map(whole));
  const rows = await cells(page, "Peers with the most resets");
  const expected = history.peers.filter(({ past }) => past && sum(past.sums.resets_sent) + sum(past.sums.resets_received)).map(({ past: { sums } }) =>
    [whole(sum(sums.resets_sent) + sum(sums.resets_received)), whole(sums.reset), whole(sums.closed)]);
  assert.deepEqual(rows.map((row) => row.slice(1, 4)), expected);
  const legend = await page.locator(".legend li").allTextContents();
  const total = history.total.sums;
  for (const cause of Object.keys({ ...total.resets_sent, ...total.resets_received })) {
    const count = (total.resets_sent[cause] ?? 0) + (total.resets_received[cause] ?? 0);
    assert.ok(legend.some((line) => line.startsWith(`${cause} ${whole(count)}`)), `${cause} ${count} in ${legend}`);
  }
  const current = alerts.filter(({ state }) => state !== "resolved").slice(0, 6);
  assert.deepEqual((await cells(page, "Alerts")).map(([state]) => state.split(" ").at(-1)), current.map(({ severity }) => severity));
  assert.deepEqual((await cells(page, "Last events")).map((row) => row[2]), events.toReversed().map(({ cause, direction }) => `${cause ?? ""} ${direction}`));
  const { works, degraded, missing } = now.health;
  assert.ok((await text(page.locator("main"))).includes(`${works} of ${works + degraded + missing} signals work`));
  // The chart is there for who sees it, and its numbers for who does not.
  assert.ok(await page.locator(".past canvas").count() >= 2);
  const label = await page.locator(".past .canvas").first().getAttribute("aria-label");
  assert.ok(label.includes(whole(sum(total.resets_sent) + sum(total.resets_received))), label);
}

/** Every peer with its counts and causes, but for those who look: each look is a connection. */
export async function peers(page, { get, cells, query = "" }) {
  const own = new URL(page.url()).port;
  const peers = (await get(`/api/v1/peers?limit=200${query}`)).peers.filter(({ port }) => String(port) !== own);
  const rows = (await cells(page, "Peers")).filter(([name]) => !name.includes(`:${own} `));
  assert.deepEqual(rows.map((row) => row.slice(1, 6)), peers.map((peer) =>
    [peer.resets_received, peer.resets_sent, peer.refused_received, peer.reset, peer.closed].map(whole)));
  assert.deepEqual(rows.map((row) => row.slice(7, 9)), peers.map(({ open, idle }) => [open, idle].map(whole)));
  peers.forEach(({ causes_sent: sent, causes_received: received }, index) => {
    const causes = [...Object.entries(sent), ...Object.entries(received)].map(([cause, count]) => `${cause} ${whole(count)}`);
    const told = rows[index][9].split(", ").filter(Boolean);
    assert.equal(told.length, Math.min(3, causes.length));
    assert.ok(told.every((one) => causes.includes(one)), `${told} of ${causes}`);
  });
}

/** One peer: the verdict, the fix, the evidence, the idle times and who gives up first. */
export async function peer(page, { get, cells, query }) {
  const [{ diagnoses: [found] }, { peers: [past] }, { timeouts }, { events }] = await Promise.all(
    [`/api/v1/explain?limit=1&${query}`, `/api/v1/history?limit=1&${query.replace(/&netns=\d+/, "")}`, `/api/v1/timeouts?limit=5&${query}`,
      `/api/v1/events?limit=25&idle_closes=true&${query.replace(/&(netns|role)=\w+/g, "")}`].map(get));
  assert.equal(await text(page.locator("section.verdict h1")), found.verdict.sentence);
  const fixes = await page.locator("section.fix").allTextContents();
  assert.equal(fixes.length, found.fixes.length);
  found.fixes.forEach(({ advice, settings }, index) => {
    for (const part of [advice, ...settings.map(({ setting }) => setting)]) assert.ok(fixes[index].includes(part), `${part} in ${fixes[index]}`);
  });
  const rows = await cells(page, "Evidence by cause");
  assert.deepEqual(rows.map((row) => row[1]), found.evidence.map(({ count }) => whole(count)));
  const shown = await tiles(page);
  assert.deepEqual(["resets received", "resets sent", "ended"].map((title) => shown[title]),
    [found.counts.resets_received, found.counts.resets_sent, found.counts.closed].map(whole));
  const idle = await page.locator('.canvas[aria-label^="Idle time before the reset"]').getAttribute("aria-label");
  assert.ok(idle.includes(`${whole(sum(past.idle_before_reset.counts))} reset`), idle);
  assert.equal(await page.locator("svg.margin").count(), timeouts.filter(({ client_seconds: client, server_seconds: server }) => client ?? server).length);
  assert.deepEqual((await cells(page, "Last events")).map((row) => row[1]), events.toReversed().map(({ kind }) => kind.replaceAll("_", " ")));
  return { found, past, timeouts };
}

/** Every pair of timeouts that is known, with a picture. */
export async function timeouts(page, { get, cells, query = "" }) {
  const { timeouts } = await get(`/api/v1/timeouts?known=true${query}`);
  const rows = await cells(page, "Keep-alive audit");
  assert.deepEqual(rows.map(([verdict]) => verdict.split(" ")[1]), timeouts.map(({ verdict }) => verdict));
  assert.equal(await page.locator("svg.margin").count(), timeouts.length);
  return timeouts;
}

/** Listening sockets, and the queues that were full anywhere. */
export async function listeners(page, { get, cells, query = "" }) {
  const { listeners, overflows, total } = await get(`/api/v1/listeners?limit=200${query}`);
  const rows = await cells(page, "Listeners");
  assert.deepEqual(rows.map((row) => row.slice(2)), listeners.map(({ backlog, limit, overflows_syn: syn, overflows_ack: ack, drops }) =>
    [backlog, limit, syn, ack, drops].map(whole)));
  const full = await cells(page, "Overflows by listener, of all network namespaces");
  assert.deepEqual(full.map((row) => row.slice(2)), (overflows ?? []).map(({ overflows_syn: syn, overflows_ack: ack }) => [whole(syn), whole(ack)]));
  assert.equal((await tiles(page))["full queue met"], whole(total.listen_overflows));
  return listeners;
}

/** What serves each signal, and the account of the stories. What is full how far moves with every look, where it is a host's. */
export async function signals(page, { get, cells, moving = false }) {
  const [{ signals }, { stories, fills }] = await Promise.all(["/api/v1/signals", "/api/v1/status"].map(get));
  const rows = await cells(page, "Signals");
  assert.deepEqual(rows.map((row) => row.slice(0, 3).map((cell) => cell.split(" ").at(-1))),
    signals.map(({ status, signal, hook }) => [status, signal, hook].map((cell) => String(cell ?? "").split(" ").at(-1))));
  assert.deepEqual((await cells(page, "Stories by kind")).map((row) => row.slice(1)), Object.values(stories).map(({ seen, decoded, lost, suppressed }) =>
    [seen, decoded, lost, suppressed].map(whole)));
  const shown = await cells(page, "How full bounded things are");
  assert.deepEqual(shown.map((row) => row.slice(moving ? 2 : 1)), Object.values(fills).map(({ used, capacity }) => [used, capacity].slice(moving ? 1 : 0).map(whole)));
  for (const [name, used] of shown) assert.match(used, /^([\d,]+|–)$/, name);
}

// With the real daemon, under resets that the trial makes: every view against the API, and the API against what was made.

import assert from "node:assert/strict";
import { listeners, overview, peer, peers, signals, sum, tiles, timeouts, whole } from "./looks.mjs";

/** Between two looks, and after how long a page that still differs is wrong: it asks anew every few seconds. */
const [PAUSE, PATIENCE] = [500, 60_000];

/** Until a look succeeds: a host goes on, and a page is as old as its last answer. */
async function eventually(look) {
  for (const began = performance.now(); ;) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() - began > PATIENCE) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

/** Late data is either of both, by how long it took to be sent. */
const ofKind = (cause) => (["late_data", "idle_reuse"].includes(cause) ? "late" : cause);

/** How often each cause is named. */
function counted(causes) {
  const counts = {};
  for (const cause of causes) counts[ofKind(cause)] = (counts[ofKind(cause)] ?? 0) + 1;
  return counts;
}

/** The same of counts by cause. */
const byKind = (counts) => counted(Object.entries(counts).flatMap(([cause, count]) => Array(count).fill(cause)));

export async function real({ given: [remote, port, netns], daemon, ...tools }) {
  const { open, ready, get, cells, accessible } = tools;
  const which = `peer=${remote}&port=${port}`;
  const query = `${which}&role=client&netns=${netns}`;
  const live = await open(`/?view=events&${which}&direction=received`);
  await ready(live);
  await live.getByText("No event that is kept matches").waitFor();
  const page = await open(`/?view=peers&${which}&role=client`);
  await ready(page);

  // What the clients of this service received, by the trial's own account, comes one by one.
  const made = JSON.parse(await daemon("mix"));
  const total = sum(made.received);
  await live.getByRole("region", { name: "Events" }).locator("tbody tr").nth(total - 1).waitFor();
  await eventually(async () => {
    const { events } = await get(`/api/v1/events?${which}&direction=received&limit=200`);
    const rows = await cells(live, "Events");
    assert.deepEqual(rows.map(([, what, whom, cause]) => [what, whom, cause.split(" ")[0]]),
      events.toReversed().map(({ kind, cause }) => [kind.replaceAll("_", " "), `${remote}:${port} client`, cause]));
    assert.deepEqual(counted(rows.map(([, , , cause]) => cause.split(" ")[0])), made.received);
    assert.ok(events.every(({ final }) => final), "verdicts that are not final");
  });
  await eventually(async () => {
    const [[whom, received, sent]] = await cells(page, "Peers");
    // Whose namespace it is depends on where the trial runs; that it is another one than the daemon's does not.
    const [peer, whose] = whom.split(" our end: ");
    assert.deepEqual([peer, received, sent], [`${remote}:${port} client`, whole(total), "0"]);
    const { namespaces: [{ cgroup }] } = await get(`/api/v1/peers?${query}`);
    assert.ok(cgroup ? whose : whose === `network namespace ${netns}`, whom);
  });

  // The API against what was made. The past has it at its next reading.
  await eventually(async () => {
    const { peers: rows } = await get(`/api/v1/peers?${query}`);
    assert.deepEqual(rows.map(({ causes_received: received }) => byKind(received)), [made.received]);
    const { peers: [{ past }] } = await get(`/api/v1/history?${which}&role=client`);
    assert.deepEqual(byKind(past.sums.resets_received), made.received);
    const { timeouts: [pair] } = await get(`/api/v1/timeouts?${query}`);
    assert.equal(pair.remote.timeouts.length, 1);
    assert.equal((await get(`/api/v1/peers?peer=${remote}&port=${made.refused_port}&role=client`)).peers[0].refused_received, made.refused);
    const { listeners: [full], total: { listen_overflows: overflows } } = await get(`/api/v1/listeners?port=${made.full_port}`);
    assert.deepEqual([full.backlog, full.limit, overflows], [made.waiting, made.limit, made.overflows]);
    assert.equal((await get("/api/v1/alerts")).alerts.filter(({ labels }) => labels.port === port).length > 0, true, "no alert of it");
  });

  // Every view against the API, as it is and by its link in another browser, narrow and dark.
  const looks = [
    ["/", overview], ["/?range=6h", overview],
    ["/?view=peers", peers], [`/?view=peers&port=${port}`, peers, `&port=${port}`],
    [`/?view=peer&${query}`, peer, query], [`/?view=timeouts`, timeouts], [`/?view=timeouts&port=${port}`, timeouts, `&port=${port}`],
    ["/?view=listeners", listeners], [`/?view=listeners&port=${made.full_port}`, listeners, `&port=${made.full_port}`],
    ["/?view=signals", signals],
  ];
  const narrow = { colorScheme: "dark", viewport: { width: 400, height: 800 } };
  for (const [path, look, query] of looks) {
    const first = await open(path);
    await ready(first);
    await eventually(() => look(first, { ...tools, query, moving: true }));
    await accessible(first, path);
    const { pathname, search } = new URL(first.url());
    const again = await open(pathname + search, narrow);
    await ready(again);
    await eventually(() => look(again, { ...tools, query, moving: true }));
    await accessible(again, `${path} in dark and narrow`);
    assert.equal(await again.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, `${path} is wider than the window`);
    await Promise.all([first, again].map((one) => one.context().close()));
  }

  // An event by its link.
  const { events: [chosen] } = await get(`/api/v1/events?${which}&direction=received&limit=1`);
  const details = await open(`/?view=events&event=${chosen.id}`);
  await ready(details);
  await details.getByRole("heading", { name: `Event ${chosen.id}` }).waitFor();
  await accessible(details, "an event by its link");

  // And what comes while a view is open is on it, without a reload.
  const peerPage = await open(`/?view=peer&${query}`);
  await ready(peerPage);
  const more = Number(await daemon("reset 4"));
  await eventually(async () => assert.equal((await tiles(peerPage))["resets received"], whole(total + more)));
  await eventually(() => peer(peerPage, { ...tools, query }));
  await live.getByRole("region", { name: "Events" }).locator("tbody tr").nth(total + more - 1).waitFor();
}

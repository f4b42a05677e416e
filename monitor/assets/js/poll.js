// Asks again and again for what a view shows, while somebody looks, and says when nothing comes.

import { get, Refused } from "./api.js";

const EVERY_MS = 5_000;
const RETRY_MS = [1_000, 2_000, 5_000, 10_000];

/** Calls `show` with the answers of `paths`, `refuse` with a refusal, and `lost` with how often it failed in a row. */
export function poll({ paths, show, refuse, lost }) {
  const ended = new AbortController();
  let timer = 0;
  let failures = 0;
  let busy = false;

  async function ask() {
    if (busy || ended.signal.aborted) return;
    busy = true;
    clearTimeout(timer);
    try {
      const names = Object.keys(paths);
      const answers = await Promise.all(names.map((name) => get(paths[name], ended.signal)));
      if (ended.signal.aborted) return;
      failures = 0;
      show(Object.fromEntries(names.map((name, index) => [name, answers[index]])));
    } catch (error) {
      if (ended.signal.aborted) return;
      if (error instanceof Refused) {
        failures = 0;
        refuse(error);
      } else {
        failures += 1;
        lost(failures, error);
      }
    } finally {
      busy = false;
      if (!ended.signal.aborted) {
        const wait = failures ? RETRY_MS[Math.min(failures, RETRY_MS.length) - 1] : EVERY_MS;
        timer = setTimeout(() => !document.hidden && ask(), wait);
      }
    }
  }

  const shown = () => document.hidden || ask();
  document.addEventListener("visibilitychange", shown);
  ask();
  return () => {
    ended.abort();
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", shown);
  };
}

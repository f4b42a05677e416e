// The daemon's own API, of the same origin.

/** The daemon answered that it will not: what it said is for the reader. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const PATIENCE_MS = 10_000;

/** JSON at a path; a refusal as `Refused`, anything else that went wrong as another error. */
export async function get(path, signal) {
  const limit = AbortSignal.timeout(PATIENCE_MS);
  const answer = await fetch(path, { signal: signal ? AbortSignal.any([signal, limit]) : limit, cache: "no-store" });
  if (answer.ok) return answer.json();
  const said = await answer.json().catch(() => null);
  // Too busy is no answer: it is asked again.
  if (answer.status >= 500) throw new Error(said?.error ?? `status ${answer.status}`);
  throw new Refused(answer.status, said?.error ?? `status ${answer.status}`);
}

// What causes mean in a few words, and how they look. Five colours for five kinds; within a kind the pattern tells, so that no
// colour has to be seen.

/** By kind: the colour's variable in the style sheet, and the causes, of which each has the next pattern. */
const KINDS = [
  ["--timer", "a timer", ["idle_reuse", "idle_abort", "stale_idle", "late_data", "keepalive_timeout"]],
  ["--here", "this host", ["unread_data", "process_exit", "linger_abort", "admin_abort", "listener_closed", "memory_pressure"]],
  ["--queue", "a queue or a closed port", ["listen_overflow", "peer_overflow", "refused"]],
  ["--path", "the path", ["middlebox", "netfilter_reject", "protocol"]],
  ["--peer", "the peer", ["peer_abort"]],
  ["--rest", "not known", ["other", "unclassified"]],
];

const MEANINGS = {
  refused: "nothing listens there",
  listen_overflow: "accept queue full",
  netfilter_reject: "a REJECT rule of this host",
  process_exit: "the owner died with connections open",
  admin_abort: "ended by ss -K",
  keepalive_timeout: "keep-alive probes unanswered",
  memory_pressure: "out of memory for sockets",
  listener_closed: "closed before anybody accepted",
  idle_reuse: "a request met a connection closed for idleness",
  unread_data: "closed with data unread",
  linger_abort: "closed on purpose, SO_LINGER 0",
  late_data: "data came after the close",
  middlebox: "probably a device on the way",
  idle_abort: "reset after long quiet, unprovoked",
  stale_idle: "state was dropped on the way",
  peer_overflow: "the peer's queue was probably full",
  protocol: "a segment that does not fit",
  peer_abort: "the peer gave up mid-transfer",
  other: "none of the known causes",
  unclassified: "counted, but the story was lost",
};

/** In the order in which they are stacked. */
export const CAUSES = KINDS.flatMap(([, , causes]) => causes);

export function meaning(cause) {
  return MEANINGS[cause] ?? "";
}

export function look(cause) {
  for (const [variable, , causes] of KINDS) {
    const place = causes.indexOf(cause);
    if (place >= 0) return { variable, pattern: place };
  }
  return { variable: "--rest", pattern: 0 };
}

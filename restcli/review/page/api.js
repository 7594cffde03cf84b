// Requests to the server that this page came from.

const given = new URLSearchParams(location.search).get("token");
if (given) {
  sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname + location.hash);
}
const token = sessionStorage.getItem("token") ?? "";
export class Failure extends Error {
  constructor(status, body) {
    super(body.error ?? `The server answered with ${status}`);
    this.status = status;
    this.body = body;
  }
}

// Reading times out after two minutes; those who send something say how long it may take.
async function request(path, options = {}) {
  const headers = { "X-Token": token, ...(options.body ? { "Content-Type": "application/json" } : {}) };
  const reply = await fetch(path, { signal: AbortSignal.timeout(120_000), cache: "no-store", ...options, headers });
  if (!reply.ok) throw new Failure(reply.status, await reply.json().catch(() => ({})));
  return reply;
}

export async function get(path, signal) {
  return (await request(path, signal && { signal })).json();
}

export async function post(path, body, signal) {
  return (await request(path, { method: "POST", body: JSON.stringify(body), signal })).json();
}

// One page of signal: header fields and one Int16Array for each trace; -32768 marks missing signal.
export async function getPage(path) {
  const buffer = await (await request(path)).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const first = Math.ceil((4 + length) / 4) * 4;
  const data = header.traces.map((_, k) => new Int16Array(buffer, first + 2 * k * header.n, header.n));
  return { ...header, data, bytes: buffer.byteLength };
}

export function inWords(fault) {
  if (fault instanceof Failure && fault.status === 403) {
    return "The server does not know this window. Open the address that restcli review printed last";
  }
  return fault instanceof Failure ? fault.message.replace(/\.$/, "") : "The server cannot be reached";
}

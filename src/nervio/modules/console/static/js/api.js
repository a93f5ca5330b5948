// Calls to our own API. A problem the server describes (RFC 9457) and a line that is down are told apart, because the
// till keeps a sale in the second case and gives it back to the cashier in the first.
const csrf = () => document.querySelector('meta[name="csrf"]')?.content ?? "";

/** The server answered and said no. `problem` is its answer, the message says it in the language of the page. */
export class Refused extends Error {
  constructor(status, problem, words) {
    super(words ?? problem.detail ?? problem.title ?? String(status));
    this.status = status;
    this.problem = problem;
  }

  /** Whether the same request may succeed later: the shop is stopped, the server busy or broken, the session over. */
  get passing() {
    return [401, 403, 408, 425, 429].includes(this.status) || this.status >= 500;
  }

  /** Whether the answer is certain to have had no effect and its reason concerns the person at the till. */
  get holdsBack() {
    return [401, 403].includes(this.status) || this.problem.kind === "halted";
  }
}

/** The server could not be reached. */
export class Unreachable extends Error {}

/** Call the API and return its JSON. Throws `Refused` or `Unreachable`. */
export async function call(method, path, body, headers = {}, timeout = 10_000) {
  let reply;
  try {
    reply = await fetch(path, {
      method,
      credentials: "same-origin",
      signal: AbortSignal.timeout(timeout),
      headers: {
        Accept: "application/json",
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(method === "GET" ? {} : { "X-CSRF-Token": csrf() }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (cause) {
    throw new Unreachable(path, { cause });
  }
  const answer = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Refused(reply.status, answer, await wordsOf(answer.code));
  return answer;
}

/** What the code of a refusal means, in the language of the page; the texts of all of them come when there is one to explain. */
export async function wordsOf(code) {
  const texts = await import(`../refusals/${document.documentElement.lang}.js`).catch(() => null);
  return texts?.default[code];
}

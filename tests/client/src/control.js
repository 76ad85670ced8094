// Steers the load over HTTP:
//   GET  /healthz
//   GET  /stats                 what has happened so far
//   POST /load   {sockets?, rate?, openRate?, bytes?, speak?, deaf?}
//   POST /mark                  counts reconnects per client afresh
//   POST /settle {timeoutMs?}   falls silent, answers the stats when nothing is under way any more
import { createServer } from "node:http";

const MAX_BODY = 64 * 1024;
const NUMBERS = { sockets: 100_000, rate: 1000, openRate: 100_000, bytes: 1_000_000, deaf: 100_000, timeoutMs: 3_600_000 };

export function control(load) {
  const routes = {
    "GET /healthz": () => ({ ok: true }),
    "GET /stats": () => load.stats(),
    "POST /load": (body) => {
      load.want(checked(body, ["sockets", "rate", "openRate", "bytes", "speak", "deaf"]));
      return load.stats();
    },
    "POST /mark": () => {
      load.mark();
      return load.stats();
    },
    "POST /settle": (body) => load.settle(checked(body, ["timeoutMs"]).timeoutMs ?? 60_000),
  };
  return createServer(async (request, response) => {
    const route = routes[`${request.method} ${request.url.split("?")[0]}`];
    const [status, answer] = route
      ? await read(request).then(route).then((answer) => [200, answer], (error) => [400, { error: error.message }])
      : [404, { error: `no ${request.method} ${request.url}; see /stats, /load, /mark, /settle` }];
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(answer) + "\n");
  });
}

async function read(request) {
  let body = "";
  for await (const chunk of request) {
    body += chunk;
    if (body.length > MAX_BODY) throw new Error("the body is too long");
  }
  return body === "" ? {} : JSON.parse(body);
}

/** The fields of `body`, each of a name in `allowed` and in its range. */
export function checked(body, allowed) {
  for (const [key, value] of Object.entries(body)) {
    if (!allowed.includes(key)) throw new Error(`${key} is not known here; known: ${allowed.join(", ")}`);
    if (key === "speak" ? typeof value !== "boolean" : !(value >= 0 && value <= NUMBERS[key])) {
      throw new Error(`${key} must be ${key === "speak" ? "true or false" : `a number from 0 to ${NUMBERS[key]}`}`);
    }
  }
  return body;
}

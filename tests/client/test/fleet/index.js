// A fleet to test the client against: two Node Socket.IO servers with connection state recovery over a real
// Redis, in a process of their own, and a TCP relay in front of them that plays the Service.
import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";

/** `fault`: what becomes of each member's third message; see `server.js`. */
export async function nodeFleet(t, fault = "none") {
  const redis = await redisServer();
  const servers = fork(new URL("server.js", import.meta.url), [redis.url, fault]);
  const [ports] = await once(servers, "message");
  let turn = 0;
  const relay = createServer((inbound) => {
    const outbound = connect(ports[turn++ % ports.length], "127.0.0.1");
    inbound.pipe(outbound).pipe(inbound);
    for (const [side, other] of [[inbound, outbound], [outbound, inbound]]) {
      side.on("error", () => {}).on("close", () => other.destroy());
    }
  }).listen(0, "127.0.0.1");
  await once(relay, "listening");
  t.after(() => {
    relay.close();
    servers.kill("SIGKILL");
    redis.stop();
  });
  return {
    url: `http://127.0.0.1:${relay.address().port}`,
    /** Closes every client's transport from the server's side. */
    move: () => servers.send("move"),
  };
}

async function redisServer() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  const child = spawn("redis-server", ["--port", port, "--save", "", "--bind", "127.0.0.1"]);
  for await (const chunk of child.stdout) if (`${chunk}`.includes("Ready to accept connections")) break;
  return { url: `redis://127.0.0.1:${port}`, stop: () => child.kill("SIGKILL") };
}

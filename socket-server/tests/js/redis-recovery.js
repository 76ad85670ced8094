"use strict";
// Clients that move between server processes while numbered messages flow: none may be lost or doubled.
const assert = require("node:assert/strict");
const net = require("node:net");
const { connect, next, sleep, until } = require("./util");

/** What is seen when a scenario does not end. */
const progress = { report: () => "" };

/** A load balancer in front of the servers: new connections go to the current one. */
async function balancer(ports) {
  let current = ports[0];
  const open = new Set();
  const server = net.createServer((client) => {
    const upstream = net.connect(current, "127.0.0.1");
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      open.add(from);
      from.on("error", () => {}).on("close", () => {
        open.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    to: (port) => (current = port),
    /** Cuts every connection, as a network does: nobody says goodbye. */
    cut: () => open.forEach((socket) => socket.destroy()),
  };
}

/**
 * Talkers on their own servers send numbers to a room; listeners behind the balancer are moved from server to
 * server. `command` is told what to do to the servers' processes: it is the test in Rust that owns them.
 */
async function moving(urls, command) {
  const ports = urls.map((url) => Number(new URL(url).port));
  const front = await balancer(ports);
  const options = { transports: ["websocket"], reconnectionDelay: 10, reconnectionDelayMax: 50 };
  const listeners = [];
  for (let i = 0; i < 20; i++) {
    const socket = await connect(front.url, options);
    const listener = { socket, got: [], recovered: 0, fresh: 0 };
    socket.on("roomMessage", ({ data }) => listener.got.push(data));
    socket.on("connect", () => (socket.recovered ? listener.recovered++ : listener.fresh++));
    assert.deepEqual(await socket.emitWithAck("joinRoom", "r"), { ok: true });
    listeners.push(listener);
  }

  progress.report = () => {
    const state = ({ socket, got, recovered, fresh }) =>
      `${socket.connected ? "connected" : "away"}: ${got.length} got, last ${got.at(-1)}, ${recovered} recovered, ${fresh} fresh`;
    return [`${sent} sent, talker connected: ${talker?.connected}`, ...listeners.map(state)].join("\n");
  };

  // The talker sends the next number when the last has been taken: so numbers have an order.
  let sent = 0;
  const talker = await connect(urls[urls.length - 1], options);
  let talking = true;
  const talk = (async () => {
    while (talking) {
      const answer = await talker.timeout(20_000).emitWithAck("roomMessage", { room: "r", data: sent });
      assert.deepEqual(answer, { ok: true });
      sent++;
      if (sent % 5 === 0) await sleep(1);
    }
  })();

  await command(front, ports, () => sent, () => listeners.filter(({ socket }) => socket.connected).length);
  talking = false;
  await talk;
  const all = [...Array(sent).keys()];
  await until(() => listeners.every(({ got }) => got.length >= sent));
  await sleep(200);
  for (const { got } of listeners) assert.deepEqual(got, all);
  assert.deepEqual(listeners.map(({ fresh }) => fresh), listeners.map(() => 0), "all were recovered");
  return { sent, recovered: listeners.reduce((sum, { recovered }) => sum + recovered, 0) };
}

/** The connections are cut again and again, and come back on another server. */
async function cut(...urls) {
  const { recovered } = await moving(urls, async (front, ports, sent, listening) => {
    for (let round = 0; round < 15; round++) {
      // Some are back and listen, others are cut while they are being brought back.
      const before = sent();
      await until(() => sent() >= before + 10 && listening() >= 10);
      front.to(ports[(round + 1) % ports.length]);
      front.cut();
    }
  });
  assert.ok(recovered >= 15 * 5, `${recovered} recovered`);
}

/** The server that has them all is killed: the test in Rust does it when it reads the line. */
async function killed(...urls) {
  const { recovered } = await moving(urls, async (front, ports) => {
    await sleep(300);
    front.to(ports[1]);
    console.log("kill 0");
    await sleep(1500);
  });
  assert.ok(recovered >= 20, `${recovered} recovered`);
}

/** Redis is killed and comes back while the connections stay, and others are cut. */
async function redisRestarted(...urls) {
  await moving(urls, async (front, ports, sent) => {
    await sleep(300);
    console.log("kill redis");
    await sleep(500);
    console.log("start redis");
    const before = sent();
    await until(() => sent() > before + 50);
    front.to(ports[1]);
    front.cut();
    await sleep(500);
  });
}

module.exports = {
  progress,
  scenarios: {
    "redis: connections are cut": cut,
    "redis: a server is killed": killed,
    "redis: redis is restarted": redisRestarted,
  },
};

// Makes src/adapter/redis/vectors.json: what the npm adapters and the emitter really write.
//
//   REDIS_URL=redis://127.0.0.1:6379 node redis-vectors.js > ../../src/adapter/redis/vectors.json
//
// Two Node servers share a real Redis; each operation's commands are recorded where they leave the adapter.
"use strict";
const { createServer } = require("http");
const { Server } = require("socket.io");
const { io: connect } = require("socket.io-client");
const { createClient } = require("redis");
const classic = require("@socket.io/redis-adapter");
const streams = require("@socket.io/redis-streams-adapter");
const { Emitter } = require("@socket.io/redis-emitter");

const url = process.env.REDIS_URL;
const vectors = [];
let step = "";

function hex(value) {
  return Buffer.isBuffer(value) ? value.toString("hex") : Buffer.from(value).toString("hex");
}

/** A client whose writes are recorded under the current step. */
async function recording(adapter) {
  const client = createClient({ url });
  await client.connect();
  const record = (entry) => vectors.push({ adapter, step, ...entry });
  for (const command of ["publish", "sPublish"]) {
    const real = client[command].bind(client);
    client[command] = (channel, payload) => {
      record({ command, channel, payload: hex(payload) });
      return real(channel, payload);
    };
  }
  const xAdd = client.xAdd.bind(client);
  client.xAdd = (key, id, fields, options) => {
    record({ command: "xAdd", key, fields: { ...fields } });
    return xAdd(key, id, fields, options);
  };
  const set = client.set.bind(client);
  client.set = (key, value, options) => {
    record({ command: "set", key, value, options });
    return set(key, value, options);
  };
  return client;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function server(adapter) {
  const http = createServer();
  const io = new Server(http, {
    adapter,
    connectionStateRecovery: adapter.streams ? { maxDisconnectionDuration: 120000 } : undefined,
  });
  io.on("connection", (socket) => {
    socket.data.name = "ünï";
    socket.join("room1");
    socket.on("leave", () => socket.conn.close());
  });
  io.on("question", (a, ack) => ack({ answer: a }));
  io.of("/custom");
  await new Promise((resolve) => http.listen(0, resolve));
  return { io, http, port: http.address().port };
}

async function pair(name, make) {
  const a = await server(await make());
  const b = await server(await make());
  const client = connect(`http://localhost:${b.port}`, { transports: ["websocket"], reconnection: false });
  client.on("ask", (x, ack) => ack({ got: x }));
  client.on("askBinary", (x, ack) => ack(Buffer.from([9, 8, 7])));
  await new Promise((resolve) => client.on("connect", resolve));
  await pause(300);

  const run = async (label, act) => {
    step = label;
    await act(a.io);
    await pause(150);
  };
  await run("broadcast", (io) => io.emit("hello", 1, "two", { three: [3.5, null, true, -1, 70000, -70000, 5e9] }));
  await run("broadcast room", (io) => io.to("room1").emit("hello", "ünï"));
  await run("broadcast rooms except volatile", (io) =>
    io.to(["room1", "room2"]).except("room3").volatile.emit("hello"));
  await run("broadcast binary", (io) => io.to("room1").emit("hello", Buffer.from([1, 2, 3]), { deep: Buffer.alloc(300, 7) }));
  await run("broadcast custom namespace", (io) => io.of("/custom").emit("hello"));
  await run("broadcast undefined and date", (io) => io.emit("hello", undefined, new Date(1700000000123), new Uint8Array([4, 5]).buffer));
  await run("broadcast with ack", (io) => io.timeout(1000).emitWithAck("ask", 1));
  await run("broadcast with binary ack", (io) => io.timeout(1000).emitWithAck("askBinary", Buffer.from([1])));
  await run("sockets join", (io) => io.in("room1").except("room9").socketsJoin(["room2", "room3"]));
  await run("sockets leave", (io) => io.in("room1").socketsLeave("room3"));
  await run("fetch sockets", (io) => io.in("room1").fetchSockets());
  await run("server side emit", (io) => io.serverSideEmit("news", 1, { a: "b" }));
  await run("server side emit with ack", (io) => io.serverSideEmitWithAck("question", "why"));
  await run("disconnect by transport", async () => client.emit("leave"));
  await run("disconnect sockets", (io) => io.in("nobody").disconnectSockets(true));
  for (const { io, http } of [a, b]) {
    io.close();
    http.close();
  }
}

async function main() {
  await pair("classic", async () => {
    const pub = await recording("classic");
    const sub = pub.duplicate();
    await sub.connect();
    return classic.createAdapter(pub, sub);
  });
  await pair("sharded", async () => {
    const pub = await recording("sharded");
    const sub = pub.duplicate();
    await sub.connect();
    return classic.createShardedAdapter(pub, sub);
  });
  await pair("streams", async () => {
    const client = await recording("streams");
    const adapter = streams.createAdapter(client, { channelPrefix: "socket.io" });
    adapter.streams = true;
    return adapter;
  });

  const emitter = new Emitter(await recording("emitter"));
  step = "broadcast room";
  emitter.to("room1").emit("hello", 1, Buffer.from([1, 2]));
  step = "broadcast custom namespace";
  emitter.of("/custom").except("room2").volatile.emit("hello");
  step = "sockets join";
  emitter.in("room1").socketsJoin(["room2"]);
  step = "sockets leave";
  emitter.in("room1").socketsLeave("room2");
  step = "disconnect sockets";
  emitter.in("room1").disconnectSockets(true);
  step = "server side emit";
  emitter.serverSideEmit("news", 1);
  await pause(100);
  console.log("[\n" + vectors.map((v) => JSON.stringify(v)).join(",\n") + "\n]");
  process.exit(0);
}

main();

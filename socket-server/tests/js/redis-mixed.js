"use strict";
// A Node server and a Rust server on one Redis: whatever one does, the clients of both see.
const assert = require("node:assert/strict");
const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { createClient } = require("redis");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
const streams = require("@socket.io/redis-streams-adapter");
const { Emitter } = require("@socket.io/redis-emitter");
const { connect, sleep, until } = require("./util");

async function client(url) {
  const redis = createClient({ url });
  redis.on("error", () => {});
  await redis.connect();
  return redis;
}

const ADAPTERS = {
  streams: async (redis) => streams.createAdapter(redis, { streamName: "socket.io-stream" }),
  classic: async (redis, sub) => createAdapter(redis, sub),
  sharded: async (redis, sub) => createShardedAdapter(redis, sub),
};

async function nodeServer(kind, redisUrl) {
  const redis = await client(redisUrl);
  const adapter = await ADAPTERS[kind](redis, await client(redisUrl));
  const http = createServer();
  const recovery = kind === "streams" ? { connectionStateRecovery: { maxDisconnectionDuration: 120000 } } : {};
  const io = new Server(http, { adapter, ...recovery });
  const news = [];
  io.on("connection", (socket) => socket.on("join", (room, ack) => (socket.join(room), ack())));
  io.on("news", (...args) => news.push(args));
  io.on("question", (arg, ack) => ack({ node: arg }));
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  const to = ({ rooms = [], except = [] }) => io.to(rooms).except(except);
  return {
    url: `http://127.0.0.1:${http.address().port}`,
    broadcast: async (target, event, ...args) => void to(target).emit(event, ...args),
    emitWithAck: (target, event, arg) => to(target).timeout(5000).emitWithAck(event, arg),
    fetch: async (target) => (await to(target).fetchSockets()).map(({ id, rooms, data }) => ({ id, rooms: [...rooms], data })),
    join: async (target, rooms) => void to(target).socketsJoin(rooms),
    leave: async (target, rooms) => void to(target).socketsLeave(rooms),
    disconnect: async (target) => void to(target).disconnectSockets(true),
    serverSideEmit: async (...args) => void io.serverSideEmit("news", ...args),
    serverSideEmitWithAck: (arg) => io.serverSideEmitWithAck("question", arg),
    news: async () => news,
  };
}

/** The Rust server, told what to do by a client of its own in a namespace beside. */
async function rustServer(url) {
  const control = await connect(url + "/control", { transports: ["websocket"] });
  const call = (...args) => control.timeout(10_000).emitWithAck(...args);
  return {
    url,
    broadcast: (target, event, ...args) => call("broadcast", target, event, ...args),
    emitWithAck: (target, event, arg) => call("emitWithAck", target, event, arg),
    fetch: (target) => call("fetch", target),
    join: (target, rooms) => call("socketsJoin", target, rooms),
    leave: (target, rooms) => call("socketsLeave", target, rooms),
    disconnect: (target) => call("disconnectSockets", target),
    serverSideEmit: (...args) => call("serverSideEmit", ...args),
    serverSideEmitWithAck: (arg) => call("serverSideEmitWithAck", arg),
    news: () => call("news"),
  };
}

/** A client that notes what it gets, without the offset that recovery puts at the end. Asked for bytes, it gives some. */
async function listener(url, name) {
  const socket = await connect(url, { transports: ["websocket"], reconnection: false });
  const got = [];
  socket.onAny((event, ...args) => {
    if (typeof args.at(-1) === "function") args.pop()(event === "bytes?" ? Buffer.from(name) : `${name} heard`, args[0]);
    else if (/^\d+-\d+$/.test(args.at(-1))) args.pop();
    got.push([event, ...args]);
  });
  return { socket, got, take: () => got.splice(0) };
}

const plain = (args) => JSON.parse(JSON.stringify(args, (_, v) => (v?.type === "Buffer" ? Buffer.from(v.data).toString("hex") : v)));

async function actAsOne(actor, other, name) {
  const near = await listener(actor.url, "near");
  const far = await listener(other.url, "far");
  for (const { socket } of [near, far]) await socket.emitWithAck("join", "r");
  await far.socket.emitWithAck("join", "far");
  // Subscriptions and first contact between the servers take their time.
  await until(async () => {
    await actor.broadcast({}, "hello");
    await sleep(20);
    const heard = [near, far].map(({ take }) => take().length);
    return heard.every((count) => count > 0);
  });
  await until(async () => (await actor.fetch({})).length === 2);
  await sleep(100);
  near.take();
  far.take();

  const both = async (...expected) => {
    await until(() => near.got.length >= expected.length && far.got.length >= expected.length);
    assert.deepEqual(plain(near.take()), plain(expected), `${name}: near`);
    assert.deepEqual(plain(far.take()), plain(expected), `${name}: far`);
  };
  await actor.broadcast({}, "all", 1, "two", { three: [null, 3.5, true, -7, 5e9, "ünï"] });
  await actor.broadcast({ rooms: ["r"] }, "room", 2);
  await actor.broadcast({ rooms: ["r", "s"] }, "rooms", 3);
  await actor.broadcast({ rooms: ["r"] }, "binary", Buffer.from([0, 1, 255]), { deep: [Buffer.alloc(300, 7)] });
  await both(
    ["all", 1, "two", { three: [null, 3.5, true, -7, 5e9, "ünï"] }],
    ["room", 2],
    ["rooms", 3],
    ["binary", Buffer.from([0, 1, 255]), { deep: [Buffer.alloc(300, 7)] }],
  );
  await actor.broadcast({ rooms: ["r"], except: ["far"] }, "except", 4);
  await actor.broadcast({ rooms: [far.socket.id] }, "own id", 5);
  await actor.broadcast({ rooms: ["nobody"] }, "nobody", 6);
  await until(() => near.got.length >= 1 && far.got.length >= 1);
  await sleep(100);
  assert.deepEqual(near.take(), [["except", 4]]);
  assert.deepEqual(far.take(), [["own id", 5]]);

  const answers = await actor.emitWithAck({ rooms: ["r"] }, "question", 7);
  assert.deepEqual(answers.sort(), ["far heard", "near heard"]);
  const binary = await actor.emitWithAck({ rooms: ["far"] }, "question", Buffer.from([1, 2]));
  assert.deepEqual(binary, ["far heard"]);
  assert.deepEqual(await actor.emitWithAck({ rooms: ["far"] }, "bytes?", 8), [Buffer.from("far")]);
  assert.deepEqual(far.got.at(-2), ["question", Buffer.from([1, 2])]);
  near.take();
  far.take();

  await actor.join({ rooms: ["far"] }, ["a", "b"]);
  await until(async () => (await actor.fetch({ rooms: ["b"] })).length === 1);
  await actor.leave({ rooms: ["a"] }, "b");
  await until(async () => (await actor.fetch({ rooms: ["b"] })).length === 0);
  const [found] = await actor.fetch({ rooms: ["far"] });
  assert.deepEqual({ ...found, rooms: found.rooms.sort() }, { id: far.socket.id, rooms: ["a", "far", far.socket.id, "r"].sort(), data: {} });

  await actor.serverSideEmit({ headline: 1 });
  await actor.serverSideEmit(Buffer.from([3, 4]));
  await until(async () => (await other.news()).length > 1);
  assert.deepEqual(plain(await other.news()), plain([[{ headline: 1 }], [Buffer.from([3, 4])]]));
  for (const question of ["why", Buffer.from([5, 6])]) {
    const [answer] = await actor.serverSideEmitWithAck(question);
    assert.deepEqual(plain(Object.values(answer)), plain([question]));
  }

  const gone = new Promise((resolve) => far.socket.once("disconnect", resolve));
  await actor.disconnect({ rooms: ["far"] });
  assert.equal(await gone, "io server disconnect");
  assert.equal(near.socket.connected, true);
  near.socket.close();
  await until(async () => (await other.fetch({})).length === 0);
}

async function mixed(kind, rustUrl, redisUrl) {
  const [node, rust] = [await nodeServer(kind, redisUrl), await rustServer(rustUrl)];
  await actAsOne(node, rust, "Node to Rust");
  await actAsOne(rust, node, "Rust to Node");
}

async function emitter(rustUrl, redisUrl) {
  const far = await listener(rustUrl, "far");
  await far.socket.emitWithAck("join", "r");
  const from = new Emitter(await client(redisUrl));
  await until(async () => (from.emit("hello"), await sleep(20), far.got.length > 0));
  await sleep(100);
  far.take();
  from.to("r").emit("room", 1, Buffer.from([1, 2]));
  from.to(far.socket.id).emit("own id", 2);
  from.except("r").emit("nobody", 3);
  from.in("r").socketsJoin("s");
  await sleep(50);
  from.to("s").emit("joined", 4);
  await until(() => far.got.length >= 3);
  assert.deepEqual(plain(far.take()), plain([["room", 1, Buffer.from([1, 2])], ["own id", 2], ["joined", 4]]));
  const rust = await rustServer(rustUrl);
  from.serverSideEmit("news", { headline: 2 });
  await until(async () => (await rust.news()).length > 0);
  const gone = new Promise((resolve) => far.socket.once("disconnect", resolve));
  from.in("s").disconnectSockets(true);
  assert.equal(await gone, "io server disconnect");
}

module.exports = {
  "mixed: streams": (...urls) => mixed("streams", ...urls),
  "mixed: classic": (...urls) => mixed("classic", ...urls),
  "mixed: sharded": (...urls) => mixed("sharded", ...urls),
  "mixed: emitter": emitter,
};

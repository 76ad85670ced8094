"use strict";
const assert = require("node:assert/strict");
const { io, TRANSPORTS, next, connect, until } = require("./util");

async function events(url, transports) {
  const socket = await connect(url, { transports, auth: { token: "secret" } });
  assert.equal(socket.id.length, 20);
  assert.notEqual(socket.id, socket.io.engine.id, "the engine's id is a secret");
  assert.deepEqual(await socket.emitWithAck("auth"), { token: "secret" });

  socket.emit("echo", 1, "zwei", { drei: [true, null] }, "\ud83d\ude00 \u2028");
  assert.deepEqual((await next(socket, "echo")).slice(0, 4), [1, "zwei", { drei: [true, null] }, "\ud83d\ude00 \u2028"]);

  const bytes = Buffer.from([0, 1, 2, 255]);
  socket.emit("echo", bytes, { deep: [bytes] });
  const [back, deep] = await next(socket, "echo");
  assert.ok(bytes.equals(back) && bytes.equals(deep.deep[0]));

  const ack = await new Promise((resolve) => socket.emit("echo-ack", 1, bytes, (...args) => resolve(args)));
  assert.equal(ack[0], 1);
  assert.ok(bytes.equals(ack[1]));

  socket.on("question", (n, answer) => answer(n * 2, bytes));
  const [answer, binary] = await new Promise((resolve) => socket.emit("ask", 21, (...args) => resolve(args)));
  assert.equal(answer, 42);
  assert.ok(bytes.equals(binary));

  // A message as large as one may be, in one piece and in many frames of the client's.
  const large = "x".repeat(900_000);
  assert.equal((await socket.emitWithAck("echo-ack", large)).length, large.length);

  const many = 500;
  const seen = [];
  socket.on("echo", (n) => seen.push(n));
  for (let n = 0; n < many; n++) socket.emit("echo", n);
  await until(() => seen.length === many);
  assert.deepEqual(seen, [...Array(many).keys()]);
  socket.disconnect();
}

async function upgrade(url) {
  // Messages in both directions while the transport changes: all, once, in order.
  const socket = await connect(url, { transports: TRANSPORTS.upgrade });
  const [seen, rounds] = [[], 400];
  socket.on("echo", (n) => seen.push(n));
  for (let n = 0; n < rounds; n++) {
    socket.emit("echo", n);
    if (n % 10 === 0) await new Promise(setImmediate);
  }
  await until(() => seen.length >= rounds && socket.io.engine.transport.name === "websocket");
  assert.deepEqual(seen, [...Array(rounds).keys()]);
  socket.disconnect();
}

async function rooms(url) {
  const [a, b, c] = await Promise.all([1, 2, 3].map(() => connect(url, { transports: ["websocket"] })));
  const got = new Map([a, b, c].map((s) => [s, []]));
  for (const [socket, list] of got) socket.on("note", (text) => list.push(text));
  await a.emitWithAck("join", "room");
  await b.emitWithAck("join", "room");

  await a.emitWithAck("to", "room", "note", "others in the room");
  await a.emitWithAck("in", "room", "note", "whole room");
  await a.emitWithAck("in", c.id, "note", "own room of c");
  await a.emitWithAck("in-except", "room", a.id, "note", "room without a");
  await a.emitWithAck("all", "note", "everybody");
  await b.emitWithAck("leave", "room");
  await a.emitWithAck("in", "room", "note", "a alone");
  await a.emitWithAck("join-all", "late", "room2");
  await a.emitWithAck("in", "room2", "note", "after socketsJoin");
  await until(() => [...got.values()].every((list) => list.at(-1) === "after socketsJoin"));

  assert.deepEqual(got.get(a), ["whole room", "everybody", "a alone", "after socketsJoin"]);
  assert.deepEqual(got.get(b), ["others in the room", "whole room", "room without a", "everybody", "after socketsJoin"]);
  assert.deepEqual(got.get(c), ["own room of c", "everybody", "after socketsJoin"]);

  const info = (await a.emitWithAck("fetch")).find((s) => s.id === a.id);
  assert.deepEqual(info.rooms.sort(), [a.id, "late", "room", "room2"].sort());
  assert.equal(info.handshake.query.EIO, "4");

  for (const socket of [a, b, c]) socket.on("question", (n, answer) => answer(socket.id));
  const answers = await a.emitWithAck("ask-all", "room2");
  assert.deepEqual(answers.map(([id]) => id).sort(), [a.id, b.id, c.id].sort());

  const gone = next(b, "disconnect");
  await a.emitWithAck("kick", b.id);
  assert.equal((await gone)[0], "io server disconnect");
  c.disconnect();
  await until(async () => (await a.emitWithAck("fetch")).length === 1);
  a.disconnect();
}

async function namespaces(url) {
  const manager = await connect(url, { transports: ["websocket"] });
  const guarded = manager.io.socket("/guarded", { auth: { password: "wrong" } });
  const [refused] = await next(guarded, "connect_error");
  assert.deepEqual([refused.message, refused.data], ["not you", { code: 7 }]);
  guarded.auth = { password: "right" };
  await next(guarded.connect(), "connect");
  assert.notEqual(guarded.id, manager.id);

  const unknown = manager.io.socket("/unknown");
  assert.equal((await next(unknown, "connect_error"))[0].message, "Invalid namespace");

  const dynamic = manager.io.socket("/tenant-7");
  await next(dynamic, "connect");
  assert.equal(await dynamic.emitWithAck("where"), "/tenant-7");

  // One namespace is left, the others stay.
  guarded.disconnect();
  assert.equal(await dynamic.emitWithAck("where"), "/tenant-7");
  assert.deepEqual(await manager.emitWithAck("echo-ack", "still here"), "still here");
  const close = next(manager, "disconnect");
  manager.emit("leave-me");
  assert.equal((await close)[0], "io server disconnect");
}

async function timeouts(url) {
  const socket = await connect(url, { transports: ["websocket"] });
  assert.equal(await socket.emitWithAck("ask-in-vain"), "operation has timed out");
  await assert.rejects(socket.timeout(50).emitWithAck("nobody listens"), /timed out/);
  socket.disconnect();
}

async function msgpack(url) {
  const parser = require("socket.io-msgpack-parser");
  for (const transports of Object.values(TRANSPORTS)) {
    const socket = await connect(url, { transports, parser });
    const bytes = Buffer.from([9, 8, 7]);
    const back = await socket.emitWithAck("echo-ack", { bytes, text: "t", float: -1.5, none: null });
    assert.deepEqual([back.text, back.float, back.none], ["t", -1.5, null]);
    assert.ok(bytes.equals(back.bytes));
    socket.disconnect();
  }
}

async function refused(url) {
  const first = await connect(url, { transports: ["websocket"] });
  for (const [transport, transports] of Object.entries(TRANSPORTS)) {
    const socket = io(url, { forceNew: true, transports, reconnection: false });
    const [error] = await next(socket, "connect_error");
    assert.match(error.message, transport === "websocket" ? /websocket error/ : /xhr poll error/);
  }
  const answer = await fetch(`${url}/socket.io/?EIO=4&transport=polling`);
  assert.equal(answer.status, 503);
  assert.equal(answer.headers.get("retry-after"), "5");
  assert.equal((await answer.json()).message, "Server at capacity");
  // A place that is given up is there again.
  first.disconnect();
  await until(async () => (await fetch(`${url}/socket.io/?EIO=4&transport=polling`)).status === 200);
}

async function refusedByError(url) {
  await connect(url, { transports: ["websocket"] });
  const socket = io(url, { forceNew: true, transports: ["websocket"], reconnection: false });
  const [error] = await next(socket, "connect_error");
  assert.equal(error.message, "Server at capacity");
  assert.deepEqual(error.data, { retryAfterMs: 5000 });
}

module.exports = {
  "events over websocket": (url) => events(url, TRANSPORTS.websocket),
  "events over polling": (url) => events(url, TRANSPORTS.polling),
  "events over an upgrade": (url) => events(url, TRANSPORTS.upgrade),
  upgrade,
  rooms,
  namespaces,
  timeouts,
  msgpack,
  refused,
  refusedByError,
};

// permessage-deflate, on a server that compresses messages from 1024 bytes on.
"use strict";
const assert = require("node:assert/strict");
const WebSocket = require("ws");
const { TRANSPORTS, connect, next, until } = require("./util");

const LARGE = "all work and no play ".repeat(3000);

const raw = (socket) => socket.io.engine.transport.ws;

/** Bytes that a client's connection has read and written meanwhile. */
async function traffic(socket, act) {
  const stream = raw(socket)._socket;
  const before = [stream.bytesRead, stream.bytesWritten];
  await act();
  return [stream.bytesRead - before[0], stream.bytesWritten - before[1]];
}

async function deflate(url) {
  const [a, b] = await Promise.all([1, 2].map(() => connect(url, { transports: TRANSPORTS.websocket })));
  const plain = await connect(url, { transports: TRANSPORTS.websocket, perMessageDeflate: false });
  assert.match(raw(a).extensions, /^permessage-deflate/);
  assert.equal(raw(plain).extensions, "");
  for (const socket of [a, b, plain]) await socket.emitWithAck("join", "room");

  // One broadcast to those who take it compressed and those who do not.
  const heard = [a, b, plain].map((socket) => next(socket, "note"));
  const sizes = Promise.all([a, b, plain].map((socket, i) => traffic(socket, () => heard[i])));
  await plain.emitWithAck("in", "room", "note", LARGE);
  for (const [note] of await Promise.all(heard)) assert.equal(note, LARGE);
  const [[toA], [toB], [toPlain]] = await sizes;
  assert.ok(toA < 5_000 && toB < 5_000 && toPlain > LARGE.length, `${toA}, ${toB}, ${toPlain} bytes`);

  const bytes = Buffer.alloc(50_000, 7);
  const [read, written] = await traffic(a, async () => {
    const [text, binary] = await new Promise((resolve) => a.emit("echo-ack", LARGE, bytes, (...all) => resolve(all)));
    assert.equal(text, LARGE);
    assert.ok(bytes.equals(binary));
  });
  assert.ok(read < 10_000 && written < 10_000, `${read} read, ${written} written`);

  const upgraded = await connect(url, { transports: TRANSPORTS.upgrade });
  await until(() => upgraded.io.engine.transport.name === "websocket");
  assert.match(raw(upgraded).extensions, /^permessage-deflate/);
  assert.equal(await upgraded.emitWithAck("echo-ack", LARGE), LARGE);
}

/** A small message that becomes a large one. */
async function bomb(url) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`, { perMessageDeflate: { threshold: 0 } });
  await next(socket, "open");
  socket.send("4" + "0".repeat(50_000_000));
  assert.equal((await next(socket, "close"))[0], 1009);
}

module.exports = { deflate, "deflate: bomb": bomb };

"use strict";
const assert = require("node:assert/strict");
const { next, connect, until } = require("./util");

/** A client's connection is cut while others write to its room. */
async function recovery(url) {
  const [away, writer] = await Promise.all([1, 2].map(() => connect(url, { transports: ["websocket"] })));
  const seen = [];
  away.on("note", (n) => seen.push(n));
  await away.emitWithAck("join", "room");
  await away.emitWithAck("remember", "color", "green");
  const id = away.id;

  for (let round = 0; round < 5; round++) {
    for (let n = 0; n < 3; n++) await writer.emitWithAck("in", "room", "note", round * 10 + n);
    await until(() => seen.length === round * 10 + 3);
    const back = next(away, "connect");
    away.io.engine.transport.ws.terminate();
    await next(away, "disconnect");
    for (let n = 3; n < 10; n++) await writer.emitWithAck("in", "room", "note", round * 10 + n);
    await writer.emitWithAck("in", "elsewhere", "note", "not for it");
    await back;
    assert.equal(away.recovered, true);
    assert.equal(away.id, id);
    await until(() => seen.length >= round * 10 + 10);
  }
  assert.deepEqual(seen, [...Array(50).keys()]);
  assert.equal(await away.emitWithAck("recall", "color"), "green");
  assert.equal(await away.emitWithAck("recovered"), true);

  // Who leaves on purpose has left.
  away.disconnect();
  away.connect();
  await next(away, "connect");
  assert.equal(away.recovered, false);
  assert.notEqual(away.id, id);
  await writer.emitWithAck("in", "room", "note", "nobody");
  assert.equal(seen.length, 50);
}

/** The old connection is not known to be dead when the client is back. */
async function takeover(url) {
  const socket = await connect(url, { transports: ["websocket"] });
  const id = socket.id;
  socket.emit("echo", "an event, for its offset");
  await next(socket, "echo");
  // The client forgets the connection without a word; the server still holds it.
  const left = socket.io.engine.transport.ws;
  left.removeAllListeners("close");
  left.onclose = left.onmessage = left.onerror = () => {};
  left.close = () => {};
  socket.io.engine._onClose("transport close");
  await next(socket, "connect");
  assert.equal(socket.recovered, true);
  assert.equal(socket.id, id);
  assert.equal((await socket.emitWithAck("fetch")).length, 1);
}

module.exports = { recovery, takeover };

// Clients that do not read for a while, on a server that lets 1 MB wait for each.
"use strict";
const assert = require("node:assert/strict");
const { connect, next, sleep, until } = require("./util");

const TOTAL = 400; // of 64 KB each: more than kernels keep on both ends of a connection

/** A listener in the room, with what it has got, and a client that makes the server talk. */
async function pair(url, transports = ["websocket"]) {
  const listener = await connect(url, { transports });
  const got = [];
  listener.on("padded", (n) => got.push(n));
  await listener.emitWithAck("join");
  const talker = await connect(url, { transports: ["websocket"] });
  const counts = () => new Promise((resolve) => talker.emit("counts", (...all) => resolve(all)));
  return { listener, got, talker, counts, stream: listener.io.engine.transport.ws?._socket };
}

const numbers = (from, to) => [...Array(to - from).keys()].map((n) => n + from);

async function recovers(url) {
  const { listener, got, talker, counts, stream } = await pair(url);
  stream.pause();
  const gone = next(listener, "disconnect");
  await talker.emitWithAck("pad", [0, TOTAL], false);
  await until(async () => (await counts())[0] >= 1);
  stream.resume();
  assert.match((await gone)[0], /^transport (close|error)$/);
  await until(() => got.length >= TOTAL);
  assert.equal(listener.recovered, true);
  await talker.emitWithAck("pad", [TOTAL, TOTAL + 3], false);
  await until(() => got.length >= TOTAL + 3);
  await sleep(100);
  assert.deepEqual(got, numbers(0, TOTAL + 3));
}

async function cannotRecover(url) {
  const { listener, got, talker, counts, stream } = await pair(url);
  stream.pause();
  const gone = next(listener, "disconnect");
  await talker.emitWithAck("pad", [0, TOTAL], false);
  await until(async () => (await counts())[0] >= 1);
  stream.resume();
  await gone;
  await next(listener, "connect");
  assert.equal(listener.recovered, false, "the application learns that it has to start afresh");
  await sleep(100);
  assert.deepEqual(got, numbers(0, got.length), "no gap within a session");
  assert.ok(got.length < TOTAL);
}

async function volatile(url) {
  const { listener, got, talker, counts, stream } = await pair(url);
  stream.pause();
  await talker.emitWithAck("pad", [0, TOTAL], true);
  await until(async () => (await counts())[1] > 0);
  await talker.emitWithAck("pad", [TOTAL, TOTAL + 1], false);
  stream.resume();
  await until(() => got.at(-1) === TOTAL);
  assert.ok(got.length < TOTAL, `${got.length} came`);
  assert.deepEqual([...got].sort((a, b) => a - b), got, "in order, none twice");
  assert.equal(listener.connected, true);
  assert.equal((await counts())[0], 0, "nobody was disconnected for it");
}

/** A client whose polls stop: its requests wait at a door that is shut for a while. */
async function polling(url) {
  const { listener, got, talker, counts } = await pair(url, ["polling"]);
  const transport = listener.io.engine.transport;
  const poll = transport._poll;
  let held = false;
  transport._poll = () => (held = true);
  await talker.emitWithAck("pad", [0, TOTAL], false);
  await until(async () => held && (await counts())[0] >= 1);
  transport._poll = poll;
  transport._poll();
  await until(() => got.length >= TOTAL);
  await sleep(100);
  assert.equal(listener.recovered, true);
  assert.deepEqual(got, numbers(0, TOTAL));
}

module.exports = {
  "slow: recovers": recovers,
  "slow: cannot recover": cannotRecover,
  "slow: volatile": volatile,
  "slow: polling": polling,
};

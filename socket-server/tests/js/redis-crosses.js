"use strict";
// Messages cross between two servers, whatever kind of Redis is between them.
const assert = require("node:assert/strict");
const { connect, sleep, until } = require("./util");

/** Both ways, until the first arrives; then none may be missing. */
async function cross(a, b, from) {
  const [x, y] = [[], []];
  a.on("roomMessage", ({ data }) => x.push(data));
  b.on("roomMessage", ({ data }) => y.push(data));
  const send = async (socket, data) => assert.deepEqual(await socket.emitWithAck("roomMessage", { room: "r", data }), { ok: true });
  await until(async () => {
    await send(a, "contact");
    await send(b, "contact");
    await sleep(50);
    return x.length > 1 && y.length > 1 && x.length === y.length;
  });
  x.length = y.length = 0;
  for (let n = from; n < from + 50; n++) await send(n % 2 ? a : b, n);
  await until(() => x.length >= 50 && y.length >= 50);
  const expected = [...Array(50).keys()].map((n) => n + from);
  for (const got of [x, y]) assert.deepEqual(got.sort((m, n) => m - n), expected);
  for (const socket of [a, b]) socket.off("roomMessage");
}

async function join(urls) {
  const sockets = await Promise.all(urls.slice(0, 2).map((url) => connect(url, { transports: ["websocket"] })));
  for (const socket of sockets) assert.deepEqual(await socket.emitWithAck("joinRoom", "r"), { ok: true });
  return sockets;
}

async function crosses(...urls) {
  const [a, b] = await join(urls);
  await cross(a, b, 0);
}

/** The same before and after the test in Rust has moved the primary. */
async function failover(...urls) {
  const [a, b] = await join(urls);
  await cross(a, b, 0);
  console.log("failover");
  await sleep(500);
  await cross(a, b, 100);
}

module.exports = { "redis: messages cross": crosses, "redis: a failover": failover };

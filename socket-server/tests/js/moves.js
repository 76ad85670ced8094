"use strict";
const assert = require("node:assert/strict");
const { TRANSPORTS, connect, sleep, until } = require("./util");

/**
 * The server closes the connection for a drain again and again while numbered messages go both ways: none may be
 * lost or doubled. Events without ack are the hard ones: nobody repeats them.
 */
async function moves(url) {
  const [transports, total] = [TRANSPORTS.websocket, 3000];
  const socket = await connect(url, { transports, reconnectionDelay: 20, reconnectionDelayMax: 20 });
  const name = `client-${process.pid}-${transports}`;
  // An answer may be cut off by a move: only then is it asked for again.
  const ask = async (...args) => {
    for (;;) {
      const answer = await socket.timeout(1000).emitWithAck(...args).catch(() => undefined);
      if (answer !== undefined) return answer;
    }
  };
  await ask("join", name);
  const down = [];
  let maintenance = 0;
  socket.on("numbered", (n) => down.push(n));
  socket.on("server:maintenance", ({ code }) => (maintenance += code === "SERVER_DRAINING"));
  socket.on("connect", () => assert.equal(socket.recovered, true));
  socket.on("disconnect", (reason) => assert.match(reason, /^transport (close|error)$/));

  for (let n = 0; n < total; n++) {
    socket.emit("number", name, n);
    if (n % 3 === 0) await sleep(1);
  }
  let up = [];
  await until(async () => {
    await sleep(100);
    up = await ask("numbers", name);
    return up.length >= total && down.length >= total;
  });
  await sleep(300);
  const all = [...Array(total).keys()];
  assert.deepEqual(up, all, "what the client sent");
  assert.deepEqual(down, all, "what the server sent");
  assert.ok(maintenance >= 3, `moved ${maintenance} times`);
}

/**
 * The same with acknowledgements and `retries`: each is handled once, and what the server sends comes once. Over
 * polling only such events are safe: what is emitted while a request is under way waits in a buffer of the client
 * that it drops on a close.
 */
async function movesWithRetries(url, transports, total) {
  const socket = await connect(url, { transports, retries: 10, ackTimeout: 2000, reconnectionDelay: 20 });
  const name = `retries-${process.pid}`;
  const [acked, down] = [[], []];
  socket.on("numbered", (n) => down.push(n));
  socket.emit("join", name, () => {});
  for (let n = 0; n < total; n++) {
    socket.emit("number-ack", name, n, (error, answer) => acked.push(error ?? answer));
    await sleep(1);
  }
  await until(() => acked.length === total);
  const up = await new Promise((resolve) => socket.emit("numbers", name, (error, list) => resolve(list)));
  assert.deepEqual(acked, [...Array(total).keys()]);
  assert.deepEqual(up, acked);
  await until(() => down.length >= total);
  assert.deepEqual(down, acked);
}

module.exports = {
  moves,
  "moves with retries over websocket": (url) => movesWithRetries(url, TRANSPORTS.websocket, 400),
  "moves with retries over polling": (url) => movesWithRetries(url, TRANSPORTS.polling, 100),
  "moves with retries over an upgrade": (url) => movesWithRetries(url, TRANSPORTS.upgrade, 200),
};

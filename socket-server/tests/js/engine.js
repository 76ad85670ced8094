// The engine alone, with the raw protocol: what the protocol's own test suite asks for.
"use strict";
const assert = require("node:assert/strict");
const WebSocket = require("ws");
const { next, sleep, until } = require("./util");

const POLLING = "/socket.io/?EIO=4&transport=polling";
const WEBSOCKET = "/socket.io/?EIO=4&transport=websocket";

const ws = (url, path) => new WebSocket(url.replace("http", "ws") + path);

async function handshake(url) {
  const answer = await fetch(url + POLLING);
  const text = await answer.text();
  assert.equal(answer.headers.get("content-type"), "text/plain; charset=UTF-8");
  assert.equal(text[0], "0");
  return JSON.parse(text.slice(1));
}

async function errors(url) {
  const cases = [
    ["GET", "/socket.io/?EIO=4&transport=abc", 0, "Transport unknown"],
    ["GET", "/socket.io/?EIO=4", 0, "Transport unknown"],
    ["GET", `${POLLING}&sid=abc`, 1, "Session ID unknown"],
    ["POST", POLLING, 2, "Bad handshake method"],
    ["GET", WEBSOCKET, 3, "Bad request"],
    ["GET", "/socket.io/?EIO=3&transport=polling", 5, "Unsupported protocol version"],
    ["GET", "/socket.io/?transport=polling", 5, "Unsupported protocol version"],
  ];
  for (const [method, path, code, message] of cases) {
    const answer = await fetch(url + path, { method, body: method === "POST" ? "" : undefined });
    assert.equal(answer.status, 400, path);
    assert.deepEqual(await answer.json(), { code, message }, path);
  }
  const refused = ws(url, "/socket.io/?EIO=4&transport=abc");
  assert.match((await next(refused, "error"))[0].message, /400/);
  assert.equal((await fetch(url + "/elsewhere")).status, 404);
}

async function polling(url) {
  const open = await handshake(url);
  assert.deepEqual(Object.keys(open).sort(), ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
  assert.deepEqual(open.upgrades, ["websocket"]);
  const session = `${url}${POLLING}&sid=${open.sid}`;
  const post = async (body) => {
    const answer = await fetch(session, { method: "POST", body });
    return [answer.status, await answer.text()];
  };
  assert.deepEqual(await post("40"), [200, "ok"]);
  assert.match(await (await fetch(session)).text(), /^40\{"sid":"/);
  // Several packets in one request, and in one answer.
  assert.deepEqual(await post('421["echo-ack",1]\x1e422["echo-ack",2]'), [200, "ok"]);
  assert.equal(await (await fetch(session)).text(), '431[1]\x1e432[2]');
  // Two polls at once end the connection.
  const first = fetch(session);
  await sleep(50);
  assert.equal((await fetch(session)).status, 400);
  assert.equal(await (await first).text(), "1");
  assert.equal((await fetch(session)).status, 400);
}

async function limits(url) {
  const session = `${url}${POLLING}&sid=${(await handshake(url)).sid}`;
  assert.equal((await fetch(session, { method: "POST", body: "4".repeat(1_000_001) })).status, 413);

  const large = ws(url, WEBSOCKET);
  await next(large, "open");
  large.send("4".repeat(1_000_001));
  assert.equal((await next(large, "close"))[0], 1009);

  for (const bad of ["abc", "4abc", '42["message"', "2"]) {
    const socket = ws(url, WEBSOCKET);
    await next(socket, "message");
    socket.send("40");
    await next(socket, "message");
    socket.send(bad);
    await next(socket, "close");
  }
  const binary = ws(url, WEBSOCKET);
  await next(binary, "message");
  binary.send(Buffer.from([1, 2, 3]));
  await next(binary, "close");
}

async function probe(url) {
  const open = await handshake(url);
  const session = `${POLLING}&sid=${open.sid}`;
  const socket = ws(url, `${WEBSOCKET}&sid=${open.sid}`);
  await next(socket, "open");
  const poll = fetch(url + session);
  socket.send("2probe");
  assert.equal((await next(socket, "message"))[0].toString(), "3probe");
  assert.equal(await (await poll).text(), "6");
  socket.send("5");
  socket.send("40");
  assert.match((await next(socket, "message"))[0].toString(), /^40/);
  // The session belongs to the WebSocket now.
  assert.equal((await fetch(url + session)).status, 400);
  const second = ws(url, `${WEBSOCKET}&sid=${open.sid}`);
  second.on("error", () => {});
  await next(second, "close");
  socket.send('427["echo-ack","alive"]');
  assert.equal((await next(socket, "message"))[0].toString(), '437["alive"]');
}

/** With an interval of 300 ms and a timeout of 200 ms. */
async function heartbeat(url) {
  const silent = ws(url, WEBSOCKET);
  const seen = [];
  silent.on("message", (m) => seen.push(m.toString()[0]));
  await next(silent, "close");
  assert.deepEqual(seen, ["0", "2"]);

  const lively = ws(url, WEBSOCKET);
  let pings = 0;
  lively.on("message", (m) => {
    if (m.toString() === "2") {
      pings++;
      lively.send("3");
    }
  });
  await until(() => pings === 5);
  assert.equal(lively.readyState, WebSocket.OPEN);

  // One that polls and goes away.
  const { sid } = await handshake(url);
  await until(async () => (await fetch(`${url}${POLLING}&sid=${sid}`)).status === 400);
  // A client that pings is of another protocol.
  const reversed = ws(url, WEBSOCKET);
  await next(reversed, "message");
  reversed.send("2");
  await next(reversed, "close");
  // One that joins no namespace (within 500 ms here).
  const idle = ws(url, WEBSOCKET);
  idle.on("message", (m) => m.toString() === "2" && idle.send("3"));
  await next(idle, "close");
}

module.exports = { errors, polling, limits, probe, heartbeat };

// The wire itself, packet by packet, without a client's library: what servers of both protocols owe to any client.
// For servers that echo, with pingInterval 300, pingTimeout 2000, maxPayload 1000000 and connectTimeout 3000.
"use strict";
const assert = require("node:assert/strict");
const WebSocket = require("ws");
const { until } = require("./util");

const [INTERVAL, TIMEOUT] = [300, 2000];
const BINARY = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];
const PLACEHOLDERS = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';

const polling = (path, sid) => `${path}?EIO=4&transport=polling${sid ? `&sid=${sid}` : ""}`;
const websocket = (path, sid) => `${path}?EIO=4&transport=websocket${sid ? `&sid=${sid}` : ""}`;

/** What a WebSocket has got, taken one by one; a closed one ends with `undefined`. Pings are left out, or answered. */
class Wire {
  constructor(url, { pings = "skip" } = {}) {
    this.ws = new WebSocket(url.replace("http", "ws"));
    this.got = [];
    this.closed = new Promise((resolve) => this.ws.once("close", resolve));
    this.ws.on("error", () => {});
    this.ws.on("message", (data, isBinary) => {
      const message = isBinary ? data : data.toString();
      if (message !== "2" || pings === "keep") this.got.push(message);
      else if (pings === "answer") this.ws.send("3");
    });
  }

  async next() {
    await until(() => this.got.length > 0 || this.ws.readyState === WebSocket.CLOSED);
    return this.got.shift();
  }

  send(...messages) {
    messages.forEach((message) => this.ws.send(message));
  }

  async open() {
    await until(() => this.ws.readyState === WebSocket.OPEN);
    return this;
  }
}

function checkHandshake(packet, upgrades) {
  assert.equal(packet[0], "0");
  const { sid, ...rest } = JSON.parse(packet.slice(1));
  assert.equal(typeof sid, "string");
  assert.deepEqual(rest, { upgrades, pingInterval: INTERVAL, pingTimeout: TIMEOUT, maxPayload: 1000000 });
  return sid;
}

const open = async (base) => checkHandshake(await (await fetch(polling(base))).text(), ["websocket"]);
const status = async (url, method, body) => (await fetch(url, { method, body })).status;
const post = async (base, sid, body) => {
  const answer = await fetch(polling(base, sid), { method: "POST", body });
  return [answer.status, await answer.text()];
};
const get = async (base, sid) => {
  const answer = await fetch(polling(base, sid));
  return [answer.status, await answer.text()];
};

/** A poll that answers the heartbeats that it finds, and leaves them out. */
async function poll(base, sid) {
  for (;;) {
    const [code, text] = await get(base, sid);
    const packets = text.split("\x1e");
    if (!packets.includes("2")) return [code, text];
    await post(base, sid, "3");
    if (packets.length > 1) return [code, packets.filter((packet) => packet !== "2").join("\x1e")];
  }
}

async function handshake(base) {
  await open(base);
  const wire = new Wire(websocket(base));
  checkHandshake(await wire.next(), []);
  for (const query of ["transport=polling", "EIO=abc&transport=polling", "EIO=4", "EIO=4&transport=abc"]) {
    assert.equal(await status(`${base}?${query}`), 400, query);
  }
  for (const method of ["POST", "PUT"]) assert.equal(await status(polling(base), method), 400, method);
  for (const query of ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"]) {
    assert.equal(await new Wire(`${base}?${query}`).next(), undefined, query);
  }
}

async function heartbeat(base) {
  const sid = await open(base);
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await get(base, sid), [200, "2"]);
    assert.deepEqual(await post(base, sid, "3"), [200, "ok"]);
  }
  const silent = await open(base);
  await until(async () => (await post(base, silent, "6"))[0] === 400);

  const wire = new Wire(websocket(base), { pings: "keep" });
  await wire.next();
  for (let i = 0; i < 3; i++) {
    assert.equal(await wire.next(), "2");
    wire.send("3");
  }
  await wire.closed;
}

async function close(base) {
  const sid = await open(base);
  const [waiting] = await Promise.all([poll(base, sid), post(base, sid, "1")]);
  // Whichever came first: a poll that waits ends with nothing, one that comes later finds nobody.
  assert.ok(["6", '{"code":1,"message":"Session ID unknown"}'].includes(waiting[1]), waiting[1]);
  assert.equal((await poll(base, sid))[0], 400);
  const wire = new Wire(websocket(base));
  await wire.next();
  wire.send("1");
  await wire.closed;
}

/** `hello` is a packet that is answered with `back`. */
async function upgrade(base, hello, back) {
  const sid = await open(base);
  const wire = await new Wire(websocket(base, sid), { pings: "answer" }).open();
  wire.send("2probe");
  assert.equal(await wire.next(), "3probe");
  assert.deepEqual(await poll(base, sid), [200, "6"]);
  wire.send("5", hello);
  assert.match(await wire.next(), back);
  assert.equal((await poll(base, sid))[0], 400);
  assert.equal(await new Wire(websocket(base, sid)).next(), undefined);
  wire.send("1");
  await wire.closed;

  // All at once, without waiting for the answer to the probe.
  const hasty = await new Wire(websocket(base, await open(base)), { pings: "answer" }).open();
  hasty.send("2probe", "5", hello);
  assert.equal(await hasty.next(), "3probe");
  assert.match(await hasty.next(), back);
}

async function engineMessages(base) {
  const sid = await open(base);
  for (const payload of ["4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA=="]) {
    assert.deepEqual(await post(base, sid, payload), [200, "ok"]);
    assert.deepEqual(await poll(base, sid), [200, payload]);
  }
  assert.equal((await post(base, sid, "abc"))[0], 400);
  assert.equal((await poll(base, sid))[0], 400, "the session ends with what is no packet");

  let twice, both;
  do {
    twice = await open(base);
    both = await Promise.all([get(base, twice), get(base, twice)]);
  } while (both.some(([, text]) => text === "2")); // a heartbeat came in between
  both.sort(([a], [b]) => a - b);
  assert.deepEqual([both[0], both[1][0]], [[200, "1"], 400]);
  assert.equal((await poll(base, twice))[0], 400);

  const wire = new Wire(websocket(base));
  await wire.next();
  wire.send("4hello", Buffer.from([1, 2, 3, 4]));
  assert.equal(await wire.next(), "4hello");
  assert.deepEqual(await wire.next(), Buffer.from([1, 2, 3, 4]));
  wire.send("abc");
  await wire.closed;
}

async function engine(url) {
  const base = `${url}/engine.io/`;
  await Promise.all([handshake(base), heartbeat(base), close(base), engineMessages(base), upgrade(base, "4hello", /^4hello$/)]);
}

/** A connection that has joined the main namespace. */
async function joined(base) {
  const wire = new Wire(websocket(base), { pings: "answer" });
  await wire.next();
  wire.send("40");
  assert.match(await wire.next(), /^40\{"sid":"[^"]+"\}$/);
  assert.equal(await wire.next(), '42["auth",{}]');
  return wire;
}

async function connect(base) {
  const cases = [
    ["40", "40", '42["auth",{}]'],
    ['40{"token":"123"}', "40", '42["auth",{"token":"123"}]'],
    ["40/custom,", "40/custom,", '42/custom,["auth",{}]'],
    ['40/custom,{"token":"abc"}', "40/custom,", '42/custom,["auth",{"token":"abc"}]'],
  ];
  for (const [packet, prefix, auth] of cases) {
    const wire = new Wire(websocket(base));
    await wire.next();
    wire.send(packet);
    const answer = await wire.next();
    assert.ok(answer.startsWith(prefix), answer);
    assert.deepEqual(Object.keys(JSON.parse(answer.slice(prefix.length))), ["sid"], packet);
    assert.equal(await wire.next(), auth);
  }
  const stranger = new Wire(websocket(base));
  await stranger.next();
  stranger.send("40/random");
  assert.equal(await stranger.next(), '44/random,{"message":"Invalid namespace"}');
  const invalid = new Wire(websocket(base));
  await invalid.next();
  invalid.send("4abc");
  await invalid.closed;
  const idle = new Wire(websocket(base), { pings: "answer" });
  await idle.closed;
}

async function disconnect(base) {
  const main = await joined(base);
  main.send("41", "40/custom");
  assert.match(await main.next(), /^40\/custom,/, "the connection outlives its namespace");
  const both = await joined(base);
  both.send("40/custom");
  assert.match(await both.next(), /^40\/custom,/);
  assert.equal(await both.next(), '42/custom,["auth",{}]');
  both.send("41/custom", '42["message","message to main namespace"]');
  assert.equal(await both.next(), '42["message-back","message to main namespace"]');
}

async function messages(base) {
  const wire = await joined(base);
  const echoed = async (sent, ...expected) => {
    wire.send(...sent);
    for (const message of expected) assert.deepEqual(await wire.next(), message);
  };
  await echoed(['42["message",1,"2",{"3":[true]}]'], '42["message-back",1,"2",{"3":[true]}]');
  await echoed([`452-["message",${PLACEHOLDERS}]`, ...BINARY], `452-["message-back",${PLACEHOLDERS}]`, ...BINARY);
  await echoed(['42456["message-with-ack",1,"2",{"3":[false]}]'], '43456[1,"2",{"3":[false]}]');
  await echoed([`452-789["message-with-ack",${PLACEHOLDERS}]`, ...BINARY], `462-789[${PLACEHOLDERS}]`, ...BINARY);
  for (const bad of ["4abc", "42{}", '42abc["message-with-ack",1]', "452-[]"]) {
    const other = await joined(base);
    other.send(bad);
    await other.closed;
  }
}

async function socket(url) {
  const base = `${url}/socket.io/`;
  await Promise.all([
    handshake(base),
    heartbeat(base),
    close(base),
    upgrade(base, "40", /^40\{/),
    connect(base),
    disconnect(base),
    messages(base),
  ]);
}

module.exports = { "protocol: engine": engine, "protocol: socket": socket };

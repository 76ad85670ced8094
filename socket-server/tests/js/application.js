// The rooms application, with all that can be configured for it.
"use strict";
const assert = require("node:assert/strict");
const { connect, io, next, sleep, until } = require("./util");

/** The `connect_error` of a client that is not let in. */
async function refused(url, options) {
  const socket = io(url, { forceNew: true, reconnection: false, transports: ["websocket"], ...options });
  const [error] = await next(socket, "connect_error");
  socket.disconnect();
  return error;
}

async function rooms(url) {
  const [ada, bob, eve] = await Promise.all([connect(url), connect(url), connect(url)]);
  assert.deepEqual(await ada.emitWithAck("joinRoom", "r"), { ok: true });
  assert.deepEqual(await bob.emitWithAck("joinRoom", { room: "r" }), { ok: true });
  const heard = [];
  for (const [name, socket] of Object.entries({ ada, bob, eve })) {
    for (const event of ["message", "roomMessage"]) socket.on(event, (m) => heard.push([name, event, m]));
  }
  const hello = { room: "r", text: "hello", bytes: Buffer.from([1, 2]) };
  assert.deepEqual(await ada.emitWithAck("message", hello), { ok: true });
  assert.deepEqual(await eve.emitWithAck("roomMessage", { room: "r", data: 1 }), { ok: true });
  assert.deepEqual(await ada.emitWithAck("leaveRoom", "r"), { ok: true });
  assert.deepEqual(await bob.emitWithAck("roomMessage", { room: "r", data: 2 }), { ok: true });
  await sleep(100);
  assert.deepEqual(heard.filter(([name]) => name === "ada"), [["ada", "roomMessage", { room: "r", data: 1 }]]);
  assert.deepEqual(heard.filter(([name]) => name === "bob"), [
    ["bob", "message", hello],
    ["bob", "roomMessage", { room: "r", data: 1 }],
    ["bob", "roomMessage", { room: "r", data: 2 }],
  ]);
  assert.deepEqual(heard.filter(([name]) => name === "eve"), []);
}

async function roomsRefuse(url) {
  const socket = await connect(url);
  for (const [event, argument, part] of [
    ["joinRoom", { rom: "r" }, "send the room's name"],
    ["joinRoom", "", "1 to 256 bytes"],
    ["joinRoom", "x".repeat(257), "1 to 256 bytes"],
    ["joinRoom", "user:ada", "belong to the server"],
    ["leaveRoom", 7, "send the room's name"],
    ["message", "r", "send one object"],
    ["roomMessage", { data: 1 }, "send one object"],
  ]) {
    const { error } = await socket.emitWithAck(event, argument);
    assert.ok(error?.includes(part), `${event} ${JSON.stringify(argument)}: ${error}`);
  }
  socket.emit("message", 3);
  const [{ event, message }] = await next(socket, "error");
  assert.equal(event, "message");
  assert.match(message, /send one object/);
}

async function echo(url) {
  for (const nsp of ["/", "/custom"]) {
    const socket = io(url + nsp, { forceNew: true, auth: { token: "t" } });
    assert.deepEqual((await next(socket, "auth"))[0], { token: "t" });
    socket.emit("message", 1, "2", { a: [Buffer.from([3])] });
    assert.deepEqual((await next(socket, "message-back")).slice(0, 3), [1, "2", { a: [Buffer.from([3])] }]);
    const answer = await new Promise((resolve) => socket.emit("message-with-ack", "a", null, (...x) => resolve(x)));
    assert.deepEqual(answer, ["a", null]);
  }
}

/** With the tokens of the environment. */
async function tokens(url) {
  const { GOOD, LIMITED, EXPIRED } = process.env;
  assert.match((await refused(url)).message, /a token is required/);
  assert.match((await refused(url, { auth: { token: "x.y.z" } })).message, /not valid/);
  assert.match((await refused(url, { auth: { token: EXPIRED } })).message, /expired/);
  const header = { extraHeaders: { authorization: `Bearer ${GOOD}` } };
  const ada = await connect(url, header);
  assert.deepEqual(await ada.emitWithAck("joinRoom", "anywhere"), { ok: true });

  const reader = await connect(url, { auth: { token: LIMITED } });
  const heard = next(reader, "roomMessage");
  await ada.emitWithAck("roomMessage", { room: "lobby", data: 1 });
  assert.deepEqual((await heard)[0], { room: "lobby", data: 1 }, "joined by its claims");
  assert.match((await reader.emitWithAck("joinRoom", "anywhere")).error, /does not allow/);
  assert.match((await reader.emitWithAck("roomMessage", { room: "lobby" })).error, /does not allow/);
}

/** A client comes back for its session with other tokens than before. */
async function tokensOfReturning(url) {
  const { GOOD, LESS, EXPIRED, OTHER } = process.env;
  const writer = await connect(url, { auth: { token: GOOD } });
  const away = await connect(url, { auth: { token: GOOD }, transports: ["websocket"] });
  const heard = [];
  away.on("roomMessage", ({ data }) => heard.push(data));
  for (const room of ["lobby", "anywhere"]) await away.emitWithAck("joinRoom", room);
  await writer.emitWithAck("roomMessage", { room: "lobby", data: 1 });
  await until(() => heard.length === 1);
  const comeBackWith = async (token, answer) => {
    away.auth = { token };
    if (away.connected) {
      const gone = next(away, "disconnect");
      away.io.engine.transport.ws.terminate();
      await gone;
    } else {
      away.connect();
    }
    return next(away, answer);
  };

  const [error] = await comeBackWith(EXPIRED, "connect_error");
  assert.match(error.message, /expired/);
  await writer.emitWithAck("roomMessage", { room: "lobby", data: 2 });
  await comeBackWith(GOOD, "connect");
  assert.equal(away.recovered, true, "who was refused has kept its session");
  await until(() => heard.length === 2);

  await comeBackWith(LESS, "connect");
  assert.equal(away.recovered, true);
  assert.match((await away.emitWithAck("roomMessage", { room: "lobby", data: 3 })).error, /does not allow/);
  await writer.emitWithAck("roomMessage", { room: "anywhere", data: 4 });
  await writer.emitWithAck("roomMessage", { room: "lobby", data: 5 });
  await until(() => heard.length === 3);
  assert.deepEqual(heard, [1, 2, 5], "rooms that the new token does not name are left");

  // To another user the session does not go.
  const reasons = [];
  away.on("disconnect", (reason) => reasons.push(reason));
  await comeBackWith(OTHER, "connect");
  await until(() => reasons.includes("io server disconnect"));
}

/** This is shard 3 of 4, to which user-1 belongs; user-2 belongs to shard 0. */
async function shards(url) {
  await connect(url, { auth: { userId: "user-1" } });
  const error = await refused(url, { auth: { userId: "user-2" } });
  assert.equal(error.message, "Please connect to shard 0");
  assert.deepEqual(error.data, { shard: 0 });
  assert.match((await refused(url)).message, /a user is required/);
}

/** Two events a second, so four at once; three joins a minute, so six at once. */
async function limits(url) {
  const socket = await connect(url);
  const answers = await Promise.all(Array.from({ length: 6 }, () => socket.emitWithAck("leaveRoom", "r")));
  assert.equal(answers.filter(({ ok }) => ok).length, 4);
  assert.match(answers[5].error, /too fast \(limit.eventsPerSecond\): wait \d+ ms/);
  socket.disconnect();
  await connect(url).then((other) => other.emitWithAck("leaveRoom", "r")).then(({ ok }) => assert.ok(ok));
}

/** One connect a second, so two at once. */
async function connects(url) {
  await connect(url);
  await connect(url);
  const error = await refused(url);
  assert.match(error.message, /Too many connections at once/);
  assert.ok(error.data.retryAfterMs > 0 && error.data.retryAfterMs <= 1000);
}

/** A backend in any language: the API's calls, with the token of the environment. */
async function api(url) {
  const call = async (method, path, body, token = process.env.API_TOKEN) => {
    const headers = { authorization: `Bearer ${token}` };
    const answer = await fetch(`${url}/api/${path}`, { method, headers, body: body && JSON.stringify(body) });
    return [answer.status, await answer.json()];
  };
  assert.equal((await call("POST", "emit", { event: "e" }, "guess"))[0], 401);
  assert.equal((await call("GET", "emit"))[0], 405);
  assert.equal((await call("GET", "nothing"))[0], 404);

  const ada = await connect(url, { auth: { token: process.env.ADA } });
  const bob = await connect(url, { auth: { token: process.env.BOB } });
  await ada.emitWithAck("joinRoom", "r");

  for (const [target, socket] of [[{ rooms: ["r"] }, ada], [{ users: ["bob"] }, bob], [{ sockets: [bob.id] }, bob]]) {
    const heard = next(socket, "news");
    assert.deepEqual(await call("POST", "emit", { ...target, event: "news", args: [1, { two: 2 }] }), [200, { ok: true }]);
    assert.deepEqual((await heard).slice(0, 2), [1, { two: 2 }]);
  }
  const all = Promise.all([next(ada, "all"), next(bob, "all")]);
  await call("POST", "emit", { event: "all" });
  await all;

  assert.deepEqual(await call("POST", "join", { users: ["bob"], into: ["r"] }), [200, { ok: true }]);
  const [, { rooms }] = await call("GET", "rooms");
  assert.deepEqual(rooms, { r: 2, "user:ada": 1, "user:bob": 1 });
  const [, { sockets }] = await call("GET", "sockets?room=r");
  assert.deepEqual(sockets.map(({ id }) => id).sort(), [ada.id, bob.id].sort());
  assert.ok(!JSON.stringify(sockets).includes(process.env.ADA), "nobody's token is shown");
  assert.equal((await call("GET", "users/ada"))[1].online, true);
  assert.equal((await call("GET", "users/eve"))[1].online, false);

  for (const [path, body, part] of [
    ["emit", { args: [] }, "missing field `event`"],
    ["emit", { event: "disconnect" }, "choose another"],
    ["disconnect", {}, "say whom"],
    ["join", { rooms: ["r"] }, "missing field `into`"],
  ]) {
    const [status, { error }] = await call("POST", path, body);
    assert.ok(status === 400 && error.includes(part), `${path}: ${error}`);
  }
  assert.equal((await call("POST", "emit", { namespace: "/none", event: "e" }))[0], 404);

  const gone = next(ada, "disconnect");
  await call("POST", "disconnect", { users: ["ada"], close: true });
  assert.equal((await gone)[0], "io server disconnect");
  assert.equal((await call("GET", "users/ada"))[1].online, false);
}

/** What backends read of users in Redis, on the server `pod-7`. */
async function presence(url) {
  const redis = await require("redis").createClient({ url: process.env.REDIS_URL }).connect();
  const there = async (condition) => {
    await until(async () => condition(await redis.hGetAll("user:connections"), await redis.hGetAll("user:ada")));
  };
  const auth = { token: process.env.ADA };
  const [one, two] = [await connect(url, { auth }), await connect(url, { auth })];
  await there((all, ada) => all.ada === "pod-7" && ada.socketId === two.id);
  const { serverId, status, connectedAt } = await redis.hGetAll("user:ada");
  assert.deepEqual([serverId, status], ["pod-7", "online"]);
  assert.ok(Math.abs(Date.now() - connectedAt) < 60_000);
  assert.ok((await redis.ttl("user:ada")) > 0, "a killed server's users do not stay for ever");
  two.disconnect();
  await there((all, ada) => all.ada === "pod-7" && ada.socketId === one.id);
  // Another server has the user by now: this one must not take that back.
  await redis.hSet("user:connections", "ada", "pod-8");
  one.disconnect();
  await there((all, ada) => all.ada === "pod-8" && ada.socketId === undefined);
  await redis.quit();
}

async function joinOnce(url) {
  const socket = await connect(url);
  assert.deepEqual(await socket.emitWithAck("joinRoom", { room: "r" }), { ok: true });
  socket.disconnect();
}

const scenarios = { rooms, roomsRefuse, echo, tokens, tokensOfReturning, shards, limits, connects, api, presence, joinOnce };
module.exports = Object.fromEntries(Object.entries(scenarios).map(([name, run]) => [`app: ${name}`, run]));

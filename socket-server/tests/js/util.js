"use strict";
const { io } = require("socket.io-client");

const TRANSPORTS = { websocket: ["websocket"], polling: ["polling"], upgrade: ["polling", "websocket"] };

/** The next event, as its arguments without the offset that recovery adds. */
const next = (emitter, event) => new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));

/** A client that has connected, at the first attempt or a later one. */
async function connect(url, options = {}) {
  const socket = io(url, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 50, ...options });
  await next(socket, "connect");
  return socket;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until the condition holds. */
async function until(condition) {
  while (!(await condition())) await sleep(5);
}

module.exports = { io, TRANSPORTS, next, connect, sleep, until };

// One user: a stock Socket.IO client in one room.
import { io } from "socket.io-client";
import { Ear } from "./ledger.js";

/** How long a message may take to be acknowledged before the client sends it again. */
const ACK_TIMEOUT_MS = 20_000;
const RETRIES = 20;
/** When a server refuses a client without saying when to come back. */
const REFUSED_RETRY_MS = 2_000;

export class Member {
  /** The server has acknowledged the join, and the session has gone on since. */
  joined = false;
  reconnects = 0;
  #seq = 0;
  #lostAt = undefined;
  #retry = undefined;
  #closed = false;
  /** The stream that it does not read from. */
  #unread = undefined;

  constructor(name, room, { url, path, transports, auth }, ledger, tally) {
    Object.assign(this, { name, room, ledger, tally, ear: new Ear(name) });
    this.openedAt = performance.now();
    this.socket = io(url, {
      path,
      transports,
      auth,
      forceNew: true, // a connection of its own
      retries: RETRIES,
      ackTimeout: ACK_TIMEOUT_MS,
    });
    this.socket.on("connect", () => this.#connected());
    this.socket.on("disconnect", (reason) => this.#disconnected(reason));
    this.socket.on("connect_error", (error) => this.#refused(error));
    this.socket.on("roomMessage", (message, offset) => this.#hear(message, offset));
    this.socket.on("server:maintenance", () => (this.tally.maintenance += 1));
  }

  get connected() {
    return this.socket.connected;
  }

  get deaf() {
    return this.#unread !== undefined;
  }

  /** Stops reading from its present connection, or reads on. */
  set deaf(deaf) {
    if (deaf === this.deaf) return;
    if (!deaf) this.#unread.resume();
    this.#unread = deaf ? this.socket.io.engine.transport.ws._socket.pause() : undefined;
  }

  /** Says the next message to the room. */
  say(text) {
    const seq = ++this.#seq;
    const due = this.room.members.filter((member) => member.joined).map((member) => member.ear);
    this.ledger.said(this.name, seq, this.room, due, performance.now());
    const message = { room: this.room.name, data: { from: this.name, seq, text } };
    this.socket.emit("roomMessage", message, (error, answer) => {
      if (this.#closed) return;
      if (error) this.ledger.fail(this.name, seq);
      else if (answer?.error) {
        count(this.tally.errors, `roomMessage: ${answer.error.message ?? answer.error}`);
        this.ledger.fail(this.name, seq);
      } else this.ledger.ack(this.name, seq);
    });
  }

  /** Leaves for good. */
  close() {
    this.#closed = true;
    this.joined = false;
    clearTimeout(this.#retry);
    this.socket.disconnect();
  }

  #connected() {
    const now = performance.now();
    if (this.#lostAt === undefined) {
      this.tally.connectMs.add(now - this.openedAt);
      this.#join();
      return;
    }
    this.reconnects += 1;
    this.tally.reconnects += 1;
    this.tally.reconnectMs.add(now - this.#lostAt);
    this.#lostAt = undefined;
    if (this.socket.recovered) {
      // Rooms and missed messages have come back with the session. A join that was under way is repeated
      // by the client's retries.
      this.tally.recovered += 1;
    } else {
      this.tally.unrecovered += 1;
      this.joined = false;
      this.ear.dueFrom = undefined;
      this.#join();
    }
  }

  #join() {
    this.socket.emit("joinRoom", { room: this.room.name }, (error, answer) => {
      if (this.#closed) return;
      if (error || answer?.error) {
        count(this.tally.errors, `joinRoom: ${(error ?? answer.error).message ?? answer.error}`);
        this.#join();
        return;
      }
      // What was said before this moment may have been heard or not.
      this.ear.dueFrom = new Map(this.room.members.map((member) => [member.name, member.#seq + 1]));
      this.joined = true;
    });
  }

  #disconnected(reason) {
    if (this.#closed) return;
    count(this.tally.disconnects, reason);
    this.#lostAt = performance.now();
    if (!this.socket.active) this.#connectAgain(REFUSED_RETRY_MS);
  }

  /** A refusal by a CONNECT_ERROR ends the stock client's own attempts; the others it repeats itself. */
  #refused(error) {
    if (this.#closed) return;
    count(this.tally.errors, `connect: ${error.message}`);
    if (!this.socket.active) this.#connectAgain(error.data?.retryAfterMs ?? REFUSED_RETRY_MS);
  }

  #connectAgain(ms) {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.socket.connect(), ms * (0.5 + Math.random()));
  }

  #hear({ data }, offset) {
    const age = this.ledger.hear(this.ear, data.from, data.seq, offset, performance.now());
    if (age !== undefined) this.tally.deliveryMs.add(age);
  }
}

/** Adds one under `key`; the number of different keys stays small. */
export function count(counts, key) {
  if (!(key in counts) && Object.keys(counts).length >= 50) key = "other";
  counts[key] = (counts[key] ?? 0) + 1;
}

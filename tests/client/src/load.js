// The load: opens and closes rooms of members towards what is wanted, and lets the members speak in turn.
import { Histogram } from "./histogram.js";
import { Ledger } from "./ledger.js";
import { Member } from "./member.js";

const TICK_MS = 20;
/** A delivery that is due for longer counts as lost (and no longer, should it come after all). */
const LOST_AFTER_MS = 30_000;

export class Load {
  ledger = new Ledger();
  rooms = [];
  #serial = 0;
  #turn = 0;
  #opening = 0;
  #speaking = 0;
  #startedAt = performance.now();
  #lastTick = performance.now();
  #waiters = new Set();

  /**
   * `target`: `url`, `path`, `transports`, `auth` for the clients.
   * `wanted`: `sockets`, `roomSize`, `rate` (messages per socket and second), `openRate` (sockets opened per
   * second), `bytes` (length of the text), `speak`, `deaf` (rooms whose first member neither reads nor speaks).
   */
  constructor(name, target, wanted) {
    Object.assign(this, { name, target, wanted });
    this.tally = {
      maintenance: 0,
      reconnects: 0,
      recovered: 0,
      unrecovered: 0,
      disconnects: {},
      errors: {},
      connectMs: new Histogram(),
      reconnectMs: new Histogram(),
      deliveryMs: new Histogram(),
    };
    this.timer = setInterval(() => this.#tick(performance.now()), TICK_MS);
  }

  get #members() {
    return this.rooms.flatMap((room) => room.members);
  }

  /** Changes what is wanted; absent fields stay. */
  want(changes) {
    Object.assign(this.wanted, changes);
    if (changes.deaf === undefined) return;
    this.rooms.forEach((room, n) => (room.members[0].deaf = n < changes.deaf));
  }

  /** Counts reconnects per member from now on. */
  mark() {
    for (const member of this.#members) member.reconnects = 0;
  }

  /**
   * Stops speaking and waits until everything sent has been acknowledged and heard, or `timeoutMs` are over;
   * gives the final stats.
   */
  async settle(timeoutMs) {
    this.want({ speak: false });
    await new Promise((resolve) => {
      const waiter = () => {
        clearTimeout(timeout);
        this.#waiters.delete(waiter);
        resolve();
      };
      const timeout = setTimeout(waiter, timeoutMs);
      this.#waiters.add(waiter);
    });
    return this.stats();
  }

  /** Closes every socket. */
  close() {
    clearInterval(this.timer);
    for (const member of this.#members) member.close();
  }

  stats() {
    const now = performance.now();
    const { sent, acked, failed, received, doubled, resent } = this.ledger;
    const members = this.#members;
    const perClient = {};
    for (const { reconnects } of members) perClient[reconnects] = (perClient[reconnects] ?? 0) + 1;
    return {
      name: this.name,
      uptimeMs: Math.round(now - this.#startedAt),
      wanted: this.wanted,
      rooms: this.rooms.length,
      sockets: members.length,
      connected: members.filter((member) => member.connected).length,
      joined: members.filter((member) => member.joined && member.connected).length,
      sent,
      acked,
      failed,
      received,
      lost: this.ledger.lost(now - LOST_AFTER_MS),
      doubled,
      resent,
      outstanding: this.ledger.outstanding(),
      missing: this.ledger.missing(),
      ...this.tally,
      reconnectsPerClient: perClient,
    };
  }

  #tick(now) {
    const seconds = Math.min(now - this.#lastTick, 1000) / 1000;
    this.#lastTick = now;
    this.#open(seconds);
    this.#close();
    this.#speak(seconds);
    if (this.#waiters.size > 0) {
      const { unacked, undelivered } = this.ledger.outstanding();
      if (unacked === 0 && undelivered === 0) for (const waiter of this.#waiters) waiter();
    }
  }

  #open(seconds) {
    const missing = this.wanted.sockets - this.#staying().reduce((n, room) => n + room.members.length, 0);
    this.#opening = missing > 0 ? this.#opening + this.wanted.openRate * seconds : 0;
    for (let n = Math.min(missing, Math.floor(this.#opening)); n > 0; n -= 1) {
      this.#opening -= 1;
      const room = this.#roomWithPlace();
      const name = `${room.name}/${++this.#serial}`;
      room.members.push(new Member(name, room, this.target, this.ledger, this.tally));
    }
  }

  /** Whole rooms leave, the youngest first: they fall silent, hear what is due to them and go. */
  #close() {
    let surplus = this.#staying().reduce((n, room) => n + room.members.length, 0) - this.wanted.sockets;
    for (const room of this.#staying().reverse()) {
      if (surplus <= 0) break;
      surplus -= room.members.length;
      room.leaveAt = performance.now() + LOST_AFTER_MS;
    }
    for (const room of this.rooms.filter((room) => room.leaveAt !== undefined)) {
      if (room.outstanding > 0 && performance.now() < room.leaveAt) continue;
      for (const member of room.members) member.close();
      this.ledger.close(room);
      this.rooms.splice(this.rooms.indexOf(room), 1);
    }
  }

  #staying() {
    return this.rooms.filter((room) => room.leaveAt === undefined);
  }

  #roomWithPlace() {
    const staying = this.#staying();
    const last = staying.at(-1);
    if (last && last.members.length < this.wanted.roomSize) return last;
    const room = { name: `${this.name}-${++this.#serial}`, members: [], outstanding: 0, leaveAt: undefined };
    this.rooms.push(room);
    return room;
  }

  #speak(seconds) {
    if (!this.wanted.speak) {
      this.#speaking = 0;
      return;
    }
    const able = this.#staying().flatMap((room) => room.members).filter((member) => member.joined && !member.deaf);
    this.#speaking += able.length * this.wanted.rate * seconds;
    const text = "x".repeat(this.wanted.bytes);
    for (; this.#speaking >= 1; this.#speaking -= 1) {
      this.#turn = (this.#turn + 1) % able.length;
      able[this.#turn].say(text);
    }
  }
}

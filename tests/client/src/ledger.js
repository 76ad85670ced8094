// Who must still hear what. All members of a room live in one process, so this is exact: a message is due
// to every member whose join had been acknowledged when the message was first emitted, and each of them has
// to hear it once.

/** How many of the missing deliveries are told one by one. */
const TOLD = 20;

/** How many heard messages a member remembers, to tell a resent message from one delivered twice. */
const REMEMBERED = 256;

/** What one member hears. */
export class Ear {
  constructor(name) {
    this.name = name;
  }

  /**
   * Messages of these speakers count from this number on; from 1 for the others. Undefined until a join has been
   * acknowledged: the server has put the member into the room before it says so, and what is said in between may be
   * heard or not.
   */
  dueFrom = undefined;
  /** `speaker seq` → offset, the latest last. */
  heard = new Map();

  remember(key, offset) {
    this.heard.set(key, offset);
    if (this.heard.size > REMEMBERED) this.heard.delete(this.heard.keys().next().value);
  }
}

export class Ledger {
  sent = 0;
  acked = 0;
  /** Given up by the client after all its retries. */
  failed = 0;
  /** First deliveries of due messages. */
  received = 0;
  /** The same publication delivered again: never right. */
  doubled = 0;
  /** Delivered again because the client sent it again: its server was gone before it could acknowledge. */
  resent = 0;
  /** Due and never heard, of rooms that are closed. */
  #lostForGood = 0;
  /** `speaker seq` → message that somebody has not heard or the server has not acknowledged; oldest first. */
  #open = new Map();

  /** Notes a message of `speaker` that every ear of `due` has to hear. */
  said(speaker, seq, room, due, now) {
    this.sent += 1;
    room.outstanding += 1;
    this.#open.set(`${speaker} ${seq}`, { room, now, acked: false, waiting: new Set(due) });
  }

  /** The server has taken the message. */
  ack(speaker, seq) {
    this.acked += 1;
    this.#update(`${speaker} ${seq}`, (message) => (message.acked = true));
  }

  /** The client has given the message up. */
  fail(speaker, seq) {
    this.failed += 1;
    this.#update(`${speaker} ${seq}`, (message) => {
      message.acked = true;
      this.#lostForGood += message.waiting.size;
      message.waiting.clear();
    });
  }

  /** `ear` hears a message; gives its age in milliseconds when it is the first time, else undefined. */
  hear(ear, speaker, seq, offset, now) {
    const key = `${speaker} ${seq}`;
    const message = this.#open.get(key);
    if (message?.waiting.delete(ear)) {
      this.received += 1;
      ear.remember(key, offset);
      this.#update(key, () => {});
      return now - message.now;
    }
    if (ear.dueFrom && seq >= (ear.dueFrom.get(speaker) ?? 1)) {
      const first = ear.heard.get(key);
      if (first !== undefined && offset !== undefined && first !== offset) this.resent += 1;
      else this.doubled += 1;
    }
    return undefined;
  }

  /** Forgets a room that has been closed: what was still due in it is lost. */
  close(room) {
    for (const [key, message] of this.#open) {
      if (message.room !== room) continue;
      this.#lostForGood += message.waiting.size;
      this.#open.delete(key);
    }
    room.outstanding = 0;
  }

  /** Deliveries that are due since before `then`, and those of closed rooms that never came. */
  lost(then) {
    let lost = this.#lostForGood;
    for (const message of this.#open.values()) {
      if (message.now > then) break;
      lost += message.waiting.size;
    }
    return lost;
  }

  /** What is under way: messages without an acknowledgement, and deliveries that have not come. */
  outstanding() {
    let unacked = 0;
    let undelivered = 0;
    for (const message of this.#open.values()) {
      unacked += message.acked ? 0 : 1;
      undelivered += message.waiting.size;
    }
    return { unacked, undelivered };
  }

  /** The oldest messages that somebody has not heard: who said them, who has not, and what those who have got as offset. */
  missing() {
    const missing = [];
    for (const [message, { room, waiting }] of this.#open) {
      if (waiting.size === 0) continue;
      if (missing.length === TOLD) break;
      const heard = room.members.flatMap((member) => member.ear.heard.get(message) ?? []);
      missing.push({ message, ears: [...waiting].map((ear) => ear.name), offsets: [...new Set(heard)] });
    }
    return missing;
  }

  #update(key, change) {
    const message = this.#open.get(key);
    if (!message) return;
    change(message);
    if (message.acked && message.waiting.size === 0) {
      this.#open.delete(key);
      message.room.outstanding -= 1;
    }
  }
}

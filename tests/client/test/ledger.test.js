import assert from "node:assert/strict";
import { test } from "node:test";
import { Ear, Ledger } from "../src/ledger.js";

const room = (...ears) => ({ outstanding: 0, members: ears.map((ear) => ({ ear })) });

/** An ear whose join has been acknowledged. */
function joined(name) {
  const ear = new Ear(name);
  ear.dueFrom = new Map();
  return ear;
}

test("a message that everybody heard once is settled", () => {
  const ledger = new Ledger();
  const [a, b, r] = [joined(), joined(), room()];
  ledger.said("a", 1, r, [a, b], 0);
  assert.deepEqual(ledger.outstanding(), { unacked: 1, undelivered: 2 });
  ledger.ack("a", 1);
  assert.equal(ledger.hear(a, "a", 1, "1-0", 5), 5);
  assert.equal(ledger.hear(b, "a", 1, "1-0", 7), 7);
  assert.deepEqual(ledger.outstanding(), { unacked: 0, undelivered: 0 });
  assert.equal(r.outstanding, 0);
  assert.equal(ledger.received, 2);
  assert.equal(ledger.lost(1000), 0);
});

test("who has not heard what is told, with where the others got it", () => {
  const ledger = new Ledger();
  const [a, b, c] = [joined("a"), joined("b"), joined("c")];
  const r = room(a, b, c);
  ledger.said("a", 1, r, [a, b, c], 0);
  ledger.said("a", 2, r, [a, b, c], 0);
  for (const ear of [a, b, c]) ledger.hear(ear, "a", 1, "1-0", 5);
  ledger.hear(b, "a", 2, "2-0", 5);
  assert.deepEqual(ledger.missing(), [{ message: "a 2", ears: ["a", "c"], offsets: ["2-0"] }]);
});

test("what is overdue is lost, until it comes", () => {
  const ledger = new Ledger();
  const ear = joined();
  ledger.said("a", 1, room(), [ear], 10);
  ledger.ack("a", 1);
  assert.equal(ledger.lost(9), 0);
  assert.equal(ledger.lost(10), 1);
  ledger.hear(ear, "a", 1, "1-0", 50);
  assert.equal(ledger.lost(100), 0);
});

test("a gap stays lost when its room closes", () => {
  const ledger = new Ledger();
  const [ear, r] = [joined(), room()];
  ledger.said("a", 1, r, [ear], 0);
  ledger.said("a", 2, r, [ear], 0);
  ledger.hear(ear, "a", 2, "2-0", 1);
  ledger.close(r);
  assert.equal(ledger.lost(-1), 1);
});

test("the same publication twice is doubled, another one of the same message is resent", () => {
  const ledger = new Ledger();
  const ear = joined();
  ledger.said("a", 1, room(), [ear], 0);
  ledger.hear(ear, "a", 1, "1-0", 1);
  ledger.hear(ear, "a", 1, "1-0", 2);
  assert.deepEqual([ledger.doubled, ledger.resent], [1, 0]);
  ledger.hear(ear, "a", 1, "2-0", 3);
  assert.deepEqual([ledger.doubled, ledger.resent], [1, 1]);
});

test("what was said before a member joined does not count", () => {
  const ledger = new Ledger();
  const ear = joined();
  ledger.said("a", 1, room(), [], 0);
  ear.dueFrom.set("a", 2);
  assert.equal(ledger.hear(ear, "a", 1, "1-0", 1), undefined);
  assert.deepEqual([ledger.received, ledger.doubled], [0, 0]);
});

test("what is heard between a join and its acknowledgement is neither due nor doubled", () => {
  const ledger = new Ledger();
  const [ear, r] = [new Ear(), room()];
  ledger.said("a", 1, r, [], 0);
  assert.equal(ledger.hear(ear, "a", 1, "1-0", 1), undefined);
  ear.dueFrom = new Map([["a", 2]]);
  ledger.said("a", 2, r, [ear], 2);
  assert.equal(ledger.hear(ear, "a", 2, "2-0", 3), 1);
  assert.deepEqual([ledger.received, ledger.doubled, ledger.resent], [1, 0, 0]);
});

test("a message that the client gave up is failed and lost", () => {
  const ledger = new Ledger();
  const r = room();
  ledger.said("a", 1, r, [joined()], 0);
  ledger.fail("a", 1);
  assert.equal(ledger.failed, 1);
  assert.equal(ledger.lost(0), 1);
  assert.equal(r.outstanding, 0);
});

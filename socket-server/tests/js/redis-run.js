// Runs one scenario on several servers: node redis-run.js SCENARIO URL... Exits with 0 when all its assertions hold.
// What it prints are commands to the test that runs it.
"use strict";
const { progress } = require("./redis-recovery");
const scenarios = { ...require("./redis-mixed"), ...require("./redis-crosses"), ...require("./redis-recovery").scenarios };

const [name, ...urls] = process.argv.slice(2);
const deadline = setTimeout(() => fail(new Error(`timed out\n${progress.report()}`)), 50_000);

function fail(error) {
  console.error(`${name}: ${error.stack}`);
  process.exit(1);
}

process.on("unhandledRejection", fail);
scenarios[name](...urls).then(() => {
  clearTimeout(deadline);
  process.exit(0);
}, fail);

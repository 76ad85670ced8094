// Runs one scenario against a server: node run.js SCENARIO URL. Exits with 0 when all its assertions hold.
"use strict";
const files = ["./basics", "./recovery", "./moves", "./engine", "./application", "./slow", "./protocol", "./deflate"];
const scenarios = Object.assign({}, ...files.map(require));

const [name, url] = process.argv.slice(2);
const deadline = setTimeout(() => fail(new Error("timed out")), 90_000);

function fail(error) {
  console.error(`${name}: ${error.stack}`);
  process.exit(1);
}

process.on("unhandledRejection", fail);
scenarios[name](url).then(() => {
  clearTimeout(deadline);
  process.exit(0);
}, fail);

#!/usr/bin/env node
// Load client for a SocketFleet, run as a pod in the fleet's cluster.
import { hostname } from "node:os";
import { parseArgs } from "node:util";
import { control } from "./control.js";
import { Load } from "./load.js";

const HELP = `usage: main.js --url http://SERVICE [options]

  --url URL          the fleet's Service
  --path PATH        Socket.IO path (/socket.io/)
  --transports LIST  websocket, or polling,websocket (websocket)
  --auth JSON        handshake auth payload
  --sockets N        sockets to open (0; POST /load changes it)
  --room-size N      members of a room (8)
  --rate R           messages per socket and second (0.1)
  --open-rate R      sockets opened per second (100)
  --bytes N          length of a message's text (64)
  --port PORT        control port (9090)
  --name NAME        prefix of the rooms (the host's name)
`;

const string = (value) => ({ type: "string", default: value });
const { values: o } = parseArgs({
  options: {
    help: { type: "boolean", short: "h" },
    url: { type: "string" },
    path: string("/socket.io/"),
    transports: string("websocket"),
    auth: string("{}"),
    sockets: string("0"),
    "room-size": string("8"),
    rate: string("0.1"),
    "open-rate": string("100"),
    bytes: string("64"),
    port: string("9090"),
    name: string(hostname()),
  },
});
if (o.help || !o.url) {
  process.stdout.write(HELP);
  process.exit(o.help ? 0 : 2);
}

const load = new Load(
  o.name,
  { url: o.url, path: o.path, transports: o.transports.split(","), auth: JSON.parse(o.auth) },
  {
    sockets: Number(o.sockets),
    roomSize: Number(o["room-size"]),
    rate: Number(o.rate),
    openRate: Number(o["open-rate"]),
    bytes: Number(o.bytes),
    speak: true,
    deaf: 0,
  },
);
const server = control(load).listen(Number(o.port), () => console.log(`control port ${server.address().port}`));
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    load.close();
    server.close();
    server.closeAllConnections();
  });
}

// node server.js REDIS_URL FAULT: two Socket.IO servers; sends their ports to the parent process.
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { once } from "node:events";
import { createServer } from "node:http";
import { createClient } from "redis";
import { Server } from "socket.io";

const [url, fault] = process.argv.slice(2);
const copies = { none: 1, drop: 0, double: 2 };
const servers = await Promise.all([1, 2].map(start));
process.on("message", () => {
  for (const { io } of servers) for (const client of Object.values(io.engine.clients)) client.close();
});
process.send(servers.map(({ port }) => port));

async function start() {
  const client = createClient({ url });
  await client.connect();
  const http = createServer();
  const io = new Server(http, { connectionStateRecovery: {}, adapter: createAdapter(client) });
  io.on("connection", (socket) => {
    socket.on("joinRoom", ({ room }, ack) => {
      socket.join(room);
      ack({ ok: true });
    });
    socket.on("roomMessage", (message, ack) => {
      for (let n = message.data.seq === 3 ? copies[fault] : 1; n > 0; n -= 1) {
        io.to(message.room).emit("roomMessage", message);
      }
      ack({ ok: true });
    });
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  return { io, port: http.address().port };
}

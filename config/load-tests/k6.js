// Load with k6: each virtual user holds a socket in one of 1,000 rooms and says something there once a second. k6 speaks no
// Socket.IO, so this speaks what of it is needed: https://socket.io/docs/v4/socket-io-protocol.
//
//   k6 run --vus 2000 --duration 5m -e URL=ws://chat.default.svc config/load-tests/k6.js
//
// Good: no failed checks. `echo` is the time until the room's other members could have heard: the message comes back to its
// sender as well.
import { check } from "k6";
import { Counter, Trend } from "k6/metrics";
import { WebSocket } from "k6/websockets";

const URL = `${__ENV.URL || "ws://localhost:3000"}/socket.io/?EIO=4&transport=websocket`;
const ROOMS = Number(__ENV.ROOMS || 1000);
const SECONDS = Number(__ENV.SECONDS || 60); // that a socket lives

const echo = new Trend("echo", true);
const moved = new Counter("moved"); // by a drain: a stock client would recover

export const options = { vus: 100, duration: "1m", thresholds: { checks: ["rate==1"] } };

export default function () {
	const room = `room-${Math.floor(Math.random() * ROOMS)}`;
	const socket = new WebSocket(URL);
	let joined = false;
	const say = () => {
		const message = { room, data: { from: __VU, at: Date.now() } };
		socket.send(`42${JSON.stringify(["roomMessage", message])}`);
	};
	socket.onmessage = ({ data }) => {
		if (data.startsWith("0")) socket.send("40"); // opened: join the namespace /
		else if (data === "2") socket.send("3"); // the heartbeat
		else if (data.startsWith("40")) socket.send(`421${JSON.stringify(["joinRoom", { room }])}`); // with ack 1
		else if (data.startsWith("431")) {
			joined = JSON.parse(data.slice(3))[0].ok === true;
			setInterval(say, 1000);
		} else if (data.startsWith("42")) {
			const [event, body] = JSON.parse(data.slice(data.indexOf("[")));
			if (event === "roomMessage" && body.data.from === __VU) echo.add(Date.now() - body.data.at);
			if (event === "server:maintenance") moved.add(1);
		}
	};
	setTimeout(() => socket.close(), SECONDS * 1000);
	socket.onclose = () => check(joined, { "joined its room": (joined) => joined });
}

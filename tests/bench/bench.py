"""Starts each server, lets sioload measure it, and prints the medians as Markdown tables; see README.md."""
import json, os, shlex, signal, socket, statistics, subprocess, sys, time, urllib.request

BIN = os.environ["BENCH_BIN"] + "/"
TMP = os.environ["BENCH_TMP"]
REPEATS = int(os.environ.get("REPEATS", 3))
NODE = ["node", "peers/node.js"]
NODE_ENV = {"NODE_PATH": os.environ["BENCH_NODE"] + "/node_modules"}
PLAIN_WS = {"WS_NO_BUFFER_UTIL": "1", "WS_NO_UTF_8_VALIDATE": "1"}
# name: (command, environment, adapters with which it can be a cluster)
SERVERS = {
    "rawref": ([BIN + "rawref"], {}, []),
    "ours": ([os.environ["SOCKET_SERVER"]], {"LOG_LEVEL": "warn"}, ["pubsub", "streams"]),
    "rawfws": ([BIN + "rawfws"], {}, []),
    "oxide": ([BIN + "oxide"], {}, ["pubsub"]),
    "node": (NODE, NODE_ENV | PLAIN_WS, ["pubsub", "streams"]),
    "node-addons": (NODE, NODE_ENV, []),
}
if os.environ.get("SERVER_CMD"):
    adapters = os.environ.get("SERVER_ADAPTERS", "pubsub").split()
    SERVERS[os.environ.get("SERVER_NAME", "candidate")] = (shlex.split(os.environ["SERVER_CMD"]), {}, adapters)

ROOM = "cpu_us_per_unit p50_us p99_us server_busy sys_share".split()
CLUSTER = "cpu_us_per_unit helper_cpu_us_per_unit near_p99_us far_p50_us far_p99_us server_busy".split()
# case: (servers at once, repeats, what the load does, figures)
CASES = {
    "idle": (1, REPEATS, "idle --conns 10000 --secs 5", "pss_bytes_per_conn base_pss_mib cpu_us_per_unit connects_per_s".split()),
    "storm": (1, REPEATS, "storm --conns 10000", "accepted refused connects_per_s cpu_us_per_unit loop_lag_p99_ms".split()),
    "idle-19k": (1, 1, "idle --conns 19000 --secs 30", "pss_bytes_per_conn held_cpu_us_per_conn_s".split()),
    "echo": (1, REPEATS, "echo --conns 1000 --size 128 --secs 5", "cpu_us_per_unit units_per_s p50_us p99_us server_busy".split()),
    "pairs": (1, REPEATS, "room --conns 2000 --rooms 1000 --rate 2000 --secs 5", ROOM),
    "pairs-hot": (1, REPEATS, "room --conns 2000 --rooms 1000 --rate 5000 --secs 5", ROOM),
    "fan-1k": (1, REPEATS, "room --conns 1000 --rooms 1 --rate 15 --secs 5", ROOM),
    "fan-5k": (1, REPEATS, "room --conns 5000 --rooms 1 --rate 3 --secs 6", ROOM),
    "pairs-2x": (2, REPEATS, "room --conns 2000 --rooms 1000 --rate 1500 --secs 5", CLUSTER),
    "pairs-2x-streams": (2, REPEATS, "room --conns 2000 --rooms 1000 --rate 1500 --secs 5", CLUSTER),
    "fan-1k-2x": (2, REPEATS, "room --conns 1000 --rooms 1 --rate 10 --secs 5", CLUSTER),
}
# What socket-server is told beside; the others have no such settings. Recovery, which its echo has not by default, is on in
# all that is measured.
RECOVERY = {"CONNECTION_STATE_RECOVERY_MAX_DISCONNECTION_DURATION": "120000"}
SETTINGS = {"echo": {"APP": "echo"} | RECOVERY, "storm": {"MAX_CONNECTIONS": "8000"}}
ports = iter(range(21000, 29000))


def adapter(case):
    """The adapter of a case with Redis."""
    return None if CASES[case][0] == 1 else "streams" if case.endswith("-streams") else "pubsub"


def spawn(cmd, env, log, cpu=0):
    """Starts a process on one CPU and waits until it listens on its port."""
    port = next(ports)
    cmd = ["taskset", "-c", str(cpu)] + [c.replace("{port}", str(port)) for c in cmd]
    proc = subprocess.Popen(cmd, env=os.environ | env | {"PORT": str(port)}, stdout=log, stderr=log)
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(0.3)
                return proc, port
        if proc.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"{cmd} does not listen on {port}")


def measure(server, case):
    """One run, alone on the machine; returns sioload's report, or None when the run failed."""
    (cmd, env, _), (count, _, load, _) = SERVERS[server], CASES[case]
    env = env | SETTINGS.get(case, {})
    procs, helpers, admin = [], [], []
    with open(f"{TMP}/{server}.log", "a") as log:
        try:
            if count > 1:
                redis = ["redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
                helpers.append(spawn(redis, {}, log))
                env = env | {"REDIS_URL": f"redis://127.0.0.1:{helpers[0][1]}/", "REDIS_ADAPTER": adapter(case)}
            for _ in range(count):
                admin.append(next(ports))
                procs.append(spawn(cmd, env | {"ADMIN_PORT": str(admin[-1])}, log))
            pids = lambda group: ",".join(str(p.pid) for p, _ in group)
            args = ["--servers", ",".join(f"127.0.0.1:{port}" for _, port in procs), "--pids", pids(procs)]
            args += ["--helpers", pids(helpers)] if helpers else []
            done = subprocess.run(["taskset", "-c", "1", BIN + "sioload", *load.split(), *args], stdout=subprocess.PIPE, stderr=log, timeout=150)
            report = json.loads(done.stdout) if done.returncode == 0 else None
            if report and server == "ours":
                report["loop_lag_p99_ms"] = loop_lag(admin[0])
            return report
        except subprocess.TimeoutExpired:
            return None
        finally:
            for proc, _ in procs + helpers:
                proc.terminate()
            for proc, _ in procs + helpers:
                proc.wait()


def loop_lag(port):
    """The bucket that holds the 99th percentile of the event loop's lag since the server was started, in ms."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as metrics:
        lines = metrics.read().decode().splitlines()
    buckets = [line for line in lines if line.startswith("socketfleet_event_loop_lag_seconds_bucket")]
    counts = [(float(line.split('le="')[1].split('"')[0].replace("+Inf", "inf")), int(line.split()[-1])) for line in buckets]
    return next(bound for bound, count in counts if count >= 0.99 * counts[-1][1]) * 1000


def show(value):
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are ended too
    wanted = sys.argv[1:] or ["rawref", "ours", "oxide", "node"]
    if unknown := [name for name in wanted if name not in SERVERS]:
        raise SystemExit(f"no server is called {', '.join(unknown)}: choose from {', '.join(SERVERS)}")
    cases = os.environ.get("CASES", "").split() or list(CASES)
    runs = {}
    with open(f"{TMP}/results.jsonl", "a") as results:
        for turn in range(max(CASES[c][1] for c in cases)):
            for case in cases:
                for server in wanted:
                    if turn < CASES[case][1] and (CASES[case][0] == 1 or adapter(case) in SERVERS[server][2]):
                        report = measure(server, case)
                        runs.setdefault((case, server), []).append(report)
                        print(json.dumps({"case": case, "server": server, "report": report}), file=results, flush=True)
                        print(turn, case, server, report and show(report["cpu_us_per_unit"]), file=sys.stderr, flush=True)
    print("| case | figure |", " | ".join(wanted), "|\n|---|---|" + "---:|" * len(wanted))
    for case in cases:
        for figure in CASES[case][3] + ["lost+wrong+failed"]:
            cells = []
            for server in wanted:
                reports = runs.get((case, server), [])
                good = [r for r in reports if r]
                if figure == "lost+wrong+failed":
                    bad = sum(r.get("lost", 0) + r.get("wrong", 0) + r["failures"] for r in good)
                    cells.append("-" if not reports else f"{bad:.0f}" + f" ({len(reports) - len(good)} runs failed)" * (len(good) < len(reports)))
                else:
                    values = [r[figure] for r in good if r.get(figure) is not None]
                    spread = f" ({show(min(values))}-{show(max(values))})" if figure == "cpu_us_per_unit" and len(values) > 1 else ""
                    cells.append(show(statistics.median(values) if values else None) + spread)
            print(f"| {case} | {figure} |", " | ".join(cells), "|")
    targets(wanted, cases, runs)


# What socket-server is held to: (text, case, figure, limit, server that the figure is divided by, or None).
TARGETS = [
    ("idle WebSocket connection, PSS bytes", "idle", "pss_bytes_per_conn", 3000, None),
    ("empty server, PSS MiB", "idle", "base_pss_mib", 5, None),
    ("connect, CPU / floor", "idle", "cpu_us_per_unit", 2, "rawref"),
    ("heartbeat, CPU µs per connection and second", "idle-19k", "held_cpu_us_per_conn_s", 0.8, None),
    ("echo, CPU per message / floor", "echo", "cpu_us_per_unit", 1.3, "rawref"),
    ("1,000 rooms of 2, CPU per delivery / floor", "pairs", "cpu_us_per_unit", 1.25, "rawref"),
    ("one room of 1,000, CPU per delivery / floor", "fan-1k", "cpu_us_per_unit", 1.15, "rawref"),
    ("one room of 5,000, CPU per delivery / floor", "fan-5k", "cpu_us_per_unit", 1.15, "rawref"),
    ("1,000 rooms of 2, two processes and Redis pub/sub, CPU per delivery / Node", "pairs-2x", "cpu_us_per_unit", 0.3, "node"),
    ("the same with Redis Streams", "pairs-2x-streams", "cpu_us_per_unit", 0.3, "node"),
    ("storm of 10,000 connects, event loop lag p99, ms", "storm", "loop_lag_p99_ms", 50, None),
]


def targets(wanted, cases, runs):
    """The targets beside what this run measured; ratios are of runs of the same turn."""
    if "ours" not in wanted:
        return
    print("\n| target | limit | ours | |\n|---|---:|---:|---|")
    for text, case, figure, limit, base in TARGETS:
        values = [r and r.get(figure) for r in runs.get((case, "ours"), [])]
        if base:
            values = [a / b[figure] if a and b else None for a, b in zip(values, runs.get((case, base), []))]
        values = [v for v in values if v is not None]
        if values:
            value = statistics.median(values)
            print(f"| {text} | ≤ {limit:,} | {show(value)} | {'met' if value <= limit else 'missed'} |")


main()

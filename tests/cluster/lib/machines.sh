# shellcheck shell=bash
# Machines from outside. Each is a PID, mount, network, UTS and IPC namespace of its own; ending its first
# process makes the kernel end everything in it and drop its mounts, interfaces and nftables rules.
# Outside there is one veth, with routes to nodes, pods and services.

machine_pid() { # MACHINE: prints the pid of its first process, if that runs (a reused pid has another start time)
	local pid start
	local -a st
	read -r pid start 2>/dev/null <"$DIR/$1/pid" || return 1
	read -ra st 2>/dev/null <"/proc/$pid/stat" || return 1
	[ "${st[21]}" = "$start" ] && echo "$pid"
}

give_up() { # MACHINE MESSAGE: with the last lines of its logs, for `cluster run` removes them
	tail -n 8 "$DIR/$1"/log/* >&2 || true
	die "$2; its logs are in $DIR/$1/log"
}

start_machine() {
	local m=$1 pid n
	if machine_pid "$m" >/dev/null; then
		[ "$m" = cp ] || connect "$m" # an interrupted start may have left it without its cable
		return 0
	fi
	mkdir -p "$DIR/$m/log"
	rm -f "$DIR/$m/pid"
	date -u +%Y-%m-%dT%H:%M:%SZ >"$DIR/$m/booted"
	[ "$m" = cp ] || make_cgroup "$m"
	(
		enter_cgroup
		exec setsid unshare --fork --kill-child=KILL --pid --mount --net --uts --ipc bash "$SELF" __machine "$m" </dev/null >>"$DIR/$m/log/machine" 2>&1
	) 8>&- &
	disown
	wait_for $PATIENCE test -s "$DIR/$m/pid" || give_up "$m" "$m did not start"
	if [ "$m" = cp ]; then
		connect_host
		for n in $(nodes); do ! machine_pid "$n" >/dev/null || connect "$n"; done
	else
		connect "$m"
	fi
}

connect_host() {
	local pid i
	pid=$(machine_pid cp)
	wait_for $PATIENCE nsenter -t "$pid" -n ip addr show dev br0
	ip link del "$LINK" 2>/dev/null || true
	ip link add "$LINK" type veth peer name host netns "$pid"
	nsenter -t "$pid" -n ip link set host master br0 up
	ip addr add "$CLUSTER_NODE_NET.1/24" dev "$LINK"
	ip link set "$LINK" up
	for ((i = 1; i <= MAXNODES; i++)); do ip route add "$CLUSTER_POD_NET.$i.0/24" via "$(node_ip "n$i")"; done
	ip route add "$CLUSTER_SERVICE_NET.0.0/16" via "$(node_ip n1)"
}

connect() { # NODE: plug it into the switch
	local cp pid
	cp=$(machine_pid cp) || die "cp is off: start it first"
	pid=$(machine_pid "$1")
	! nsenter -t "$pid" -n ip route get "$CLUSTER_SERVICE_NET.0.1" >/dev/null 2>&1 || return 0
	nsenter -t "$cp" -n ip link del "$1" 2>/dev/null || true
	nsenter -t "$cp" -n ip link add "$1" type veth peer name eth0 netns "$pid"
	nsenter -t "$cp" -n ip link set "$1" master br0 up
	nsenter -t "$pid" -n bash "$SELF" __plug "$1"
}

stop_machine() { # a power cut: its disk stays
	local m=$1 pid n
	if pid=$(machine_pid "$m"); then
		kill -KILL "$pid"
		wait_for $PATIENCE test ! -e "/proc/$pid" || die "$m (process $pid) does not end"
	fi
	rm -f "$DIR/$m"/*.pid "$DIR/$m/pid"
	# Namespaces are taken apart some time after their last process: the cables are pulled now.
	if [ "$m" = cp ]; then
		ip link del "$LINK" 2>/dev/null || true
		for n in $(nodes); do pid=$(machine_pid "$n") && nsenter -t "$pid" -n ip link del eth0 2>/dev/null || true; done
	else
		pid=$(machine_pid cp) && nsenter -t "$pid" -n ip link del "$m" 2>/dev/null || true
		remove_cgroups "$m"
	fi
}

node_ready() { # Ready, and said so after the last power-on: until the grace period ends, the old status stands
	local status
	status=$(local_kubectl get node "$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].lastHeartbeatTime}')
	[ "${status%% *}" = True ] && [[ ! ${status#* } < $(cat "$DIR/$1/booted") ]]
}

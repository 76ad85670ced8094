# shellcheck shell=bash
# The verbs of CLUSTER=local.

local_up() {
	local started=$SECONDS lock n m
	[ "$(id -u)" = 0 ] || die "needs root: namespaces, mounts and cgroups (or use a cluster you have: CLUSTER=current)"
	need ip:iproute2 nft:nftables iptables:iptables openssl:openssl ps:procps flock:util-linux
	build_kubernetes
	fetch_debs
	KUBERNETES_DIR=$(kubernetes_dir) DEBS_DIR=$(debs_dir)
	export KUBERNETES_DIR DEBS_DIR
	one_at_a_time
	log "starting $CLUSTER_NAME: $CLUSTER_NODES nodes, about 10 s"
	claim
	mkdir -p "$DIR/bin"
	ln -sfn "$KUBERNETES_DIR/kubectl" "$DIR/bin/kubectl"
	certificates
	configure
	start_machine cp
	wait_for $PATIENCE local_kubectl get --raw /readyz || give_up cp "the API server does not get ready"
	for n in $(nodes); do start_machine "$n"; done
	local_kubectl apply -f "$DIR/etc/addons.yaml" >/dev/null
	for n in $(nodes); do
		wait_for $PATIENCE node_ready "$n" || give_up "$n" "$n does not get Ready"
	done
	wait_for $PATIENCE local_kubectl get serviceaccount default || give_up cp "the controller manager does not work"
	wait_for $PATIENCE dns_ready || give_up cp "CoreDNS does not get ready"
	# Helm, and the end of a namespace, wait for every API there is.
	wait_for $PATIENCE local_kubectl get --raw /apis/metrics.k8s.io/v1beta1 || give_up cp "metrics-server does not answer"
	log "$CLUSTER_NAME is up after $((SECONDS - started)) s: export KUBECONFIG=$DIR/kubeconfig"
}

dns_ready() {
	local answer
	exec {answer}<>"/dev/tcp/$(control_plane_ip)/8181"
	printf 'GET /ready HTTP/1.0\r\n\r\n' >&"$answer"
	grep -q ' 200 ' <&"$answer"
	exec {answer}>&-
}

# Ends what is in the cluster's cgroup, however it came about, then forgets the rest: this also clears up after a
# start that was killed, and after a clone that was removed while its cluster ran.
local_down() {
	[ "$(id -u)" = 0 ] || die "needs root"
	one_at_a_time
	local dir
	dir=$(sed -n 's/^dir=//p' "$REGISTRY/$CLUSTER_NAME" 2>/dev/null || true)
	: "${dir:=$DIR}"
	if [ "$dir" != "$DIR" ] && [ -d "$dir" ]; then die "$CLUSTER_NAME belongs to $dir: end it there, or set CLUSTER_DIR=$dir"; fi
	kill_cgroup
	ip link del "$LINK" 2>/dev/null || true
	remove_cgroups
	rm -rf "$dir"
	rmdir "$(dirname "$dir")" 2>/dev/null || true
	rm -f "$REGISTRY/$CLUSTER_NAME"
	leftovers || die "$CLUSTER_NAME is down, but left the above behind"
	log "$CLUSTER_NAME is down"
}

local_running() { machine_pid cp >/dev/null; }

local_status() {
	local m pid
	if ! local_running; then
		echo "$CLUSTER_NAME is down"
		return 0
	fi
	for m in cp $(nodes); do
		if ! pid=$(machine_pid "$m"); then
			echo "$m: off"
			continue
		fi
		echo "$m: on"
		nsenter -t "$pid" -m -p ps -eo rss=,args= | awk '
			{ n = $2; sub(".*/", "", n); count[n]++; rss[n] += $1 }
			END { for (n in count) if (rss[n] > 20000) printf "  %-26s %2d  %6.0f MiB\n", n, count[n], rss[n] / 1024 }' | sort
	done
	local_kubectl get nodes -o wide
}

local_kubeconfig() {
	[ -r "$DIR/kubeconfig" ] || die "$CLUSTER_NAME is down: start it with 'make cluster-up'"
	echo "$DIR/kubeconfig"
}

local_kubectl() { "$DIR/bin/kubectl" --kubeconfig "$DIR/kubeconfig" "$@"; }

local_env() {
	printf 'export KUBECONFIG=%q\nexport PATH=%q:"$PATH"\n' "$(local_kubeconfig)" "$DIR/bin:$REPO/tests/tools/bin"
}

local_start() {
	known_machine "${1:-}"
	KUBERNETES_DIR=$(dirname "$(readlink -f "$DIR/bin/kubectl")") DEBS_DIR=$(debs_dir)
	export KUBERNETES_DIR DEBS_DIR
	start_machine "$1"
	if [ "$1" = cp ]; then
		wait_for $PATIENCE local_kubectl get --raw /readyz || give_up cp "the API server does not get ready"
	else
		wait_for $PATIENCE node_ready "$1" || give_up "$1" "$1 does not get Ready"
	fi
}

local_stop() {
	known_machine "${1:-}"
	stop_machine "$1"
}

local_exec() {
	local pid
	known_machine "${1:-}"
	pid=$(machine_pid "$1") || die "$1 is off"
	shift
	exec nsenter -t "$pid" -m -n -u -i -p env PATH="/mnt/kubernetes:/mnt/debs/usr/bin:/mnt/debs/usr/sbin:$PATH" "$@"
}

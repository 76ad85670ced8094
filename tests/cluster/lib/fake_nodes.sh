# shellcheck shell=bash
# Simulated nodes (kwok): pods placed on them "run" without a process, for tests with thousands of pods.

local_fake_nodes() { # COUNT
	local count=${1:-} pid i
	[[ $count =~ ^[0-9]+$ ]] || die "fake-nodes: how many?"
	pid=$(machine_pid cp) || die "cp is off"
	if [ "$count" = 0 ]; then
		local_kubectl delete node -l type=kwok --wait=false >/dev/null
		! kwok_runs "$pid" || nsenter -t "$pid" -m -p kill "$(cat "$DIR/cp/kwok.pid")"
		rm -f "$DIR/cp/kwok.pid"
		return
	fi
	kwok_runs "$pid" || start_kwok "$pid"
	for ((i = 1; i <= count; i++)); do fake_node $i; done | local_kubectl apply --server-side --force-conflicts -f - >/dev/null
}

kwok_runs() { # PID OF cp
	[ -e "$DIR/cp/kwok.pid" ] && nsenter -t "$1" -m -p kill -0 "$(cat "$DIR/cp/kwok.pid")" 2>/dev/null
}

start_kwok() { # PID OF cp
	"$(dirname "$(readlink -f "$DIR/bin/kubectl")")/kc" kwok-stages >"$DIR/etc/kwok.yaml"
	(
		enter_cgroup
		exec nsenter -t "$1" -m -n -u -i -p setsid bash -c 'echo $$ >/mnt/self/kwok.pid; exec /mnt/kubernetes/kwok --kubeconfig /mnt/etc/kwok.kubeconfig \
			--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake --cidr 100.64.0.0/14 --config /mnt/etc/kwok.yaml \
			--node-lease-duration-seconds 40 >>/mnt/self/log/kwok 2>&1' </dev/null >/dev/null 2>&1
	) &
	disown
}

fake_node() { # NUMBER
	cat <<-Y
		---
		apiVersion: v1
		kind: Node
		metadata:
		  name: fake-$1
		  annotations: {kwok.x-k8s.io/node: fake, node.alpha.kubernetes.io/ttl: "0"}
		  labels: {type: kwok, kubernetes.io/hostname: fake-$1, kubernetes.io/os: linux, kubernetes.io/arch: amd64, topology.kubernetes.io/region: local, topology.kubernetes.io/zone: $(zone_of "$1")}
		spec: {taints: [{key: kwok.x-k8s.io/node, value: fake, effect: NoSchedule}]}
		status:
		  allocatable: {cpu: "32", memory: 256Gi, pods: "110"}
		  capacity: {cpu: "32", memory: 256Gi, pods: "110"}
	Y
}

# shellcheck shell=bash
# What runs inside a machine: its first process, which sets up the namespaces it was born into and then
# starts its programs, again whenever they end.

run_machine() { # MACHINE: as its first process
	local m=$1 pid
	local -a st
	read -ra st </proc/self/stat # still the host's /proc: our pid as the host counts
	pid="${st[0]} ${st[21]}"
	mount --make-rshared / # a new peer group: nothing below propagates to the host
	own_directories "$m"
	own_sysctls
	export PATH=/mnt/kubernetes:/mnt/debs/usr/bin:/mnt/debs/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
	unset KUBECONFIG
	cd /mnt/self
	hostname "$m"
	ip link set lo up
	echo "$pid" >/mnt/self/pid.new
	mv /mnt/self/pid.new /mnt/self/pid
	if [ "$m" = cp ]; then control_plane; else node "$m"; fi
	sleep infinity &
	while :; do wait || true; done # as PID 1, bash also reaps the orphans
}

own_directories() { # the cluster's directory becomes /mnt, the machine's in it /mnt/self and /var/lib; the programs are beside it
	mkdir -p "$DIR/$1"/{lib,log,varlog} "$DIR"/{kubernetes,debs,self}
	mount --bind "$DIR" /mnt
	mount --bind "$KUBERNETES_DIR" /mnt/kubernetes
	mount --bind "$DEBS_DIR" /mnt/debs
	mount --bind "/mnt/$1" /mnt/self
	mount -t proc proc /proc
	mount -t tmpfs -o mode=755 tmpfs /run
	mount --bind /mnt/self/lib /var/lib
	mount --bind /mnt/self/varlog /var/log
}

# The kubelet would set these for the whole kernel; it is shown its wish instead.
own_sysctls() {
	local f key
	mkdir -p /run/sysctl
	for f in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
		kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
		key=${f%=*}
		echo "${f#*=}" >"/run/sysctl/${key//\//_}"
		mount --bind "/run/sysctl/${key//\//_}" "/proc/sys/$key"
	done
}

supervise() { # NAME COMMAND...: keeps it running; its current pid (in the machine) is in NAME.pid
	local name=$1
	shift
	(
		while :; do
			"$@" >>"/mnt/self/log/$name" 2>&1 &
			echo $! >"/mnt/self/$name.pid"
			wait $! || echo "--- $name ended with status $?" >>"/mnt/self/log/$name"
			sleep 1
		done
	) &
}

pod_routes() { # to every node's pods, but for NODE's own
	local i
	for ((i = 1; i <= MAXNODES; i++)); do
		[ "n$i" = "$1" ] || ip route add "$CLUSTER_POD_NET.$i.0/24" via "$(node_ip "n$i")"
	done
}

control_plane() { # also the switch that all nodes are plugged into
	local cp pki=/mnt/pki service_net=$CLUSTER_SERVICE_NET.0.0/16
	cp=$(control_plane_ip)
	sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
	ip link add br0 type bridge
	ip addr add "$cp/24" dev br0
	ip link set br0 up
	pod_routes none
	ip route add "$service_net" via "$(node_ip n1)"
	supervise etcd etcd --data-dir /var/lib/etcd --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
		--listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster default=http://127.0.0.1:2380 \
		--unsafe-no-fsync --auto-compaction-mode=revision --auto-compaction-retention=1000
	# shellcheck disable=SC2086 # the further flags are words
	supervise kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --advertise-address="$cp" --secure-port=6443 \
		--tls-cert-file=$pki/apiserver.crt --tls-private-key-file=$pki/apiserver.key --client-ca-file=$pki/ca.crt \
		--service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file=$pki/sa.pub --service-account-signing-key-file=$pki/sa.key \
		--service-cluster-ip-range="$service_net" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged \
		--requestheader-client-ca-file=$pki/front-ca.crt --requestheader-allowed-names=front-proxy --requestheader-extra-headers-prefix=X-Remote-Extra- \
		--requestheader-group-headers=X-Remote-Group --requestheader-username-headers=X-Remote-User \
		--proxy-client-cert-file=$pki/front-proxy.crt --proxy-client-key-file=$pki/front-proxy.key --enable-aggregator-routing=true \
		--kubelet-client-certificate=$pki/apiserver-kubelet.crt --kubelet-client-key=$pki/apiserver-kubelet.key --kubelet-preferred-address-types=InternalIP \
		$CLUSTER_APISERVER_ARGS
	wait_for $PATIENCE kubectl --kubeconfig /mnt/kubeconfig get --raw /readyz
	# shellcheck disable=SC2086
	supervise kube-controller-manager kube-controller-manager --kubeconfig /mnt/etc/kcm.kubeconfig --authentication-kubeconfig /mnt/etc/kcm.kubeconfig \
		--authorization-kubeconfig /mnt/etc/kcm.kubeconfig --service-account-private-key-file=$pki/sa.key --root-ca-file=$pki/ca.crt \
		--cluster-signing-cert-file=$pki/ca.crt --cluster-signing-key-file=$pki/ca.key --use-service-account-credentials --leader-elect=false \
		--bind-address=127.0.0.1 --flex-volume-plugin-dir=/var/lib/volume-plugins $CLUSTER_KCM_ARGS
	# shellcheck disable=SC2086
	supervise kube-scheduler kube-scheduler --kubeconfig /mnt/etc/scheduler.kubeconfig --authentication-kubeconfig /mnt/etc/scheduler.kubeconfig \
		--authorization-kubeconfig /mnt/etc/scheduler.kubeconfig --leader-elect=false --bind-address=127.0.0.1 $CLUSTER_SCHEDULER_ARGS
	supervise coredns coredns -conf /mnt/etc/Corefile
	# Simulated nodes have no kubelet to ask.
	supervise metrics-server metrics-server --kubeconfig /mnt/etc/metrics-server.kubeconfig --authentication-kubeconfig /mnt/etc/metrics-server.kubeconfig \
		--authorization-kubeconfig /mnt/etc/metrics-server.kubeconfig --tls-cert-file=$pki/metrics-server.crt --tls-private-key-file=$pki/metrics-server.key \
		--secure-port=$METRICS_PORT --kubelet-certificate-authority=$pki/ca.crt --kubelet-preferred-address-types=InternalIP --metric-resolution=10s --kubelet-request-timeout=5s \
		--node-selector='type!=kwok'
}

node() { # NODE
	sysctl -qw net.ipv4.ip_forward=1
	wait_for $PATIENCE ip route get "$CLUSTER_SERVICE_NET.0.1" # until plugged in
	rm -rf /var/lib/cni # address leases of the last boot
	supervise containerd containerd --config /mnt/etc/containerd.toml
	wait_for $PATIENCE ctr version
	[ -e /mnt/self/pause-loaded ] || { ctr -n k8s.io images import /mnt/kubernetes/pause.tar && touch /mnt/self/pause-loaded; }
	supervise kubelet kubelet --config /mnt/self/kubelet.yaml --kubeconfig /mnt/self/kubelet.kubeconfig \
		--hostname-override="$1" --node-ip="$(node_ip "$1")" --node-labels="$(cat /mnt/self/labels)"
	supervise kube-proxy kube-proxy --config /mnt/self/proxy.yaml
	supervise network-policy network-policy /mnt/etc/network-policy.kubeconfig "$1" "$(control_plane_ip)"
}

plug() { # NODE: in its network namespace, when its cable is in
	ip addr add "$(node_ip "$1")/24" dev eth0
	ip link set eth0 up
	pod_routes "$1"
	# Without any route to services, connect() fails before kube-proxy's rules are asked.
	ip route add "$CLUSTER_SERVICE_NET.0.0/16" via "$(control_plane_ip)"
}

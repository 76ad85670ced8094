# shellcheck shell=bash
# The configuration of every program, written into the cluster's directory. Inside a machine that directory is
# /mnt: paths are the same for all, and short (a unix socket's is limited to 107 bytes).

METRICS_PORT=4443 # of metrics-server

configure() {
	local n
	mkdir -p "$DIR/etc"
	containerd_config >"$DIR/etc/containerd.toml"
	coredns_config >"$DIR/etc/Corefile"
	addons >"$DIR/etc/addons.yaml"
	for n in $(nodes); do
		mkdir -p "$DIR/$n/cni"
		echo "topology.kubernetes.io/region=local,topology.kubernetes.io/zone=$(zone_of "${n#n}")" >"$DIR/$n/labels"
		pod_network "${n#n}" >"$DIR/$n/cni/10-pods.conflist"
		kubelet_config "$n" >"$DIR/$n/kubelet.yaml"
		proxy_config "$n" >"$DIR/$n/proxy.yaml"
	done
}

zone_of() { local zones=(a b c); echo "zone-${zones[($1 - 1) % 3]}"; }

containerd_config() {
	cat <<-T
		version = 2
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "localhost/pause:1"
		  # Without CAP_SYS_RESOURCE no score can be lowered, and every container would fail to start.
		  restrict_oom_score_adj = true
		  netns_mounts_under_state_dir = true
		  [plugins."io.containerd.grpc.v1.cri".containerd]
		    snapshotter = "overlayfs"
		    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		      runtime_type = "io.containerd.runc.v2"
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "/mnt/debs/usr/lib/cni"
		    conf_dir = "/mnt/self/cni"
	T
}

# Names outside cluster.local do not exist here: without the template plugin CoreDNS refuses them, which
# libraries report as a broken server rather than as a name that does not exist.
coredns_config() {
	local cp
	cp=$(control_plane_ip)
	cat <<-C
		.:53 {
		    bind $cp
		    errors
		    health 127.0.0.1:8080 {
		        lameduck 0s
		    }
		    ready $cp:8181
		    prometheus $cp:9153
		    kubernetes cluster.local in-addr.arpa {
		        kubeconfig /mnt/etc/coredns.kubeconfig
		        pods insecure
		        ttl 5
		    }
		    template ANY ANY . {
		        rcode NXDOMAIN
		    }
		    cache 5
		    loadbalance
		}
	C
}

addons() { # CoreDNS and metrics-server run in the control plane's machine, behind the usual Services
	cat <<-Y
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRole
		metadata: {name: system:network-policy}
		rules:
		- {apiGroups: [""], resources: [pods, namespaces], verbs: [list, watch]}
		- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list, watch]}
		---
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRoleBinding
		metadata: {name: system:network-policy}
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:network-policy}
		subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:network-policy}]
		---
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRole
		metadata: {name: system:coredns}
		rules:
		- {apiGroups: [""], resources: [services, pods, namespaces], verbs: [list, watch]}
		- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
		---
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRoleBinding
		metadata: {name: system:coredns}
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}
		subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:coredns}]
		---
		apiVersion: v1
		kind: Service
		metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
		spec:
		  clusterIP: $CLUSTER_SERVICE_NET.0.10
		  ports:
		  - {name: dns, port: 53, protocol: UDP}
		  - {name: dns-tcp, port: 53, protocol: TCP}
		---
		apiVersion: discovery.k8s.io/v1
		kind: EndpointSlice
		metadata: {name: kube-dns-cp, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
		addressType: IPv4
		endpoints: [{addresses: [$(control_plane_ip)], conditions: {ready: true}}]
		ports:
		- {name: dns, port: 53, protocol: UDP}
		- {name: dns-tcp, port: 53, protocol: TCP}
		---
		apiVersion: v1
		kind: Service
		metadata: {name: metrics-server, namespace: kube-system, labels: {k8s-app: metrics-server}}
		spec: {ports: [{name: https, port: 443, targetPort: $METRICS_PORT}]}
		---
		apiVersion: discovery.k8s.io/v1
		kind: EndpointSlice
		metadata: {name: metrics-server-cp, namespace: kube-system, labels: {kubernetes.io/service-name: metrics-server}}
		addressType: IPv4
		endpoints: [{addresses: [$(control_plane_ip)], conditions: {ready: true}}]
		ports: [{name: https, port: $METRICS_PORT}]
		---
		apiVersion: apiregistration.k8s.io/v1
		kind: APIService
		metadata: {name: v1beta1.metrics.k8s.io}
		spec:
		  group: metrics.k8s.io
		  version: v1beta1
		  service: {name: metrics-server, namespace: kube-system}
		  caBundle: $(base64 -w0 "$DIR/pki/ca.crt")
		  groupPriorityMinimum: 100
		  versionPriority: 100
	Y
}

# ptp, not bridge: all pod traffic is routed, so that replies between two pods of one node pass connection
# tracking whether or not the kernel has br_netfilter.
pod_network() { # NUMBER OF THE NODE
	cat <<-J
		{"cniVersion":"0.4.0","name":"pods","plugins":[
		{"type":"ptp","ipMasq":false,"ipam":{"type":"host-local","ranges":[[{"subnet":"$CLUSTER_POD_NET.$1.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
		{"type":"portmap","capabilities":{"portMappings":true}}]}
	J
}

kubelet_config() { # NODE
	cat <<-Y
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		failCgroupV1: false
		cgroupDriver: cgroupfs
		cgroupRoot: /$CGROUP/$1
		containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
		authentication: {x509: {clientCAFile: /mnt/pki/ca.crt}, webhook: {enabled: true}, anonymous: {enabled: false}}
		authorization: {mode: Webhook}
		tlsCertFile: /mnt/pki/$1.crt
		tlsPrivateKeyFile: /mnt/pki/$1.key
		clusterDNS: ["$CLUSTER_SERVICE_NET.0.10"]
		clusterDomain: cluster.local
		resolvConf: ""
		failSwapOn: false
		maxPods: 200
		enforceNodeAllocatable: [pods]
		evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
		imageGCHighThresholdPercent: 100
		volumePluginDir: /var/lib/kubelet/volume-plugins # the default is outside the machine's own directories
		allowedUnsafeSysctls: [net.core.somaxconn, net.ipv4.*]
		registryPullQPS: 0
	Y
}

proxy_config() { # NODE
	cat <<-Y
		apiVersion: kubeproxy.config.k8s.io/v1alpha1
		kind: KubeProxyConfiguration
		clientConnection: {kubeconfig: /mnt/etc/proxy.kubeconfig}
		mode: nftables
		clusterCIDR: $CLUSTER_POD_NET.0.0/16
		detectLocalMode: ClusterCIDR
		hostnameOverride: $1
		conntrack: {maxPerCore: 0} # the limit is the whole kernel's
		nftables: {minSyncPeriod: 100ms}
	Y
}

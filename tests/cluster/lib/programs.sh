# shellcheck shell=bash
# The programs a cluster is made of, in a cache that every clone of the repository shares: Kubernetes, etcd, CoreDNS,
# metrics-server and kwok from their Go modules, with our enforcement of NetworkPolicies; containerd, runc and the CNI
# plugins from Debian's packages, unpacked rather than installed, so that no service starts and nothing conflicts.

KUBERNETES_VERSION=v1.37.2
DEBS="containerd runc containernetworking-plugins"

# Without these the server says v0.0.0-master+$Format:%H$, which clients cannot parse.
linker_flags() {
	local package pair flags="-s -w"
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		for pair in gitVersion=$KUBERNETES_VERSION gitMajor=1 gitMinor=37 gitTreeState=clean \
			gitCommit=0000000000000000000000000000000000000000 buildDate=1970-01-01T00:00:00Z; do
			flags+=" -X $package.$pair"
		done
	done
	echo "$flags"
}

# In a directory named by a hash of what it is built from.
kubernetes_dir() {
	echo "$CACHE/kubernetes-$KUBERNETES_VERSION-$(cd "$HERE" && { cat go.mod go.sum kc/*.go netpol/*.go pause/*.go && linker_flags && uname -m; } | sha256sum | cut -c1-12)"
}

build_kubernetes() {
	local dir
	dir=$(kubernetes_dir)
	[ ! -e "$dir" ] || return 0
	command -v go >/dev/null || die "Kubernetes is built from source: install Go 1.26.4 or later (https://go.dev/dl)"
	mkdir -p "$CACHE"
	local lock tmp n
	exec {lock}>"$CACHE/build.lock"
	flock -n "$lock" || { log "waiting for another build of Kubernetes" && flock "$lock"; }
	[ ! -e "$dir" ] || return 0
	rm -rf "$CACHE"/building.* # of builds that were interrupted
	tmp=$(mktemp -d "$CACHE/building.XXXXXX")
	log "building Kubernetes $KUBERNETES_VERSION from source: about 10 minutes on 2 cores, once; cached in $CACHE"
	: >"$CACHE/build.log"
	with_progress "building Kubernetes" "$CACHE/build.log" env CGO_ENABLED=0 go -C "$HERE" build -ldflags "$(linker_flags)" -o "$tmp/" ./kc ./pause ||
		die "the build failed; see $CACHE/build.log"
	for n in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl coredns kwok metrics-server network-policy; do
		ln -s kc "$tmp/$n"
	done
	pack_image localhost/pause:1 "$tmp/pause.tar" "$tmp/pause"
	chmod 755 "$tmp"
	mv "$tmp" "$dir"
	exec {lock}>&-
}

debs_dir() {
	local codename
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-$VERSION_ID}")
	echo "$CACHE/debs-$codename-$(sha256sum <<<"$DEBS" | cut -c1-12)"
}

fetch_debs() {
	local dir tmp deb
	dir=$(debs_dir)
	[ ! -e "$dir" ] || return 0
	log "fetching $DEBS"
	mkdir -p "$CACHE"
	tmp=$(mktemp -d "$CACHE/fetching.XXXXXX")
	# shellcheck disable=SC2086
	(cd "$tmp" && apt_or_update "$CACHE/apt.log" download $DEBS)
	for deb in "$tmp"/*.deb; do dpkg -x "$deb" "$tmp/root"; done
	mv -T "$tmp/root" "$dir" 2>/dev/null || [ -e "$dir" ]
	rm -rf "$tmp"
}

# shellcheck shell=bash
# The cluster's certificates and kubeconfigs. Files appear whole or not at all, so an interrupted start can be repeated.

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

authority() { # NAME: a CA
	local p=$DIR/pki/$1
	[ ! -f "$p.crt" ] || return 0
	new_key "$p.key"
	openssl req -x509 -new -nodes -key "$p.key" -subj "/CN=$CONTEXT-$1" -days 3650 -out "$p.new" 2>/dev/null
	mv "$p.new" "$p.crt"
}

cert() { # NAME SUBJECT ALTERNATIVE-NAMES [CA]
	local p=$DIR/pki/$1 ca=$DIR/pki/${4:-ca}
	[ ! -f "$p.crt" ] || return 0
	new_key "$p.key"
	openssl req -new -key "$p.key" -subj "$2" | openssl x509 -req -sha256 -days 3650 \
		-CA "$ca.crt" -CAkey "$ca.key" -set_serial "0x$(openssl rand -hex 12)" -out "$p.new" \
		-extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3") 2>/dev/null
	mv "$p.new" "$p.crt"
}

kubeconfig() { # CERTIFICATE FILE
	local p=$DIR/pki
	(
		umask 077
		cat >"$2" <<-Y
			apiVersion: v1
			kind: Config
			current-context: $CONTEXT
			contexts: [{name: $CONTEXT, context: {cluster: $CONTEXT, user: $CONTEXT-$1}}]
			clusters: [{name: $CONTEXT, cluster: {server: "https://$(control_plane_ip):6443", certificate-authority-data: $(base64 -w0 "$p/ca.crt")}}]
			users: [{name: $CONTEXT-$1, user: {client-certificate-data: $(base64 -w0 "$p/$1.crt"), client-key-data: $(base64 -w0 "$p/$1.key")}}]
		Y
	)
}

certificates() {
	local cp n
	cp=$(control_plane_ip)
	mkdir -p "$DIR/pki" "$DIR/etc"
	chmod 700 "$DIR/pki"
	authority ca
	authority front-ca
	[ -f "$DIR/pki/sa.pub" ] || {
		new_key "$DIR/pki/sa.key"
		openssl ec -in "$DIR/pki/sa.key" -pubout -out "$DIR/pki/sa.new" 2>/dev/null
		mv "$DIR/pki/sa.new" "$DIR/pki/sa.pub"
	}
	cert apiserver /CN=kube-apiserver "IP:127.0.0.1,IP:$cp,IP:$CLUSTER_SERVICE_NET.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
	cert front-proxy /CN=front-proxy DNS:front-proxy front-ca
	cert admin /O=system:masters/CN=admin DNS:admin
	cert apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client DNS:apiserver
	cert kcm /CN=system:kube-controller-manager DNS:kcm
	cert scheduler /CN=system:kube-scheduler DNS:scheduler
	cert proxy /CN=system:kube-proxy DNS:proxy
	cert coredns /CN=system:coredns DNS:coredns
	cert network-policy /CN=system:network-policy DNS:network-policy
	cert metrics-server /O=system:masters/CN=metrics-server DNS:metrics-server.kube-system.svc
	cert kwok /O=system:masters/CN=kwok DNS:kwok
	kubeconfig admin "$DIR/kubeconfig"
	for n in kcm scheduler proxy coredns network-policy metrics-server kwok; do kubeconfig $n "$DIR/etc/$n.kubeconfig"; done
	for n in $(nodes); do
		mkdir -p "$DIR/$n"
		cert "$n" "/O=system:nodes/CN=system:node:$n" "DNS:$n,IP:$(node_ip "$n"),IP:127.0.0.1"
		kubeconfig "$n" "$DIR/$n/kubelet.kubeconfig"
	done
}

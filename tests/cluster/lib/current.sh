# shellcheck shell=bash
# The verbs of CLUSTER=current: the cluster of the current kube context, which is the user's own.

current_up() {
	need_kubectl
	kubectl get --raw /readyz </dev/null >/dev/null || die "the cluster of the current context ($(current_context)) does not answer"
	log "using the current context, $(current_context)"
}

current_running() { true; }

current_down() { log "$(current_context) is your own cluster: it stays"; }

current_status() {
	need_kubectl
	echo "context $(current_context)"
	kubectl get nodes -o wide </dev/null
}

current_kubeconfig() { echo "${KUBECONFIG:-$HOME/.kube/config}"; }

current_kubectl() {
	need_kubectl
	kubectl "$@"
}

current_env() { printf 'export KUBECONFIG=%q\nexport PATH=%q:"$PATH"\n' "$(current_kubeconfig)" "$REPO/tests/tools/bin"; }

need_kubectl() { command -v kubectl >/dev/null || die "CLUSTER=current needs kubectl on the PATH"; }

current_context() { kubectl config current-context 2>/dev/null || echo none; }

# current_load_image TAR...: how depends on what runs the cluster, which the context's name tells.
current_load_image() {
	local context tar dir
	need_kubectl
	context=$(current_context)
	case $context in
	kind-*) for tar in "$@"; do kind load image-archive --name "${context#kind-}" "$tar"; done ;;
	k3d-*) k3d image import --cluster "${context#k3d-}" "$@" ;;
	minikube | minikube-*) for tar in "$@"; do minikube image load --profile "$context" "$tar"; done ;;
	socketfleet-*)
		dir=$(sed -n 's/^dir=//p' "$REGISTRY/${context#socketfleet-}" 2>/dev/null) || die "no cluster ${context#socketfleet-} runs on this machine"
		CLUSTER=local CLUSTER_NAME=${context#socketfleet-} CLUSTER_DIR=$dir exec bash "$SELF" load-image "$@"
		;;
	*)
		[ -n "${IMAGE_REGISTRY:-}" ] || die "images cannot be loaded straight into '$context' (only into kind, k3d, minikube and this repository's own clusters).
Push them to a registry that it pulls from, 'make images test-images PUSH=1 IMAGE_REGISTRY=registry.example.com/team', and run this with that IMAGE_REGISTRY too"
		log "'$context' pulls images from $IMAGE_REGISTRY"
		;;
	esac
}

package netpol

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// Run keeps the rules of a node, the one it runs on, up to date; dns is the address of CoreDNS. It returns when the API server cannot be reached at the start.
func Run(kubeconfig, node, dns string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods()
	namespaces := factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()

	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { notify() },
			UpdateFunc: func(any, any) { notify() },
			DeleteFunc: func(any) { notify() },
		}); err != nil {
			return err
		}
	}
	ctx := context.Background()
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("%v could not be listed", kind)
		}
	}

	applied := ""
	for range changed {
		s := state{node: node, dns: dns, namespaces: map[string]labels.Set{}}
		if s.pods, err = pods.Lister().List(labels.Everything()); err != nil {
			return err
		}
		if s.policies, err = policies.Lister().List(labels.Everything()); err != nil {
			return err
		}
		all, err := namespaces.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		for _, n := range all {
			s.namespaces[n.Name] = n.Labels
		}
		s.sort()
		if wanted := script(s); wanted != applied {
			nft := exec.Command("nft", "-f", "-")
			nft.Stdin = strings.NewReader(wanted)
			if out, err := nft.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "nft: %v: %s\n%s\n", err, out, wanted)
				time.Sleep(time.Second)
				notify()
				continue
			}
			applied = wanted
		}
		time.Sleep(20 * time.Millisecond) // changes come in bursts
	}
	return nil
}

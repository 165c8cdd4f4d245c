package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

type followOptions struct {
	retrying, copies, stalled int
	lifetime, patience        time.Duration
	backend                   string
}

// follow runs the followers and obeys commands.
func follow(ctx context.Context, config *rest.Config, namespace string, options followOptions, input *bufio.Scanner, output io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &herd{config: config, namespace: namespace, lifetime: options.lifetime, ledger: newLedger()}
	if options.backend != "" {
		backend, err := newProxy(ctx, options.backend, options.lifetime)
		if err != nil {
			return err
		}
		h.proxies = append(h.proxies, backend)
		fmt.Fprintf(output, "BACKEND=%s\n", backend.address())
	}
	lines := commands(input)
	// Who points the APIService at the backend's proxy says so when it is done.
	if options.backend != "" && <-lines != "go" {
		return errors.New("expected `go`")
	}
	for range options.copies {
		if err := h.gather(ctx); err != nil {
			return err
		}
	}
	if err := h.retrying(ctx, options.retrying); err != nil {
		return err
	}
	for range options.stalled {
		if err := stall(ctx, config); err != nil {
			return err
		}
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := h.wait(ctx, options.patience, func(context.Context) error {
		for _, f := range h.followers {
			if !f.synced() {
				return fmt.Errorf("%s has not synced", f.name)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	fmt.Fprintln(output, "READY")
	for line := range lines {
		switch line {
		case "settle":
			var sizes map[string]int
			err := h.wait(ctx, options.patience, func(ctx context.Context) error {
				var err error
				sizes, err = h.compare(ctx, client)
				return err
			})
			if err != nil {
				return err
			}
			if err := json.NewEncoder(output).Encode(h.report(sizes)); err != nil {
				return err
			}
		case "cut", "mend":
			for _, proxy := range h.proxies {
				proxy.cut(line == "cut")
			}
			fmt.Fprintln(output, "OK")
		default:
			return fmt.Errorf("%q is no command", line)
		}
	}
	return h.ledger.first()
}

// gather adds one follower of every kind.
func (h *herd) gather(ctx context.Context) error {
	tag := &unstructured.Unstructured{}
	tag.SetGroupVersionKind(imageTagKind)
	partial := &metav1.PartialObjectMetadata{}
	partial.SetGroupVersionKind(imageTagKind)
	selected := labels.SelectorFromSet(labels.Set{selectedLabel: "true"})
	plain := func(*follower, *rest.Config, *dynamicOptions) {}
	return errors.Join(
		h.dynamic(ctx, "informer", plain),
		h.dynamic(ctx, "informer of TagSets", func(f *follower, _ *rest.Config, _ *dynamicOptions) { f.resource = tagSets }),
		h.dynamic(ctx, "informer over HTTP/1.1", func(_ *follower, config *rest.Config, _ *dynamicOptions) {
			config.NextProtos = []string{"http/1.1"}
		}),
		h.dynamic(ctx, "informer with resync", func(_ *follower, _ *rest.Config, options *dynamicOptions) {
			options.resync = time.Second
		}),
		h.dynamic(ctx, "informer of one namespace", func(f *follower, _ *rest.Config, options *dynamicOptions) {
			options.namespace = h.namespace
			f.holds = func(object map[string]any) bool {
				return (&unstructured.Unstructured{Object: object}).GetNamespace() == h.namespace
			}
		}),
		h.dynamic(ctx, "informer with a label selector", func(f *follower, _ *rest.Config, options *dynamicOptions) {
			options.tweak = func(options *metav1.ListOptions) { options.LabelSelector = selectedLabel + "=true" }
			f.holds = isSelected
		}),
		h.dynamic(ctx, "informer with a field selector", func(f *follower, _ *rest.Config, options *dynamicOptions) {
			options.tweak = func(options *metav1.ListOptions) { options.FieldSelector = "tag!=latest" }
			f.holds = func(object map[string]any) bool { return object["tag"] != "latest" }
		}),
		h.listing(ctx),
		h.paging(ctx),
		h.partial(ctx),
		h.controller(ctx, "controller-runtime's cache", tag, nil, false),
		h.controller(ctx, "controller-runtime's cache with a label selector", tag, selected, false),
		h.controller(ctx, "controller-runtime's cache of metadata", partial, nil, true),
	)
}

// wait probes until the probe succeeds; a complaint ends it at once.
func (h *herd) wait(ctx context.Context, patience time.Duration, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if err := h.ledger.first(); err != nil {
			return err
		}
		err := probe(ctx)
		if err == nil {
			return h.ledger.first()
		}
		select {
		case <-ctx.Done():
			dump(os.Stderr)
			return fmt.Errorf("not within %s: %w", patience, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// compare holds every follower against plain lists, and returns how many objects there are.
func (h *herd) compare(ctx context.Context, client dynamic.Interface) (map[string]int, error) {
	truth, sizes := map[schema.GroupVersionResource]objects{}, map[string]int{}
	for _, resource := range []schema.GroupVersionResource{imageTags, tagSets} {
		list, err := listed(ctx, client, resource, metav1.NamespaceAll, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for _, object := range list {
			if err := h.ledger.look(&unstructured.Unstructured{Object: object}); err != nil {
				h.ledger.complain(err)
			}
		}
		truth[resource], sizes[resource.Resource] = list, len(list)
	}
	var behind []string
	for _, f := range h.followers {
		if err := f.compare(ctx, truth); err != nil {
			behind = append(behind, fmt.Sprintf("%s %v: %v", f.name, f.traffic.counts(), err))
		}
	}
	if len(behind) > 0 {
		return nil, errors.New(strings.Join(behind, "\n"))
	}
	return sizes, nil
}

type account struct {
	Name    string         `json:"name"`
	Events  [3]int         `json:"events"`
	Traffic map[string]int `json:"traffic"`
}

type report struct {
	Objects   map[string]int `json:"objects"`
	Cuts      int64          `json:"cuts"`
	Followers []account      `json:"followers"`
}

func (h *herd) report(sizes map[string]int) report {
	r := report{Objects: sizes}
	for _, proxy := range h.proxies {
		r.Cuts += proxy.cuts.Load()
	}
	for _, f := range h.followers {
		a := account{Name: f.name, Traffic: f.traffic.counts()}
		if f.model != nil {
			f.model.mu.Lock()
			a.Events = [3]int{f.model.adds, f.model.updates, f.model.deletes}
			f.model.mu.Unlock()
		}
		r.Followers = append(r.Followers, a)
	}
	return r
}

// counts are the requests and the answers by status, 0 for none.
func (t *traffic) counts() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := map[string]int{"lists": t.lists, "watches": t.watches}
	for code, count := range t.answers {
		counts[fmt.Sprint(code)] = count
	}
	return counts
}

package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// retrying adds followers that list once and from then on only watch, going on behind the last event that they saw.
// They share the connections of one client. Only 410 lets one list again.
func (h *herd) retrying(ctx context.Context, count int) error {
	if count == 0 {
		return nil
	}
	first, config, err := h.begin(ctx, "RetryWatcher 0")
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(rest.CopyConfig(config))
	if err != nil {
		return err
	}
	for i := range count {
		f := first
		if i > 0 {
			f = &follower{name: fmt.Sprintf("RetryWatcher %d", i), resource: imageTags, traffic: first.traffic, proxy: first.proxy}
			h.followers = append(h.followers, f)
		}
		f.model = newModel(f.name, h.ledger)
		synced := &atomic.Bool{}
		f.synced = synced.Load
		go func() {
			for ctx.Err() == nil {
				if err := f.retry(ctx, client, synced); err != nil && ctx.Err() == nil {
					h.ledger.complain(fmt.Errorf("%s: %w", f.name, err))
					return
				}
			}
		}()
	}
	return nil
}

// retry lists and watches until the position is no longer known.
func (f *follower) retry(ctx context.Context, client dynamic.Interface, synced *atomic.Bool) error {
	list, err := client.Resource(f.resource).List(ctx, metav1.ListOptions{})
	if err != nil {
		// Cut off, or nobody is there: what answers are wrong, the traffic complains of.
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
		return nil
	}
	f.model.replace(list.Items)
	synced.Store(true)
	source := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
		return client.Resource(f.resource).Watch(ctx, options)
	}}
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), source)
	if err != nil {
		return err
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		switch event.Type {
		case watch.Added:
			f.model.OnAdd(event.Object, false)
		case watch.Modified:
			f.model.OnUpdate(nil, event.Object)
		case watch.Deleted:
			f.model.OnDelete(event.Object)
		case watch.Error:
			if err := apierrors.FromObject(event.Object); !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
				return err
			}
			return nil
		default:
			return fmt.Errorf("was told of %s", event.Type)
		}
	}
	return nil
}

// replace begins anew with a list.
func (m *model) replace(items []unstructured.Unstructured) {
	m.mu.Lock()
	m.known = objects{}
	m.mu.Unlock()
	for i := range items {
		m.OnAdd(&items[i], true)
	}
}

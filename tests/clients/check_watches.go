package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// checkSync: informers come to hold what a list says, also when there is nothing to hold, in every way of asking; and
// those that stream the list never fall back to asking for it.
func checkSync(ctx context.Context, b *bench) error {
	truths, err := b.dynamic()
	if err != nil {
		return err
	}
	for _, selection := range []struct{ what, namespace, labels, fields string }{
		{"all", metav1.NamespaceAll, "", ""},
		{"one namespace", b.namespace, "", ""},
		{"a namespace that is not there", "not-there", "", ""},
		{"a selector that matches nothing", b.namespace, "colour=red", ""},
		{"one object", b.namespace, "", "metadata.name=app:latest"},
		{"a set-based selector", b.namespace, selectedLabel + " notin (true)", "tag!=latest"},
	} {
		options := metav1.ListOptions{LabelSelector: selection.labels, FieldSelector: selection.fields}
		truth := func(ctx context.Context) (objects, error) {
			return listed(ctx, truths, imageTags, selection.namespace, options)
		}
		partial := func(ctx context.Context) (objects, error) {
			whole, err := truth(ctx)
			if err != nil {
				return nil, err
			}
			return whole.metadata()
		}
		tweak := func(into *metav1.ListOptions) {
			into.LabelSelector, into.FieldSelector = selection.labels, selection.fields
		}
		config, notes := b.overheard()
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return err
		}
		metadataClient, err := metadata.NewForConfig(config)
		if err != nil {
			return err
		}
		streamed := dynamicinformer.NewFilteredDynamicInformer(client, imageTags, selection.namespace, 0, cache.Indexers{}, tweak).Informer()
		partially := metadatainformer.NewFilteredMetadataInformer(metadataClient, imageTags, selection.namespace, 0, cache.Indexers{}, tweak).Informer()
		if err := errors.Join(
			becomes(ctx, "with WatchList", streamed, truth),
			becomes(ctx, "of metadata", partially, partial),
		); err != nil {
			return fmt.Errorf("%s: %w", selection.what, err)
		}
		for _, note := range notes.all() {
			if note.status != 200 {
				return fmt.Errorf("%s: %s is answered %d", selection.what, note.uri, note.status)
			}
		}
		if requests := len(notes.all()); requests != 2 {
			return fmt.Errorf("%s: %d requests of two informers that stream: %v", selection.what, requests, notes.all())
		}
		plain := withoutWatchList{narrowed(client, selection.namespace, tweak)}
		if err := becomes(ctx, "without WatchList", cache.NewSharedIndexInformer(plain, &unstructured.Unstructured{}, 0, cache.Indexers{}), truth); err != nil {
			return fmt.Errorf("%s: %w", selection.what, err)
		}
	}
	return nil
}

// becomes runs the informer until it has synced and holds what is wanted, which others may change meanwhile.
func becomes(ctx context.Context, what string, informer cache.SharedIndexInformer, wanted func(context.Context) (objects, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return fmt.Errorf("an informer %s has not synced", what)
	}
	for {
		truth, err := wanted(ctx)
		if err != nil {
			return err
		}
		held, err := stock(informer.GetStore().List())
		if err != nil {
			return err
		}
		if err = differences(held, truth); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("an informer %s: %w", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// checkUntil: the ways in which kubectl wait and controllers wait for a condition.
func checkUntil(ctx context.Context, b *bench) error {
	client, err := b.dynamic()
	if err != nil {
		return err
	}
	const name = "app:latest"
	source := narrowed(client, b.namespace, func(options *metav1.ListOptions) { options.FieldSelector = "metadata.name=" + name })
	found := func(event watch.Event) (bool, error) {
		object, ok := event.Object.(*unstructured.Unstructured)
		if !ok {
			return false, fmt.Errorf("%s with a %T", event.Type, event.Object)
		}
		return object.GetName() == name, nil
	}
	if _, err := watchtools.UntilWithSync(ctx, source, &unstructured.Unstructured{}, nil, found); err != nil {
		return fmt.Errorf("UntilWithSync: %w", err)
	}
	watcher, err := source.WatchWithContext(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if _, err := watchtools.UntilWithoutRetry(ctx, watcher, found); err != nil {
		return fmt.Errorf("UntilWithoutRetry: %w", err)
	}
	one, err := client.Resource(imageTags).Namespace(b.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	// A watch may begin where the object is, though the newest state is further on.
	before, err := version(one)
	if err != nil {
		return err
	}
	if _, err := watchtools.Until(ctx, fmt.Sprint(before-1), source, found); err != nil && !apierrors.IsResourceExpired(err) {
		return fmt.Errorf("Until: %w", err)
	}
	return nil
}

// checkWatchErrors: what a watch that cannot begin is told, as its own client reads it.
func checkWatchErrors(ctx context.Context, b *bench) error {
	client, err := b.dynamic()
	if err != nil {
		return err
	}
	source := client.Resource(imageTags).Namespace(b.namespace)
	ever := int64(30)
	// In the stream: too old, and of a future that may never come.
	for _, position := range []string{"1", "9223372036854775807"} {
		watcher, err := source.Watch(ctx, metav1.ListOptions{ResourceVersion: position, TimeoutSeconds: &ever})
		if err != nil {
			return fmt.Errorf("a watch from %s: %w", position, err)
		}
		event, ok := <-watcher.ResultChan()
		if !ok || event.Type != watch.Error {
			return fmt.Errorf("a watch from %s begins with %v", position, event)
		}
		if err := apierrors.FromObject(event.Object); !apierrors.IsResourceExpired(err) {
			return fmt.Errorf("a watch from %s is told: %w", position, err)
		}
		if event, more := <-watcher.ResultChan(); more {
			return fmt.Errorf("a watch from %s goes on with %v", position, event)
		}
	}
	// Before the stream.
	yes, no := true, false
	for _, wrong := range []struct {
		what    string
		options metav1.ListOptions
		is      func(error) bool
	}{
		{"a position that is no number", metav1.ListOptions{ResourceVersion: "abc"}, func(err error) bool { return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) }},
		{"a streamed list without a match", metav1.ListOptions{SendInitialEvents: &yes}, apierrors.IsInvalid},
		{"a streamed list with another match", metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchExact, ResourceVersion: "1"}, apierrors.IsInvalid},
		{"a match alone", metav1.ListOptions{ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}, apierrors.IsInvalid},
		{"a streamed list of the future", metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, ResourceVersion: "9223372036854775807"}, isTooLarge},
		{"a label selector", metav1.ListOptions{LabelSelector: "a in ("}, apierrors.IsBadRequest},
		{"a field selector", metav1.ListOptions{FieldSelector: "colour=red"}, apierrors.IsBadRequest},
	} {
		watcher, err := source.Watch(ctx, wrong.options)
		if err == nil {
			watcher.Stop()
		}
		if !wrong.is(err) {
			return fmt.Errorf("%s is answered %v (%s)", wrong.what, err, apierrors.ReasonForError(err))
		}
	}
	// Nothing but what comes: no state, and an end in time.
	short := int64(1)
	watcher, err := source.Watch(ctx, metav1.ListOptions{SendInitialEvents: &no, TimeoutSeconds: &short, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
	if err != nil {
		return err
	}
	for event := range watcher.ResultChan() {
		return fmt.Errorf("a watch from now on begins with %v", event)
	}
	return nil
}

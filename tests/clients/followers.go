package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	runtimecache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const selectedLabel = "tags.tagscope.dev/selected"

// follower is one client that holds a copy of what is served.
type follower struct {
	name     string
	resource schema.GroupVersionResource
	// metadata is whether it holds metadata only.
	metadata bool
	// holds says which objects it is meant to hold; nil: all.
	holds  func(map[string]any) bool
	synced func() bool
	// stores are the places where it keeps them.
	stores []func(context.Context) (objects, error)
	// further is what else has to hold of it, given what it is meant to hold.
	further func(context.Context, objects) error
	model   *model
	traffic *traffic
	proxy   *proxy
}

// compare says how the follower differs from the truth.
func (f *follower) compare(ctx context.Context, truth map[schema.GroupVersionResource]objects) error {
	wanted := truth[f.resource]
	if f.holds != nil {
		wanted = wanted.where(f.holds)
	}
	whole := wanted
	if f.metadata {
		var err error
		if wanted, err = wanted.metadata(); err != nil {
			return err
		}
	}
	if f.model != nil {
		if err := differences(f.model.content(), wanted); err != nil {
			return fmt.Errorf("by its events: %w", err)
		}
	}
	for _, store := range f.stores {
		held, err := store(ctx)
		if err != nil {
			return err
		}
		if err := differences(held, wanted); err != nil {
			return fmt.Errorf("by its store: %w", err)
		}
	}
	if f.further != nil {
		return f.further(ctx, whole)
	}
	return nil
}

// herd makes followers, each with connections of its own.
type herd struct {
	config    *rest.Config
	namespace string
	lifetime  time.Duration
	ledger    *ledger
	followers []*follower
	proxies   []*proxy
}

// begin is a new follower, and the configuration it has to use.
func (h *herd) begin(ctx context.Context, name string) (*follower, *rest.Config, error) {
	address, err := url.Parse(h.config.Host)
	if err != nil {
		return nil, nil, err
	}
	proxy, err := newProxy(ctx, address.Host, h.lifetime)
	if err != nil {
		return nil, nil, err
	}
	h.proxies = append(h.proxies, proxy)
	f := &follower{name: name, resource: imageTags, proxy: proxy}
	f.traffic = &traffic{name: name, ledger: h.ledger, answers: map[int]int{}}
	config := rest.CopyConfig(h.config)
	config.Host = "https://" + proxy.address()
	config.Wrap(f.traffic.wrap)
	h.followers = append(h.followers, f)
	return f, config, nil
}

// informer lets the follower be a shared informer.
func (h *herd) informer(ctx context.Context, f *follower, informer cache.SharedIndexInformer) error {
	f.model = newModel(f.name, h.ledger)
	registered, err := informer.AddEventHandler(f.model)
	if err != nil {
		return err
	}
	f.synced = registered.HasSynced
	f.stores = append(f.stores, func(context.Context) (objects, error) { return stock(informer.GetStore().List()) })
	go informer.RunWithContext(ctx)
	return nil
}

// dynamic adds an informer of whole objects as client-go's factory makes it: with WatchList.
func (h *herd) dynamic(ctx context.Context, name string, change func(*follower, *rest.Config, *dynamicOptions)) error {
	f, config, err := h.begin(ctx, name)
	if err != nil {
		return err
	}
	options := &dynamicOptions{}
	change(f, config, options)
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	informer := dynamicinformer.NewFilteredDynamicInformer(client, f.resource, options.namespace, options.resync,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}, options.tweak)
	return h.informer(ctx, f, informer.Informer())
}

type dynamicOptions struct {
	namespace string
	resync    time.Duration
	tweak     dynamicinformer.TweakListOptionsFunc
}

// withoutWatchList is a ListerWatcher that says of itself that it cannot stream lists.
type withoutWatchList struct{ *cache.ListWatch }

func (withoutWatchList) IsWatchListSemanticsUnSupported() bool { return true }

// listWatch is list and watch of whole objects, all namespaces.
func listWatch(client dynamic.Interface, resource schema.GroupVersionResource) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.Resource(resource).List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return client.Resource(resource).Watch(ctx, options)
		},
	}
}

// listing adds an informer that lists and then watches.
func (h *herd) listing(ctx context.Context) error {
	f, config, err := h.begin(ctx, "informer without WatchList")
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	source := withoutWatchList{listWatch(client, f.resource)}
	return h.informer(ctx, f, cache.NewSharedIndexInformer(source, &unstructured.Unstructured{}, 0, cache.Indexers{}))
}

// paging adds a bare reflector that lists in small pages and keeps no events. It does not wait long between two tries.
func (h *herd) paging(ctx context.Context) error {
	f, config, err := h.begin(ctx, "reflector with pages")
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	backoff := wait.Backoff{Duration: 50 * time.Millisecond, Cap: time.Second, Steps: 5, Factor: 2, Jitter: 1}
	reflector := cache.NewReflectorWithOptions(withoutWatchList{listWatch(client, f.resource)}, &unstructured.Unstructured{}, store,
		cache.ReflectorOptions{Name: f.name, Backoff: &backoff})
	reflector.WatchListPageSize = 3
	f.synced = func() bool { return reflector.LastSyncResourceVersion() != "" }
	f.stores = append(f.stores, func(context.Context) (objects, error) { return stock(store.List()) })
	go reflector.RunWithContext(ctx)
	return nil
}

// partial adds an informer of metadata, which asks for protobuf first.
func (h *herd) partial(ctx context.Context) error {
	f, config, err := h.begin(ctx, "metadata informer")
	if err != nil {
		return err
	}
	f.metadata = true
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	informer := metadatainformer.NewFilteredMetadataInformer(client, f.resource, metav1.NamespaceAll, 0, cache.Indexers{}, nil)
	return h.informer(ctx, f, informer.Informer())
}

// controller adds controller-runtime's cache: with a field index, of all, selected or partial objects.
func (h *herd) controller(ctx context.Context, name string, kind client.Object, selector labels.Selector, metadata bool) error {
	f, config, err := h.begin(ctx, name)
	if err != nil {
		return err
	}
	f.metadata = metadata
	options := runtimecache.Options{Scheme: runtime.NewScheme()}
	if selector != nil {
		f.holds = isSelected
		options.ByObject = map[client.Object]runtimecache.ByObject{kind: {Label: selector}}
	}
	held, err := runtimecache.New(config, options)
	if err != nil {
		return err
	}
	const index = "repository"
	err = held.IndexField(ctx, kind, index, func(object client.Object) []string {
		return []string{object.GetLabels()["tags.tagscope.dev/repository"]}
	})
	if err != nil {
		return err
	}
	informer, err := held.GetInformer(ctx, kind, runtimecache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	f.model = newModel(f.name, h.ledger)
	registered, err := informer.AddEventHandler(f.model)
	if err != nil {
		return err
	}
	f.synced = registered.HasSynced
	read := func(ctx context.Context, options ...client.ListOption) (objects, error) {
		if metadata {
			list := &metav1.PartialObjectMetadataList{}
			list.SetGroupVersionKind(groupVersion.WithKind("ImageTagList"))
			if err := held.List(ctx, list, options...); err != nil {
				return nil, err
			}
			items := make([]any, len(list.Items))
			for i := range list.Items {
				items[i] = &list.Items[i]
			}
			return stock(items)
		}
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(groupVersion.WithKind("ImageTagList"))
		if err := held.List(ctx, list, options...); err != nil {
			return nil, err
		}
		items := make([]any, len(list.Items))
		for i := range list.Items {
			items[i] = &list.Items[i]
		}
		return stock(items)
	}
	f.stores = append(f.stores, func(ctx context.Context) (objects, error) { return read(ctx) })
	// The index finds for each repository what a look at everything finds.
	f.further = func(ctx context.Context, all objects) error {
		groups := map[string]objects{"nobody": {}}
		for key, object := range all {
			repository, _, _ := unstructured.NestedString(object, "repository")
			if groups[repository] == nil {
				groups[repository] = objects{}
			}
			groups[repository][key] = object
		}
		for repository, wanted := range groups {
			if metadata {
				partial, err := wanted.metadata()
				if err != nil {
					return err
				}
				wanted = partial
			}
			found, err := read(ctx, client.MatchingFields{index: repository})
			if err != nil {
				return err
			}
			if err := differences(found, wanted); err != nil {
				return fmt.Errorf("by its index of %s: %w", repository, err)
			}
		}
		return nil
	}
	go func() {
		if err := held.Start(ctx); err != nil {
			h.ledger.complain(fmt.Errorf("%s: %w", f.name, err))
		}
	}()
	return nil
}

func isSelected(object map[string]any) bool {
	label, _, _ := unstructured.NestedString(object, "metadata", "labels", selectedLabel)
	return label == "true"
}

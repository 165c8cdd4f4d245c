package main

import (
	"context"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var (
	groupVersion = schema.GroupVersion{Group: "tags.tagscope.dev", Version: "v1alpha1"}
	imageTags    = groupVersion.WithResource("imagetags")
	tagSets      = groupVersion.WithResource("tagsets")
	imageTagKind = groupVersion.WithKind("ImageTag")
)

// objects are what a client knows, by namespace/name.
type objects map[string]map[string]any

// listed is what one plain list says, unpaged and not from any cache.
func listed(ctx context.Context, client dynamic.Interface, resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) (objects, error) {
	list, err := client.Resource(resource).Namespace(namespace).List(ctx, options)
	if err != nil {
		return nil, err
	}
	if list.GetContinue() != "" {
		return nil, fmt.Errorf("a list without limit ends with continue")
	}
	known := objects{}
	for i := range list.Items {
		known.put(&list.Items[i])
	}
	if len(known) != len(list.Items) {
		return nil, fmt.Errorf("a list of %d objects has %d names", len(list.Items), len(known))
	}
	return known, nil
}

func (o objects) put(object *unstructured.Unstructured) { o[key(object)] = object.Object }

func key(object metav1.Object) string { return object.GetNamespace() + "/" + object.GetName() }

// where leaves those that a predicate holds for.
func (o objects) where(holds func(map[string]any) bool) objects {
	left := objects{}
	for key, object := range o {
		if holds(object) {
			left[key] = object
		}
	}
	return left
}

// metadata is what is left of the objects for those who ask for metadata only.
func (o objects) metadata() (objects, error) {
	left := objects{}
	for key, object := range o {
		partial := metav1.PartialObjectMetadata{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, &partial); err != nil {
			return nil, err
		}
		normal, err := normalise(&partial)
		if err != nil {
			return nil, err
		}
		left[key] = normal
	}
	return left, nil
}

// normalise writes a partial object as the JSON object of its metadata.
func normalise(partial *metav1.PartialObjectMetadata) (map[string]any, error) {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&partial.ObjectMeta)
	return map[string]any{"metadata": object}, err
}

// differences says how known differs from wanted; nothing when it does not.
func differences(known, wanted objects) error {
	var found []string
	for key, object := range wanted {
		have, ok := known[key]
		switch {
		case !ok:
			found = append(found, key+" is missing")
		case !reflect.DeepEqual(have, object):
			found = append(found, fmt.Sprintf("%s is %v and should be %v", key, have, object))
		}
	}
	for key := range known {
		if _, ok := wanted[key]; !ok {
			found = append(found, key+" should be gone")
		}
	}
	if len(found) == 0 {
		return nil
	}
	sort.Strings(found)
	const shown = 5
	if len(found) > shown {
		found = append(found[:shown], fmt.Sprintf("and %d more", len(found)-shown))
	}
	return fmt.Errorf("%d objects known, %d wanted: %s", len(known), len(wanted), strings.Join(found, "; "))
}

func version(object metav1.Object) (uint64, error) {
	return strconv.ParseUint(object.GetResourceVersion(), 10, 64)
}

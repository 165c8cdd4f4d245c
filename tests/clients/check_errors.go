package main

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// typed is a client of the group that decodes what it gets with the types of meta.k8s.io only.
func typed(config *rest.Config) (*rest.RESTClient, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, groupVersion)
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.GroupVersion = &groupVersion
	config.APIPath = "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	return rest.RESTClientFor(config)
}

// narrowed is list and watch of whole objects in a namespace.
func narrowed(client dynamic.Interface, namespace string, tweak func(*metav1.ListOptions)) *cache.ListWatch {
	source := client.Resource(imageTags).Namespace(namespace)
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			tweak(&options)
			return source.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			tweak(&options)
			return source.Watch(ctx, options)
		},
	}
}

// isTooLarge is what makes a reflector ask again without a position.
func isTooLarge(err error) bool {
	return apierrors.IsTimeout(err) && apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}

// checkErrors: every refusal is of the type that client-go's users ask for.
func checkErrors(ctx context.Context, b *bench) error {
	client, err := b.dynamic()
	if err != nil {
		return err
	}
	tags := client.Resource(imageTags).Namespace(b.namespace)
	sets := client.Resource(tagSets).Namespace(b.namespace)
	stranger, err := dynamic.NewForConfig(b.as("stranger"))
	if err != nil {
		return err
	}
	tag := &unstructured.Unstructured{}
	tag.SetGroupVersionKind(imageTagKind)
	tag.SetName("app:latest")
	list := func(options metav1.ListOptions) func() error {
		return func() error { _, err := tags.List(ctx, options); return err }
	}
	var problems []error
	for _, wrong := range []struct {
		what string
		do   func() error
		is   func(error) bool
	}{
		{"get of what is not there", func() error { _, err := tags.Get(ctx, "app:none", metav1.GetOptions{}); return err }, apierrors.IsNotFound},
		{"get of a set that is not there", func() error { _, err := sets.Get(ctx, "none", metav1.GetOptions{}); return err }, apierrors.IsNotFound},
		{"get in a namespace that is not there", func() error {
			_, err := client.Resource(imageTags).Namespace("not-there").Get(ctx, "app:latest", metav1.GetOptions{})
			return err
		}, apierrors.IsNotFound},
		{"a resource that is not there", func() error {
			_, err := client.Resource(groupVersion.WithResource("nothing")).Namespace(b.namespace).List(ctx, metav1.ListOptions{})
			return err
		}, apierrors.IsNotFound},
		{"a subresource", func() error { _, err := tags.Get(ctx, "app:latest", metav1.GetOptions{}, "status"); return err }, apierrors.IsNotFound},
		{"create", func() error { _, err := tags.Create(ctx, tag, metav1.CreateOptions{}); return err }, apierrors.IsMethodNotSupported},
		{"update", func() error { _, err := tags.Update(ctx, tag, metav1.UpdateOptions{}); return err }, apierrors.IsMethodNotSupported},
		{"patch", func() error {
			_, err := tags.Patch(ctx, "app:latest", types.MergePatchType, []byte("{}"), metav1.PatchOptions{})
			return err
		}, apierrors.IsMethodNotSupported},
		{"apply", func() error {
			_, err := tags.Apply(ctx, "app:latest", tag, metav1.ApplyOptions{FieldManager: "tests"})
			return err
		}, apierrors.IsMethodNotSupported},
		{"delete", func() error { return tags.Delete(ctx, "app:latest", metav1.DeleteOptions{}) }, apierrors.IsMethodNotSupported},
		{"delete of what is not there", func() error { return tags.Delete(ctx, "app:none", metav1.DeleteOptions{}) }, apierrors.IsMethodNotSupported},
		{"delete of a collection", func() error {
			return tags.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		}, apierrors.IsMethodNotSupported},
		{"a wrong label selector", list(metav1.ListOptions{LabelSelector: "a===b"}), apierrors.IsBadRequest},
		{"a wrong field selector", list(metav1.ListOptions{FieldSelector: "colour=red"}), apierrors.IsBadRequest},
		{"a wrong page", list(metav1.ListOptions{Continue: "garbage"}), apierrors.IsBadRequest},
		{"a page with a position", list(metav1.ListOptions{Continue: "garbage", ResourceVersion: "5"}), apierrors.IsBadRequest},
		{"a position that is no number", list(metav1.ListOptions{ResourceVersion: "abc"}), func(err error) bool { return apierrors.IsBadRequest(err) || apierrors.IsInvalid(err) }},
		{"a match without a position", list(metav1.ListOptions{ResourceVersionMatch: metav1.ResourceVersionMatchExact}), apierrors.IsInvalid},
		{"an unknown match", list(metav1.ListOptions{ResourceVersion: "1", ResourceVersionMatch: "Foo"}), apierrors.IsInvalid},
		{"a list that streams", list(metav1.ListOptions{SendInitialEvents: new(true)}), apierrors.IsInvalid},
		{"a moment that is forgotten", list(metav1.ListOptions{ResourceVersion: "1", ResourceVersionMatch: metav1.ResourceVersionMatchExact}), apierrors.IsResourceExpired},
		{"a moment of the future", list(metav1.ListOptions{ResourceVersion: "9223372036854775807"}), isTooLarge},
		{"a stranger's list", func() error {
			_, err := stranger.Resource(imageTags).Namespace(b.namespace).List(ctx, metav1.ListOptions{})
			return err
		}, apierrors.IsForbidden},
		{"a stranger's get of what is not there", func() error {
			_, err := stranger.Resource(imageTags).Namespace(b.namespace).Get(ctx, "app:none", metav1.GetOptions{})
			return err
		}, apierrors.IsForbidden},
		{"a stranger's watch", func() error {
			_, err := stranger.Resource(imageTags).Namespace(b.namespace).Watch(ctx, metav1.ListOptions{})
			return err
		}, apierrors.IsForbidden},
		{"protobuf alone", func() error {
			config := rest.CopyConfig(b.config)
			config.AcceptContentTypes = runtime.ContentTypeProtobuf
			client, err := typed(config)
			if err != nil {
				return err
			}
			return client.Get().Namespace(b.namespace).Resource("imagetags").Do(ctx).Error()
		}, apierrors.IsNotAcceptable},
	} {
		err := wrong.do()
		if !wrong.is(err) {
			problems = append(problems, fmt.Errorf("%s is answered %v (%T, reason %s)", wrong.what, err, err, apierrors.ReasonForError(err)))
			continue
		}
		// Whoever reads the details finds them.
		var status apierrors.APIStatus
		if errors.As(err, &status) && apierrors.IsNotFound(err) && wrong.what == "get of what is not there" {
			details := status.Status().Details
			problems = append(problems, expect(details != nil && details.Name == "app:none" && details.Group == groupVersion.Group && details.Kind == "imagetags",
				"details of what is not there: %+v", details))
		}
	}
	return errors.Join(problems...)
}
